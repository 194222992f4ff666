"""Arrays with a header in one file, written whole or not at all, read back bit for bit or refused in one line.

The file is NumPy's npz. The header is JSON, and is one more array of the file: the string `header`.
"""

import io
import json
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from head2toe.store.common.errors import DataError
from head2toe.store.common.outputs import ANOTHER_OUTPUT, sweep_folder, write_output

_PACKED, _SMALL = 20, 1 << 20
"""How many times larger than their file packed arrays may be, beside the bytes of a small file."""
_DAMAGED = (
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error),
    RuntimeError,  # of zipfile: packed in a way it doesn't know, or with a password
    *(ValueError, LookupError, TypeError, tokenize.TokenError),  # whole, but with other content than asked for
)


def write_arrays(file: Path, header: Mapping[str, Any], **arrays: np.ndarray) -> None:
    """Write arrays and a header, whole or not at all; the folder is made if it is missing.

    Parameters
    ----------
    file : Path
        The file, which is replaced if it is there.
    header : mapping
        What JSON can hold, NaN, infinity and NumPy's scalars among it; tuples come back as lists.
    **arrays : ndarray
        Arrays of any shape and any dtype but object, by their names in the file.

    Raises
    ------
    StoreError
        The file can't be written.
    """
    text = json.dumps(dict(header), default=lambda scalar: scalar.item())  # JSON knows no NumPy scalar
    content, members = io.BytesIO(), {"header": np.array(text), **arrays}
    np.savez(content, **members)  # type: ignore[arg-type]  # none is called `allow_pickle`
    sweep_folder(file.parent)
    write_output(file, content.getvalue(), ANOTHER_OUTPUT)


@contextmanager
def read_arrays(file: Path, what: str, remedy: str) -> Iterator[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """Read a file's header and arrays for a `with` block that makes a record of them.

    The block is part of the reading: an array that it misses is a fault of the file, too.

    Parameters
    ----------
    file : Path
        The file.
    what : str
        What the file should be: "a selection".
    remedy : str
        What to do if it isn't: "remove it and select again".

    Yields
    ------
    tuple
        The header, a dict, and a dict of the arrays by their names.

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
        content = file.read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as members:
            _check_members(members.infolist(), len(content))
            arrays = {name.removesuffix(".npy"): _array(members.read(name)) for name in members.namelist()}
        header = json.loads(str(arrays.pop("header")))
        if not isinstance(header, dict):
            raise ValueError("its header is no JSON object")
        yield header, arrays
    except _DAMAGED as error:
        reason = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise DataError(f"{file} is not {what} ({reason or type(error).__name__}): {remedy}") from error


def _check_members(members: Sequence[zipfile.ZipInfo], size: int) -> None:
    """Check that members are no larger than the file, or packed than `_PACKED` times it, which may not fill memory."""
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        raise ValueError("two of its arrays have one name")
    stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
    if sum(member.file_size for member in members) > (size if stored else _PACKED * size + _SMALL):
        raise ValueError("its arrays are larger than such a file can hold")


def _array(content: bytes) -> np.ndarray:
    """Read an array, of which there is memory for no more than its bytes; raises `ValueError` for any other content."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    nbytes = math.prod(shape) * dtype.itemsize
    if any(length < 0 for length in shape) or (nbytes != len(content) - stream.tell() and not dtype.hasobject):
        raise ValueError(f"an array of shape {shape} and dtype {dtype} in {len(content)} bytes")
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
