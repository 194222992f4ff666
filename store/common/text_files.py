"""Text files in the encodings that other programs write."""

import codecs
from pathlib import Path

from head2toe.store.common.errors import DataError

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),  # spreadsheets write one, which would become part of the first column's name
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path, what: str) -> str:
    """Read a text file in UTF-8, or in UTF-16 or UTF-32 where its first bytes say so.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        What a message calls it: `the manifest`.

    Raises
    ------
    DataError
        The file can't be read, or is in another encoding, which its bytes do not tell; the message names the line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"can't read {what} {path}: {error.strerror or error}") from error
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark)), _unmarked(content))
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"can't read {what} {path}: line {line} is not UTF-8; it may be in a code page of Windows: save it as "
            "UTF-8 (Excel: CSV UTF-8), or convert it with iconv -f WINDOWS-1252 -t UTF-8"
        ) from error


def _unmarked(content: bytes) -> str:
    """The encoding of text without a byte order mark: in UTF-16, every second byte of plain letters is 0."""
    start = content[:64]
    if start[1::2].count(0) > len(start) // 4:
        return "utf-16-le"
    return "utf-16-be" if start[::2].count(0) > len(start) // 4 else "utf-8"
