"""The header of a JPEG XL file: its size and orientation, which the package that decodes it does not tell beforehand.

The format: ISO/IEC 18181-1 (codestream: SizeHeader, ImageMetadata) and 18181-2 (boxes).
"""

from dataclasses import dataclass
from typing import BinaryIO

_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Width to height, which a header may give by a number instead of a width."""
_HEADER_BYTES = 16


@dataclass(frozen=True)
class Header:
    """What a codestream says first.

    Attributes
    ----------
    size : (int, int)
        Width and height in pixels as stored, before the image is turned.
    orientation : int
        As in EXIF, 1 to 8. Decoders turn the image by it, and EXIF's own then does not count.
    """

    size: tuple[int, int]
    orientation: int


def read_header(file: BinaryIO) -> Header:
    """Read the header of a JPEG XL file, a bare codestream or one in boxes.

    Raises
    ------
    ValueError
        The file has no codestream.
    """
    bits = _Bits(_codestream(file))
    if bits.take(16) != 0x0AFF:
        raise ValueError("no JPEG XL codestream")
    small = bits.take(1)
    height = 8 * (bits.take(5) + 1) if small else bits.take_size()
    ratio = bits.take(3)
    if ratio:
        width = height * _RATIOS[ratio - 1][0] // _RATIOS[ratio - 1][1]
    else:
        width = 8 * (bits.take(5) + 1) if small else bits.take_size()
    has_extra_fields = not bits.take(1) and bits.take(1)
    return Header((width, height), bits.take(3) + 1 if has_extra_fields else 1)


def _codestream(file: BinaryIO) -> bytes:
    """The first bytes of the codestream, which is in a box `jxlc`, or in parts `jxlp` with a number before each."""
    file.seek(0)
    start = file.read(12)
    if start[:2] == b"\xff\x0a":
        return start + file.read(_HEADER_BYTES)
    while len(header := file.read(8)) == 8:
        length, name = int.from_bytes(header[:4], "big"), header[4:]
        rest = length - 8
        if length == 1:
            rest = int.from_bytes(file.read(8), "big") - 16
        if name == b"jxlp":
            file.seek(4, 1)
        if name in (b"jxlc", b"jxlp"):
            return file.read(_HEADER_BYTES)
        if rest < 0:
            break
        file.seek(rest, 1)
    raise ValueError("no JPEG XL codestream")


class _Bits:
    """Reads numbers of some bits, the lowest bit first."""

    def __init__(self, content: bytes) -> None:
        self._rest = int.from_bytes(content, "little")

    def take(self, count: int) -> int:
        value = self._rest & ((1 << count) - 1)
        self._rest >>= count
        return value

    def take_size(self) -> int:
        """Return a width or height, of 9, 13, 18 or 30 bits."""
        return self.take((9, 13, 18, 30)[self.take(2)]) + 1
