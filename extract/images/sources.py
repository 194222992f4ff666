"""Where pixels come from: files, parts of files or arrays in memory, each with the hash of its content."""

import hashlib
import io
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from head2toe.store.common.errors import DataError
from head2toe.store.common.files import printable
from PIL import Image, ImageOps, UnidentifiedImageError

# Past its limit of pixels PIL warns, past twice the limit it refuses. Here the limit is one (`decode` refuses), so
# PIL's warning would say the same thing a second time.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)

REMEDY = "mend or remove it, or pass --on-error skip"
BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, ArithmeticError, RuntimeError, MemoryError),
    struct.error,
)
"""What PIL's readers of single formats let through when a file is damaged (found by damaging files at random)."""
LOSSY = frozenset({"jpg", "webp", "avif"})
"""Formats that change pixels when an image is saved (WebP and AVIF unless told not to)."""
MAGIC = (
    ("jpg", b"\xff\xd8\xff"),
    ("png", b"\x89PNG"),
    ("gif", b"GIF8"),
    ("bmp", b"BM"),
    ("tif", b"II*\0"),
    ("tif", b"MM\0*"),
)
SPELLINGS = {"jpeg": "jpg", "jpe": "jpg", "tiff": "tif"}


def fault(error: DataError) -> str:
    """What is wrong with an image that is left out, without the advice to leave it out."""
    return str(error).removesuffix(f": {REMEDY}")


class ImageSource(Protocol):
    """One image: a name to show, a content hash to find its row in a store, and the pixels."""

    @property
    def name(self) -> str:
        """What a user would recognise the image by."""

    @property
    def format(self) -> str:
        """The file's format as an extension (`jpg`, `png`), `pixels` for an array."""

    def digest(self) -> str:
        """Sha256 (hex) of the image's content; two sources with one digest share a row of a feature store."""

    def load(self) -> Image.Image:
        """The pixels as an upright 8-bit RGB image. Raises DataError naming the image if it can't be read."""


@dataclass(frozen=True)
class ImageFile:
    """An image file."""

    path: Path

    @property
    def name(self) -> str:
        """The path, as text."""
        return printable(self.path)

    @property
    def format(self) -> str:
        """As the file's name says."""
        return extension(self.path.suffix)

    def digest(self) -> str:
        """Sha256 of the file's bytes: the same file under another name is the same image."""
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise DataError(f"can't read image {self.path} ({error.strerror}): {REMEDY}") from error

    def load(self) -> Image.Image:
        """See `decode`."""
        try:
            with self.path.open("rb") as file:
                return decode(self.name, file)
        except OSError as error:
            raise DataError(f"can't read image {self.path} ({error.strerror}): {REMEDY}") from error


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """The bytes of an image file that lie somewhere else: in a tar file, in a table.

    Its digest is that of the same bytes in a file of their own, so all ways of packing an image share its features.
    """

    name: str
    read: Callable[[], bytes]

    @property
    def format(self) -> str:
        """As the first bytes say."""
        return sniffed(self._bytes())

    def digest(self) -> str:
        """Sha256 of the bytes."""
        return hashlib.sha256(self._bytes()).hexdigest()

    def load(self) -> Image.Image:
        """See `decode`."""
        return decode(self.name, io.BytesIO(self._bytes()))

    def _bytes(self) -> bytes:
        try:
            return self.read()
        except OSError as error:
            raise DataError(f"can't read image {self.name}: {error.strerror or error}") from error


@dataclass(frozen=True, eq=False)
class ImageArray:
    """An image held in memory, uint8, (height, width) or (height, width, 3)."""

    name: str
    pixels: np.ndarray

    @property
    def format(self) -> str:
        """No file, no format."""
        return "pixels"

    def digest(self) -> str:
        """Sha256 of shape and pixels."""
        header = f"uint8{self.pixels.shape}".encode()
        return hashlib.sha256(header + np.ascontiguousarray(self.pixels).tobytes()).hexdigest()

    def load(self) -> Image.Image:
        """The array as an RGB image."""
        return Image.fromarray(self.pixels).convert("RGB")


def extension(suffix: str) -> str:
    """`.JPEG` as `jpg`: without the dot, in lower case, in one spelling."""
    plain = suffix.lower().lstrip(".")
    return SPELLINGS.get(plain, plain)


def is_image(path: Path) -> bool:
    """Whether a file's name ends as those of images do, and it isn't hidden: macOS leaves a `._x.jpg` by `x.jpg`."""
    known = f".{extension(path.suffix)}" in Image.registered_extensions()
    return known and not path.name.startswith(".") and path.is_file()


def image_files(folder: Path) -> list[Path]:
    """The image files below a folder in the order of their paths, but for those in hidden folders."""
    return sorted(
        path
        for path in folder.rglob("*")
        if is_image(path) and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def sniffed(content: bytes) -> str:
    """The format of an encoded image by its first bytes; `unknown` for another than the usual ones."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    return next((name for name, start in MAGIC if content.startswith(start)), "unknown")


def read_slice(path: Path, offset: int, size: int) -> bytes:
    """`size` bytes of a file from `offset` on."""
    with path.open("rb") as file:
        file.seek(offset)
        found = file.read(size)
    if len(found) < size:
        raise OSError(f"{path} ends before byte {offset + size}")
    return found


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
