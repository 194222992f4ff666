"""Arrays with a header in one file: written whole or not at all; read back bit for bit, or refused in one line.

The file is NumPy's npz. The header is JSON, and one more array of the file: the string `header`.
"""

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from head2toe.store.common.errors import BadRequest, DataError
from head2toe.store.common.files import explained, write_bytes

if TYPE_CHECKING:
    import numpy as np

_DAMAGED = (
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error),
    RuntimeError,  # of zipfile: packed in a way it doesn't know, or with a password
    *(ValueError, LookupError, TypeError),  # whole, but with other content than asked for
)


def write_arrays(file: Path, header: Mapping[str, Any], **arrays: np.ndarray) -> None:
    """Write arrays and a header, and the folder if it is missing; whole or not at all.

    Parameters
    ----------
    header : mapping
        What JSON can hold, NaN, infinity and NumPy's scalars among it; tuples come back as lists.
    **arrays
        Of any shape, and any dtype but object.

    Raises
    ------
    StoreError
        The file can't be written.
    """
    text = json.dumps(dict(header), default=lambda scalar: scalar.item())  # JSON knows no NumPy scalar
    content, members = io.BytesIO(), {"header": np.array(text), **arrays}
    np.savez(content, **members)  # type: ignore[arg-type]  # none is called `allow_pickle`
    with explained(file, "choose another folder with --output DIR"):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, content.getvalue())


@contextmanager
def read_arrays(file: Path, what: str, remedy: str) -> Iterator[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """The header and the arrays of a file, for a block that makes a record of them.

    The block is part of the reading: an array that it misses is a fault of the file, too.

    Parameters
    ----------
    what : str
        What the file should be: "a selection".
    remedy : str
        What to do if it isn't: "remove it and select again".

    Raises
    ------
    DataError
        The file is missing, damaged, or something else.

    Notes
    -----
    `np.load` verifies a member's checksum at its end, and doesn't get there where a damaged shape asks for less; here
    every member is read whole before it is looked at.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(file.read_bytes())) as members:
            arrays = {name.removesuffix(".npy"): _array(members.read(name)) for name in members.namelist()}
        header = json.loads(str(arrays.pop("header")))
        if not isinstance(header, dict):
            raise ValueError("its header is no JSON object")
        yield header, arrays
    except _DAMAGED as error:
        reason = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise DataError(f"{file} is not {what} ({reason or type(error).__name__}): {remedy}") from error


def _array(content: bytes) -> np.ndarray:
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


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


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values, equal text. Raises `BadRequest` for what JSON can't say."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadRequest(f"a store's identity must be plain JSON: {error}") from error


PACKAGES = ("head2toe", "torch", "timm", "zarr", "h5py", "numpy", "scikit-learn")


def versions() -> dict[str, str]:
    """Of the packages that numbers depend on."""
    return {name: version(name) for name in PACKAGES}
