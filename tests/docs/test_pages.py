"""What README and docs mention exists, in whatever sentence it stands: commands and options, targets, pages, errors."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from head2toe.pipeline import main

ROOT = Path(__file__).parents[2]


def commands(page: Path) -> Iterator[list[str]]:
    """Words of every line that starts with `head2toe`, and of every `head2toe …` between backticks."""
    text = re.sub(r"^```text\n.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for line in re.findall(r"(?:^|`)(head2toe [^`\n]+)(?:$|`)", text, re.MULTILINE):
        yield [word for word in shlex.split(line, comments=True)[1:] if word != "…"]


def check(words: list[str]) -> None:
    """Walk through the groups to the command, then through its options."""
    words = [word for word in words if word != "--debug"]
    command: click.Command = main
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        assert name in command.commands, f"no command {name!r}"
        command = command.commands[name]
    with click.Context(command) as context:
        known = {option for parameter in command.get_params(context) for option in parameter.opts}
    for word in words:
        if word in (">", "|"):
            break
        if word.startswith("-") and word != "-":
            assert word.partition("=")[0] in known, f"no option {word!r} of {command.name}"


def test_commands_and_options_exist(page: Path) -> None:
    for words in commands(page):
        check(words)


def test_the_check_can_fail(pages: list[Path]) -> None:
    for wrong in (["nothing"], ["store", "nothing"], ["run", "x", "--nothing"]):
        with pytest.raises(AssertionError):
            check(wrong)
    assert sum(1 for page in pages for _ in commands(page)) > 20


def test_the_readme_shows_every_command() -> None:
    shown = {words[0] for words in commands(ROOT / "README.md") if words}
    assert set(main.commands) <= shown


def test_make_targets_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {name for line in re.findall(r"^([a-z][a-z -]*):", makefile, re.MULTILINE) for name in line.split()}
    shown = re.findall(r"(?:^|`)make ([a-z][a-z-]*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(shown) <= targets


def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_errors_of_the_faq_are_raised() -> None:
    sources = [file for room in ("extract", "select", "probe", "store") for file in (ROOT / room).rglob("*.py")]
    text = re.sub(r'"\s*\n\s*f?"', "", "\n".join(file.read_text(encoding="utf-8") for file in sources))
    messages = re.findall(r"^\| `(.+?)` \|", (ROOT / "docs" / "faq.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(messages) > 10
    for message in messages:
        part = max(re.split(r"[…']", message), key=len)
        assert part.strip(" :,") in text, f"no error says {part!r}"


def test_every_page_is_in_the_menu(pages: list[Path]) -> None:
    menu = set(re.findall(r": ([a-z-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    assert menu == {page.name for page in pages if page.parent != ROOT}
