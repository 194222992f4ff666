"""Decoding of an image file's bytes to an upright 8-bit RGB image, and the errors about images that can't be."""

import io
import struct
import warnings
from typing import BinaryIO

import numpy as np
from head2toe.store.common.errors import DataError
from PIL import Image, ImageOps, UnidentifiedImageError

# Past its limit of pixels PIL warns, past twice the limit it refuses. Here the limit is one (`decode` refuses), so
# PIL's warning would say the same thing a second time.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)

_REMEDY = "mend or remove it, or pass --on-error skip"
_DECODING_ERRORS = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, ArithmeticError, RuntimeError, MemoryError),
    struct.error,
)
"""What PIL's readers of single formats let through when a file is damaged (known from damaging files at random)."""


def decode(name: str, file: BinaryIO) -> Image.Image:
    """Decode an image file, turn it upright as EXIF says, and bring it to 8-bit RGB.

    Parameters
    ----------
    name : str
        What messages call the image.
    file : binary file
        The image's bytes, in any format that PIL reads.

    Returns
    -------
    PIL.Image.Image
        The image in mode `RGB`.

    Raises
    ------
    DataError
        The file is empty, damaged, no image, or has more pixels than `PIL.Image.MAX_IMAGE_PIXELS` (89 million, unless
        the program sets another limit): a file of a few kilobytes can claim to be any size (a decompression bomb).
    """
    try:
        with Image.open(file) as image:
            width, height = image.size
            if Image.MAX_IMAGE_PIXELS and width * height > Image.MAX_IMAGE_PIXELS:
                raise _too_large(name, f"{width} x {height}")
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name, "far too many") from error
    except UnidentifiedImageError as error:
        raise unreadable_image(name, "not an image" if file.seek(0, io.SEEK_END) else "the file is empty") from error
    except _DECODING_ERRORS as error:
        raise unreadable_image(name, str(error) or type(error).__name__) from error


def unreadable_image(name: str, reason: str) -> DataError:
    """Return the error about an image that can't be read: its name, the reason, and what to do."""
    return DataError(f"can't read image {name} ({reason}): {_REMEDY}")


def without_remedy(error: DataError) -> str:
    """Return an error's message without what to do about it, for an image that is left out already."""
    return str(error).removesuffix(f": {_REMEDY}")


def _too_large(name: str, pixels: str) -> DataError:
    limit = f"{(Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} million"
    return DataError(
        f"can't read image {name} ({pixels} pixels; the limit is {limit}, against decompression bombs): "
        "shrink or remove it, or pass --on-error skip"
    )


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert any of PIL's modes to 8-bit RGB; 16-bit greys are scaled, for PIL's own conversion clips them to white.

    Raises
    ------
    ValueError
        A grey of 32 bits holds values that are of no known range.
    """
    if image.mode.startswith("I") or image.mode == "F":
        grey = np.asarray(image, dtype=np.float64)
        white = _white_value(image.mode, float(grey.max(initial=0)))
        image = Image.fromarray(np.clip(grey * (255 / white), 0, 255).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def _white_value(mode: str, highest: float) -> float:
    """Which value is white: `I;16` says so, however dark the image is; `I` and `F` (32-bit) hold any range."""
    if mode.startswith("I;16"):
        return 65535
    if mode == "F" and highest <= 1:
        return 1
    if not highest <= 65535:  # nor is NaN
        raise ValueError(f"32-bit grey with values up to {highest:g}, which is neither 8- nor 16-bit: save it as such")
    return 65535 if highest > 255 else 255
