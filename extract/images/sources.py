"""Where pixels come from: files, parts of files or arrays in memory, each with the hash of its content."""

import hashlib
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from head2toe.extract.images.decode import REMEDY, decode, sniffed
from head2toe.store.common.errors import DataError
from head2toe.store.common.files import printable
from PIL import Image

# Past its limit of pixels PIL warns, past twice the limit it refuses. Here the limit is one (`decode` refuses), so
# PIL's warning would say the same thing a second time.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)

LOSSY = frozenset({"jpg", "webp", "avif"})
"""Formats that change pixels when an image is saved (WebP and AVIF unless told not to)."""
SPELLINGS = {"jpeg": "jpg", "jpe": "jpg", "tiff": "tif"}


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


def read_slice(path: Path, offset: int, size: int) -> bytes:
    """`size` bytes of a file from `offset` on."""
    with path.open("rb") as file:
        file.seek(offset)
        found = file.read(size)
    if len(found) < size:
        raise OSError(f"{path} ends before byte {offset + size}")
    return found
