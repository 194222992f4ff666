"""Arrays with a header in one file, written whole or not at all, read back bit for bit or refused in one line.

The file is NumPy's npz. The header is JSON, and is one more array of the file: the string `header`.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from head2toe.store.common.errors import DataError
from head2toe.store.common.outputs import ANOTHER_OUTPUT, sweep_folder, write_output

_DAMAGED = (
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error),
    RuntimeError,  # of zipfile: packed in a way it doesn't know, or with a password
    *(ValueError, LookupError, TypeError),  # whole, but with other content than asked for
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
