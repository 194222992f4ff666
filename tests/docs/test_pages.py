"""What README and docs mention exists, in whatever sentence it stands: commands and options, targets, pages, errors."""

import ast
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
        if re.match("-.*[a-z]", word):  # neither stdin nor a number below zero
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
    menu = re.findall(r": ([a-z/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    docs = ROOT / "docs"
    assert sorted(menu) == sorted(page.relative_to(docs).as_posix() for page in pages if page.is_relative_to(docs))


def paths(text: str) -> list[str]:
    """Files and folders of the repository that a text names between backticks."""
    return re.findall(r"`((?:extract|probe|select|store|tests|docs|benchmarks)/[\w./-]*|pipeline\.py)`", text)


def test_every_path_named_exists(page: Path) -> None:
    missing = [path for path in paths(page.read_text(encoding="utf-8")) if not (ROOT / path).exists()]
    assert missing == [], f"{page.name} names what is not there"


def test_where_to_add_names_what_is_in_the_files() -> None:
    """In each row of the table, the names stand in the files that the row names, and something checks it."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (an? .+?) \|$", page.partition("## Where to add")[2], re.MULTILINE)
    assert len(rows) > 10
    for row in rows:
        files = [ROOT / path for path in paths(row)]
        text = "\n".join(file.read_text(encoding="utf-8") for file in files if file.suffix == ".py")
        for name in re.findall(r"`([A-Za-z]\w*)`", row):
            assert re.search(rf"\b{name}\b", text), f"no {name} in the files of: {row}"
        assert any("tests" in file.parts for file in files)


def test_every_promise_names_tests_that_are_there() -> None:
    """Each row of the table of promises names a file of tests, and after it tests of that file."""
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| file |")]
    assert len(rows) >= 12
    for row in rows:
        assert "`tests/" in row, f"no test holds: {row}"
    named = re.findall(r"`(tests/[\w/]+\.py)`((?:[:,]\s+`test_\w+`)*)", page)
    assert len(named) >= len(rows)
    for file, names in named:
        text = (ROOT / file).read_text(encoding="utf-8")
        for name in re.findall(r"`(test_\w+)`", names):
            assert f"def {name}(" in text, f"{file} has no {name}"


def test_the_checks_of_paths_can_fail() -> None:
    assert paths("see `store/nothing.py`, `tests/` and `nothing.py`") == ["store/nothing.py", "tests/"]


def test_the_reference_names_what_is_there() -> None:
    """MkDocs passes over a member that is not there; one that is only imported there moves without a word."""
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    entries = re.findall(r"^::: head2toe\.([\w.]+)\n((?: +.*\n)*)", page, re.MULTILINE)
    assert len(entries) > 20
    for name, options in entries:
        module, file = name, ROOT / f"{name.replace('.', '/')}.py"
        members = re.findall(r"\w+", "".join(re.findall(r"members: \[(.*)\]", options)))
        if not file.is_file():
            module, _, member = name.rpartition(".")
            file, members = ROOT / f"{module.replace('.', '/')}.py", [member]
        tree = ast.parse(file.read_text(encoding="utf-8"))
        defined = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
        assert set(members) <= defined, f"{module} does not define all of {members}"


def test_a_decision_says_why_and_until_when(pages: list[Path]) -> None:
    decisions = [page for page in pages if page.parent.name == "decisions"]
    assert len(decisions) >= 7
    for page in decisions:
        text = page.read_text(encoding="utf-8")
        labels = re.findall(r"^\*\*([A-Z][^*]+)\.\*\*", text, re.MULTILINE)
        assert labels == ["Context", "Decision", "What was measured", "Consequences", "When to revisit"], page.name
        assert text.count("\n") < 50, f"{page.name} is longer than a screen"
