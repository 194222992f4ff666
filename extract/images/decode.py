"""From bytes to an RGB picture: what is decoded, turned and flattened, and what is refused."""

import io
import struct
from typing import BinaryIO

import numpy as np
from head2toe.store.common.errors import DataError
from PIL import Image, ImageOps, UnidentifiedImageError

REMEDY = "mend or remove it, or pass --on-error skip"


BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, ArithmeticError, RuntimeError, MemoryError),
    struct.error,
)
"""What PIL's readers of single formats let through when a file is damaged (found by damaging files at random)."""


MAGIC = (
    ("jpg", b"\xff\xd8\xff"),
    ("png", b"\x89PNG"),
    ("gif", b"GIF8"),
    ("bmp", b"BM"),
    ("tif", b"II*\0"),
    ("tif", b"MM\0*"),
)


def fault(error: DataError) -> str:
    """What is wrong with an image that is left out, without the advice to leave it out."""
    return str(error).removesuffix(f": {REMEDY}")


def sniffed(content: bytes) -> str:
    """The format of an encoded image by its first bytes; `unknown` for another than the usual ones."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    return next((name for name, start in MAGIC if content.startswith(start)), "unknown")


def decode(name: str, file: BinaryIO) -> Image.Image:
    """Decode an image file, turn it upright as EXIF says, and bring it to 8-bit RGB.

    Parameters
    ----------
    name : str
        What messages call the image.
    file : binary file
        Its bytes, in any format that PIL reads.

    Raises
    ------
    DataError
        It is empty, damaged, no image, or has more pixels than `PIL.Image.MAX_IMAGE_PIXELS` (89 million, unless the
        program sets another limit): a file of a few kilobytes can claim to be any size (a decompression bomb).
    """
    try:
        with Image.open(file) as image:
            width, height = image.size
            if Image.MAX_IMAGE_PIXELS and width * height > Image.MAX_IMAGE_PIXELS:
                raise DataError(too_large(name, f"{width} x {height}"))
            image.load()
            return to_rgb(ImageOps.exif_transpose(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(too_large(name, "far too many")) from error
    except UnidentifiedImageError as error:
        reason = "not an image" if file.seek(0, io.SEEK_END) else "the file is empty"
        raise DataError(f"can't read image {name} ({reason}): {REMEDY}") from error
    except BROKEN as error:
        raise DataError(f"can't read image {name} ({error or type(error).__name__}): {REMEDY}") from error


def too_large(name: str, pixels: str) -> str:
    """The message about an image beyond the limit."""
    limit = f"{(Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} million"
    return (
        f"can't read image {name} ({pixels} pixels; the limit is {limit}, against decompression bombs): "
        "shrink or remove it, or pass --on-error skip"
    )


def to_rgb(image: Image.Image) -> Image.Image:
    """Any PIL mode to 8-bit RGB; 16-bit greys are scaled, for PIL's own conversion clips them to white.

    Raises
    ------
    ValueError
        A grey of 32 bits holds values that are of no known range.
    """
    if image.mode.startswith("I") or image.mode == "F":
        grey = np.asarray(image, dtype=np.float64)
        white = _white(image.mode, float(grey.max(initial=0)))
        image = Image.fromarray(np.clip(grey * (255 / white), 0, 255).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def _white(mode: str, highest: float) -> float:
    """Which value is white: `I;16` says so, however dark the image is; `I` and `F` (32-bit) hold any range."""
    if mode.startswith("I;16"):
        return 65535
    if mode == "F" and highest <= 1:
        return 1
    if not highest <= 65535:  # nor is NaN
        raise ValueError(f"32-bit grey with values up to {highest:g}, which is neither 8- nor 16-bit: save it as such")
    return 65535 if highest > 255 else 255
