"""Decoding of an image file's bytes to an upright 8-bit RGB image, and the errors about images that can't be."""

import errno
import re
import warnings
from typing import BinaryIO

import numpy as np
from head2toe.extract.images.decoders import NoImage, TooLarge, claimed_size, open_image
from head2toe.extract.images.metadata import without_failing_metadata
from head2toe.extract.options import MAX_PIXELS
from head2toe.store.common.errors import DataError, OutOfMemory
from PIL import Image

# What is wrong with an image that can't be read is said once, in the error; of the others, Pillow's words about tags
# and palettes concern no pixel.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.simplefilter("ignore", Image.DecompressionBombWarning)

SCARCE = (errno.ENOMEM, errno.EMFILE, errno.ENFILE)
"""Numbers of system errors that say nothing of a file: memory or open files have run out."""

_REMEDY = "mend or remove it, or pass --on-error skip"
_BYTES_A_PIXEL = 20
"""What decoding takes at most: 8 in most formats (the file's own pixels and RGB beside them), 19 in JPEG 2000."""
_STRIP = 1 << 20
"""Pixels that are converted at once."""
_UNDERSHOT = 0.25
"""How far below 0 a grey may lie as a share of the highest, where a filter has overshot: it is black."""
_ROUNDING = 1e-3
_NEITHER = "which is neither 8- nor 16-bit: save it as such"
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How an image becomes upright, by EXIF's orientation."""


def decode(name: str, file: BinaryIO, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode an image file, turn it upright as EXIF says, and bring it to 8-bit RGB.

    Of several frames or pages, the first is decoded. It takes about eight bytes of memory a pixel at most, in most
    formats (docs/tasks.md has measured figures).

    Parameters
    ----------
    name : str
        What messages call the image.
    file : binary file
        The image's bytes, in a format of `head2toe.extract.images.decoders`, whatever the file is called.
    max_pixels : int
        The most pixels (width x height) that an image may have: a file of a few kilobytes can claim to be any size (a
        decompression bomb).

    Returns
    -------
    PIL.Image.Image
        The image in mode `RGB`.

    Raises
    ------
    DataError
        The file is empty, damaged, no image, or has more pixels than `max_pixels`.
    OutOfMemory
        There is too little memory to decode it, which is no fault of the image.
    """
    failure = None
    # A second time without metadata that makes Pillow fail, and because other threads may have taken the memory, which
    # some decoders call damage.
    for attempt in range(2):
        content = (without_failing_metadata(file) or file) if attempt else file
        try:
            return _upright_rgb(content, max_pixels)
        except NoImage as error:
            raise unreadable_image(name, str(error)) from error
        except TooLarge as error:
            limit = f"the limit is {max_pixels / 1e6:g} million, which --max-pixels changes"
            raise unreadable_image(name, f"{error} pixels; {limit}") from error
        except MemoryError as error:
            raise out_of_memory(name) from error
        except Image.DecompressionBombError as error:
            most = f"more than {2e-6 * (Image.MAX_IMAGE_PIXELS or 0):.0f} million pixels"
            raise unreadable_image(name, f"{most}, which is the most that Pillow reads of this format") from error
        except Exception as error:  # Pillow's readers of single formats let anything through, AssertionError included
            failure = error.with_traceback(None)  # which would hold the pixels
    assert failure is not None
    if _is_out_of_memory(failure) or not _has_memory(file, max_pixels):
        raise out_of_memory(name) from failure
    raise unreadable_image(name, str(failure) or type(failure).__name__) from failure


def unreadable_image(name: str, reason: str) -> DataError:
    """Return the error about an image that can't be read: its name, the reason, and what to do."""
    return DataError(f"can't read image {name} ({reason}): {_REMEDY}")


def out_of_memory(name: str) -> OutOfMemory:
    """Return the error about memory that ran out at an image."""
    return OutOfMemory(
        f"memory ran out while image {name} was decoded, which says nothing against the image: "
        "give the process more memory, run fewer at once, or shrink large images"
    )


def without_remedy(error: DataError) -> str:
    """Return an error's message without what to do about it, for an image that is left out already."""
    return str(error).removesuffix(f": {_REMEDY}")


def _upright_rgb(file: BinaryIO, max_pixels: int) -> Image.Image:
    """Decode; every step lets go of the pixels before it, which is why one name holds them all."""
    image: Image.Image = open_image(file, max_pixels)
    image.load()
    turn = _turn(image)
    if image.mode.startswith("I") or image.mode == "F":
        image = _eight_bits(image)
    image.info.pop("transparency", None)  # it is dropped; of some kinds Pillow would warn
    if image.mode != "RGB":
        image = image.convert("RGB")
    return image if turn is None else image.transpose(turn)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """How the image becomes upright; tags of other kinds, however odd, are not looked at."""
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except MemoryError:
        raise
    except Exception:  # no EXIF that can be read says nothing about the pixels
        return None


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale a grey of 16 or 32 bits to 8, strip by strip; PIL's own conversion clips it to white.

    Raises
    ------
    ValueError
        A grey of 32 bits holds values that are of no known range.
    """
    width, height = image.size
    rows = max(1, _STRIP // width)
    boxes = [(0, top, width, min(top + rows, height)) for top in range(0, height, rows)]
    lowest, highest = 0.0, 0.0
    if not image.mode.startswith("I;16"):
        ranges = np.array([_range(np.asarray(image.crop(box))) for box in boxes])
        lowest, highest = float(ranges.min(initial=0)), float(ranges.max(initial=0))
    scale = 255 / _white_value(image.mode, lowest, highest)
    grey = Image.new("L", image.size)
    for box in boxes:
        strip = np.asarray(image.crop(box), dtype=np.float64)
        grey.paste(Image.fromarray(np.clip(strip * scale, 0, 255).astype(np.uint8)), box)
    return grey


def _range(values: np.ndarray) -> tuple[float, float]:
    return float(values.min(initial=0)), float(values.max(initial=0))


def _white_value(mode: str, lowest: float, highest: float) -> float:
    """Which value is white: `I;16` says so, however dark the image is; `I` and `F` (32-bit) hold any range."""
    if mode.startswith("I;16"):
        return 65535
    # Floats between 0 and 1, and a little above where a filter has overshot; NaN is of no range.
    white = 1 if mode == "F" and highest <= 2 else 255 if highest <= 255 else 65535
    if not highest <= max(white, 2):
        raise ValueError(f"32-bit grey with values up to {highest:g}, {_NEITHER}")
    if lowest < -_UNDERSHOT * highest - _ROUNDING:
        raise ValueError(f"32-bit grey with values from {lowest:g} to {highest:g}, {_NEITHER}")
    return white


def _is_out_of_memory(error: Exception) -> bool:
    """Whether a decoder says so in its own words."""
    return getattr(error, "errno", None) in SCARCE or bool(re.search("out of memory|cannot allocate", str(error), re.I))


def _has_memory(file: BinaryIO, max_pixels: int) -> bool:
    """Whether there is memory enough to decode the image: some decoders call it damaged if there is not."""
    try:
        width, height = claimed_size(file, max_pixels)
        np.empty(_BYTES_A_PIXEL * width * height + (32 << 20), np.uint8)
    except MemoryError:
        return False
    return True
