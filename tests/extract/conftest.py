"""What several files about extraction use."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def lines() -> Callable[[Path, str], list[tuple[str, int]]]:
    """Path and label of every line of a list of VTAB-1k's layout: `lines(folder, "train800")`."""

    def read(folder: Path, name: str) -> list[tuple[str, int]]:
        rows = [line.rpartition(" ") for line in (folder / f"{name}.txt").read_text().splitlines()]
        return [(path, int(label)) for path, _, label in rows]

    return read
