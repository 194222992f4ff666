"""PNG files without their large metadata: a colour profile or text that concerns no pixel, but makes Pillow fail."""

import io
import zlib
from typing import BinaryIO

_LARGE = 1 << 20
"""Bytes of a profile or text, unpacked, from which on Pillow refuses the whole file."""
_MOST = 16 * _LARGE
"""Bytes of all metadata together that are kept."""
_METADATA = (b"iCCP", b"tEXt", b"zTXt", b"iTXt")


def without_large_metadata(file: BinaryIO) -> BinaryIO | None:
    """Return a PNG file without colour profile and texts that are larger than Pillow reads.

    Small ones stay: an EXIF orientation may be among them.

    Parameters
    ----------
    file : binary file
        Any file; it can be sought.

    Returns
    -------
    binary file or None
        The smaller file in memory; None where the file is no PNG, or there is nothing to leave out.
    """
    file.seek(0)
    signature = file.read(8)
    if signature != b"\x89PNG\r\n\x1a\n":
        return None
    kept, total, dropped = [signature], 0, False
    while len(header := file.read(8)) == 8:
        length, name = int.from_bytes(header[:4], "big"), header[4:]
        content = file.read(length + 4)  # with its checksum
        if name in _METADATA:
            size = _unpacked_size(name, content[:-4])
            total += size
            if size > _LARGE or total > _MOST:
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
    try:
        return len(keyword) + len(zlib.decompressobj().decompress(packed, _LARGE + 1))
    except zlib.error:
        return _LARGE + 1  # damaged, and of no use
