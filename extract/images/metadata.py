"""Image files without metadata that concerns no pixel, but makes Pillow fail: texts in PNG, tags in AVIF."""

import io
import re
import zlib
from typing import BinaryIO

from head2toe.extract.images.file_formats import HEAD_BYTES, format_of_bytes

_LARGE = 1 << 20
"""Bytes of a profile or text, unpacked, from which on Pillow refuses the whole file."""
_MOST = 16 * _LARGE
"""Bytes of all metadata together that are kept."""
_PNG_METADATA = (b"iCCP", b"tEXt", b"zTXt", b"iTXt")
_ANCILLARY = 0x20
"""The bit of the first letter by which a chunk of PNG is one that the pixels do without."""


_FIRST_TAGS = re.compile(rb"(II\*\0\x08\0\0\0|MM\0\*\0\0\0\x08)..", re.DOTALL)
"""The start of EXIF, and the number of its tags."""


def without_failing_metadata(file: BinaryIO) -> BinaryIO | None:
    """Return an image file without the metadata that makes Pillow refuse it.

    Of a PNG file, every chunk that its pixels do without, but for EXIF, and for colour profile and texts where these
    are whole and no larger than Pillow reads: an EXIF orientation may be among them. Of an AVIF file, all EXIF tags,
    which Pillow writes anew where the file says how it is turned.

    Parameters
    ----------
    file : binary file
        Any file; it can be sought.

    Returns
    -------
    binary file or None
        The smaller file in memory; None where there is nothing to leave out.
    """
    file.seek(0)
    format = format_of_bytes(file.read(HEAD_BYTES))
    if format == "png":
        return _without_ancillary_chunks(file)
    if format == "avif":
        file.seek(0)
        content, count = _FIRST_TAGS.subn(rb"\1\0\0", file.read())
        return io.BytesIO(content) if count else None
    return None


def _without_ancillary_chunks(file: BinaryIO) -> BinaryIO | None:
    file.seek(0)
    signature = file.read(8)
    kept, total, dropped = [signature], 0, False
    while len(header := file.read(8)) == 8:
        length, name = int.from_bytes(header[:4], "big"), header[4:]
        content = file.read(length + 4)  # with its checksum
        if name[0] & _ANCILLARY:
            size = _unpacked_size(name, content[:-4]) if name in _PNG_METADATA else length
            total += size
            whole = zlib.crc32(name + content[:-4]).to_bytes(4, "big") == content[-4:]
            if size > _LARGE or total > _MOST or not whole or name not in (*_PNG_METADATA, b"eXIf"):
                dropped = True
                continue
        kept += [header, content]
    return io.BytesIO(b"".join(kept)) if dropped else None


def _unpacked_size(name: bytes, content: bytes) -> int:
    """Bytes of a chunk's text or profile, unpacked no further than what counts as large."""
    keyword, _, rest = content.partition(b"\0")
    if name == b"tEXt" or (name == b"iTXt" and rest[:1] == b"\0"):
        return len(content)
    packed = rest[1:]
    if name == b"iTXt":  # flag, method, language and translated keyword, each of the last two with a zero byte
        packed = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    unpacking = zlib.decompressobj()
    try:
        size = len(keyword) + len(unpacking.decompress(packed, _LARGE + 1))
    except zlib.error:
        return _LARGE + 1  # damaged, and of no use
    return size if unpacking.eof else _LARGE + 1
