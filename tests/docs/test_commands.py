"""Every page is run, top to bottom: commands in a shell, Python in one namespace, outputs compared, figures aside."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from head2toe.extract.vtab.tasks import VTAB_NAMES

if TYPE_CHECKING:
    from conftest import Block, Shell

FIGURE = re.compile(r"\d[\d.,]*(?: [kMGTP]?B?(?= |$))?")  # with the unit of its size
LANGUAGES = {"sh", "python", "text", "csv", "yaml"}
REASONS = {"needs the network", "runs the tests"}


def unlike(shown: str, printed: str) -> list[str]:
    """Lines that the documentation shows and the commands did not print; figures and blanks do not count."""

    def plain(text: str) -> list[str]:
        return [" ".join(FIGURE.sub("#", line).split()) for line in text.splitlines()]

    lines = plain(printed)
    return [line for line in plain(shown) if line not in lines]


def run_page(parts: "list[Block]", shell: "Shell") -> None:
    for part in parts:
        if part.mark == "output":
            assert not unlike(part.text, shell.printed), (
                f"{part}: {unlike(part.text, shell.printed)} in\n{shell.printed}"
            )
        elif part.language in ("sh", "python") and not part.reason:
            shell.run(part)


def test_what_a_page_shows_works(page: Path, blocks_of: "Callable[[Path], list[Block]]", shell: "Shell") -> None:
    run_page([part for part in blocks_of(page) if part.mark != "slow"], shell)


@pytest.mark.slow
def test_what_takes_longer_works(page: Path, blocks_of: "Callable[[Path], list[Block]]", shell: "Shell") -> None:
    parts = blocks_of(page)
    if all(part.mark != "slow" for part in parts):
        pytest.skip("nothing on this page is slow")
    run_page(parts, shell)


@pytest.mark.slow
def test_the_commands_of_the_nineteen_tasks_work(
    blocks_of: "Callable[[Path], list[Block]]", pages: list[Path], shell: "Shell"
) -> None:
    (paper,) = [one for one in pages if one.name == "paper.md"]
    first = next(part for part in blocks_of(paper) if "HEAD2TOE_DATA" in part.text)
    commands = re.findall(r"`(make run TASK=\w+)`", paper.read_text(encoding="utf-8"))
    assert len(commands) == len(VTAB_NAMES)
    export = first.text.splitlines()[0]
    shell.run(replace(first, text="\n".join([export, *(f"{command} ARGS='--methods linear'" for command in commands)])))
    assert shell.printed.count("\nresult     results/") == len(commands)


def test_a_block_says_what_it_is(block: "Block") -> None:
    assert block.language in LANGUAGES
    assert block.mark in ("", "slow", "output") or block.reason in REASONS


def test_little_is_not_run(blocks_of: "Callable[[Path], list[Block]]", pages: list[Path]) -> None:
    parts = [part for one in pages for part in blocks_of(one) if part.language in ("sh", "python")]
    left_out = [str(part) for part in parts if part.reason]
    assert len(left_out) <= 3, left_out
    assert len(parts) > 15
