"""What a result depends on, as text and as hashes that change with it: values, source code, versions of packages."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from head2toe.store.common.errors import BadRequest

HOUSE = Path(__file__).parents[2]
"""The folder of the whole package."""

PACKAGES = ("head2toe", "torch", "timm", "zarr", "h5py", "numpy", "scikit-learn")
"""The packages that numbers depend on."""

SEAL = "sha256"
"""The entry of a sealed document that holds the hash of all others."""


def canonical(value: Any) -> str:
    """Write a value as JSON with sorted keys and no spaces: equal values give equal text.

    Raises
    ------
    BadRequest
        JSON can't hold the value: it has an object of another type, NaN or infinity.
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadRequest(f"a store's identity must be plain JSON: {error}") from error


def fingerprint(value: Any) -> str:
    """Hash a value that JSON can hold, NaN and infinity included; returns the sha256 in hex."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def sealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Add to a document, which JSON can hold, the fingerprint of all of it as its entry `sha256`.

    A document that was sealed and read back is what was written if sealing it anew changes nothing.
    """
    content = {name: value for name, value in document.items() if name != SEAL}
    return {**content, SEAL: fingerprint(content)}


def code_fingerprint(*places: str, house: Path | None = None) -> str:
    """Hash the source at some places of the house, so that a result is recalled only by the code that made it.

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
    files = [place] if place.is_file() else list(place.rglob("*.py"))
    if not files:
        raise FileNotFoundError(f"no source at {place}")
    yield from files


def versions() -> dict[str, str]:
    """Name every package of `PACKAGES` with its installed version."""
    return {name: version(name) for name in PACKAGES}
