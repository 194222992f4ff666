"""Whether an image file holds several frames or pages, of which the first is decoded; told without decoding any."""

from collections.abc import Callable, Iterable
from typing import BinaryIO, Literal

from head2toe.extract.images.file_formats import HEAD_BYTES, format_of_bytes
from head2toe.extract.images.sources import EncodedImage, ImageFile, ImageSource
from head2toe.store.common.errors import DataError


def several_frames_note(images: Iterable[ImageSource]) -> list[str]:
    """Return a line that counts the images with several frames or pages and names one; none where there is none.

    Images that can't be read are left to whoever decodes them.
    """
    several = [image.name for image in images if _has_several(image)]
    if not several:
        return []
    which = "1 image has" if len(several) == 1 else f"{len(several)} images have"
    return [f"{which} several frames or pages, such as {several[0]}: the first one is used"]


def has_several_frames(file: BinaryIO) -> bool:
    """Return whether a file is an animation (GIF, WebP, PNG, AVIF) or has pages (TIFF); False for damaged ones.

    The further pictures of a JPEG (a thumbnail, a depth map), of a HEIF file and of an icon are no frames.

    Parameters
    ----------
    file : binary file
        It can be sought.
    """
    file.seek(0)
    head = file.read(HEAD_BYTES)
    counter = _COUNTERS.get(format_of_bytes(head))
    if counter is None:
        return False
    file.seek(0)
    try:
        return counter(file)
    except (IndexError, OSError, OverflowError):  # the file ends in the middle, or names a place that is none
        return False


def _has_several(image: ImageSource) -> bool:
    try:
        if isinstance(image, ImageFile | EncodedImage):
            with image.open() as file:
                return has_several_frames(file)
    except (DataError, OSError):
        return False
    return False


def _gif(file: BinaryIO) -> bool:
    """Blocks: an image (0x2C), an extension (0x21), or the end; each has parts that start with their length."""
    flags = file.read(13)[10]
    _skip_colours(file, flags)
    images = 0
    while (kind := file.read(1)) in (b"\x2c", b"\x21"):
        if kind == b"\x2c":
            images += 1
            if images == 2:
                return True
            _skip_colours(file, file.read(9)[8])
        file.seek(1, 1)  # of an image the code size, of an extension its label
        while length := file.read(1)[0]:
            file.seek(length, 1)
    return False


def _skip_colours(file: BinaryIO, flags: int) -> None:
    if flags & 0x80:
        file.seek(3 << ((flags & 7) + 1), 1)


def _png(file: BinaryIO) -> bool:
    """An animation's chunk `acTL` stands before the pixels, and starts with the number of frames."""
    file.seek(8)
    while len(header := file.read(8)) == 8 and header[4:] != b"IDAT":
        if header[4:] == b"acTL":
            return int.from_bytes(file.read(4), "big") > 1
        file.seek(int.from_bytes(header[:4], "big") + 4, 1)
    return False


def _webp(file: BinaryIO) -> bool:
    """An animation has a chunk `ANMF` for each frame."""
    file.seek(12)
    frames = 0
    while len(header := file.read(8)) == 8 and frames < 2:
        frames += header[:4] == b"ANMF"
        length = int.from_bytes(header[4:], "little")
        file.seek(length + length % 2, 1)
    return frames > 1


def _tif(file: BinaryIO) -> bool:
    """The first directory ends with the place of the next one, or 0."""
    head = file.read(16)
    order: Literal["little", "big"] = "little" if head[:2] == b"II" else "big"
    if 43 in head[2:4]:  # BigTIFF
        place, count_bytes, entry_bytes, place_bytes = int.from_bytes(head[8:16], order), 8, 20, 8
    else:
        place, count_bytes, entry_bytes, place_bytes = int.from_bytes(head[4:8], order), 2, 12, 4
    file.seek(place)
    entries = int.from_bytes(file.read(count_bytes), order)
    file.seek(entries * entry_bytes, 1)
    return int.from_bytes(file.read(place_bytes), order) > 0


def _avif(file: BinaryIO) -> bool:
    """A sequence's major brand is another one than a picture's."""
    return file.read(12)[8:] == b"avis"


_COUNTERS: dict[str, Callable[[BinaryIO], bool]] = {"gif": _gif, "png": _png, "webp": _webp, "tif": _tif, "avif": _avif}
