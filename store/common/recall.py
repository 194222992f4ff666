"""Recalling what was computed before: names made of everything a result depends on, the code included."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HOUSE = Path(__file__).parents[2]


def fingerprint(value: Any) -> str:
    """Sha256 (hex) of a JSON-able value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def code_fingerprint(*places: str, house: Path | None = None) -> str:
    """Hash of the source at some places of the house: a result is recalled only by the code that made it.

    Parameters
    ----------
    *places : str
        Folders, of which every Python file at any depth counts, or files; relative to the house.
    house : Path, optional
        The folder that the places are below, instead of this package's.

    Returns
    -------
    str
        Sha256 (hex) of the files' names, relative to the house, and their contents.

    Raises
    ------
    FileNotFoundError
        A place that holds no source: what it names was moved, and a result would no longer depend on it.
    """
    house = house or HOUSE
    files = {file for place in places for file in _sources(house / place)}
    return fingerprint({file.relative_to(house).as_posix(): file.read_text(encoding="utf-8") for file in files})


def _sources(place: Path) -> Iterator[Path]:
    found = [place] if place.is_file() else list(place.rglob("*.py"))
    if not found:
        raise FileNotFoundError(f"no source at {place}")
    yield from found
