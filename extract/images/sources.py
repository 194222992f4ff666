"""Images by where their bytes are: a file, a part of another file, or an array in memory; each with a content hash."""

import hashlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from head2toe.extract.images.decode import SCARCE, decode, unreadable_image
from head2toe.extract.images.file_formats import format_of_bytes, format_of_suffix
from head2toe.extract.options import MAX_PIXELS
from head2toe.store.common.errors import DataError
from head2toe.store.common.files import printable
from PIL import Image


class ImageSource(Protocol):
    """One image: a name to show, a content hash to find its row in a store by, and its pixels."""

    @property
    def name(self) -> str:
        """What a user would recognise the image by."""

    @property
    def format(self) -> str:
        """The format of its file as a suffix without dot (`jpg`, `png`), or `pixels` for an array."""

    def digest(self) -> str:
        """Return the SHA-256 (hex) of the image's content.

        Two sources with one digest share a row of a feature store.

        Raises
        ------
        DataError
            The image can't be read; the message names it.
        """

    def load(self) -> Image.Image:
        """Return the pixels as an upright 8-bit RGB image.

        Raises
        ------
        DataError
            The image can't be read; the message names it.
        """


@dataclass(frozen=True)
class ImageFile:
    """An image in a file of its own.

    Attributes
    ----------
    path : Path
        The file.
    max_pixels : int
        The most pixels that it may have.
    url : str, optional
        Where the file was fetched from: what messages and results call the image then.
    cells : tuple of (str, str)
        What the table that names the image says of it besides: column and text.
    """

    path: Path
    max_pixels: int = field(default=MAX_PIXELS, compare=False)
    url: str | None = field(default=None, compare=False)
    cells: tuple[tuple[str, str], ...] = field(default=(), compare=False, repr=False)

    @property
    def name(self) -> str:
        """The file's path, or where the file was fetched from."""
        return printable(self.url or self.path)

    @property
    def format(self) -> str:
        """The format that the file's name says."""
        return format_of_suffix(self.path.suffix)

    def digest(self) -> str:
        """Return the SHA-256 (hex) of the file's bytes: the same file under another name is the same image."""
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise _unreadable(self.name, error) from error

    def open(self) -> BinaryIO:
        """Open the file; raises OSError."""
        return self.path.open("rb")

    def load(self) -> Image.Image:
        """Return the decoded image; errors are those of `decode`."""
        try:
            with self.open() as file:
                return decode(self.name, file, self.max_pixels)
        except OSError as error:
            raise _unreadable(self.name, error) from error


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """An image file's bytes that are part of something else: of a tar file, of a table.

    Its digest is that of the same bytes in a file of their own, so all ways of packing an image share its features.

    Attributes
    ----------
    name : str
        What messages call the image.
    read : callable
        Returns the bytes; may raise OSError.
    max_pixels : int
        The most pixels that it may have.
    """

    name: str
    read: Callable[[], bytes]
    max_pixels: int = MAX_PIXELS

    @property
    def format(self) -> str:
        """The format that the first bytes say."""
        return format_of_bytes(self._bytes())

    def digest(self) -> str:
        """Return the SHA-256 (hex) of the bytes."""
        return hashlib.sha256(self._bytes()).hexdigest()

    def open(self) -> BinaryIO:
        """Return the bytes as a file; errors are those of `digest`."""
        return io.BytesIO(self._bytes())

    def load(self) -> Image.Image:
        """Return the decoded image; errors are those of `decode`."""
        return decode(self.name, self.open(), self.max_pixels)

    def _bytes(self) -> bytes:
        try:
            return self.read()
        except OSError as error:
            if error.errno in SCARCE:
                raise
            raise DataError(f"can't read image {self.name}: {error.strerror or error}") from error


@dataclass(frozen=True, eq=False)
class ImageArray:
    """An image in memory.

    Attributes
    ----------
    name : str
        What messages call the image.
    pixels : (height, width) or (height, width, 3) uint8 array
        Grey or RGB values.
    """

    name: str
    pixels: np.ndarray

    @property
    def format(self) -> str:
        """`pixels`: an array has no file format."""
        return "pixels"

    def digest(self) -> str:
        """Return the SHA-256 (hex) of shape and pixels."""
        header = f"uint8{self.pixels.shape}".encode()
        return hashlib.sha256(header + np.ascontiguousarray(self.pixels).tobytes()).hexdigest()

    def load(self) -> Image.Image:
        """Return the array as an RGB image."""
        return Image.fromarray(self.pixels).convert("RGB")


def image_bytes(cell: dict[str, Any], folder: Path) -> bytes:
    """Return the bytes of an image in a table that Hugging Face `datasets` wrote.

    Parameters
    ----------
    cell : dict
        `bytes`, or else `path`, the name of a file below the folder: a table from elsewhere opens no other file.
    folder : Path
        The folder of the table.

    Raises
    ------
    OSError
        There are no bytes, and no such file.
    """
    if cell.get("bytes") is not None:
        return bytes(cell["bytes"])
    if cell.get("path") is None:
        raise OSError("the row has no image")
    file = folder / str(cell["path"])
    if not file.resolve().is_relative_to(folder.resolve()) or not file.is_file():
        raise OSError(f"the row names {str(cell['path'])[:200]}, which is no file in {folder}")
    return file.read_bytes()


def with_limit(images: Iterable[ImageSource], max_pixels: int) -> tuple[ImageSource, ...]:
    """Return images of which none that has more pixels than `max_pixels` is read; arrays in memory stay as they are."""
    return tuple(
        replace(image, max_pixels=max_pixels) if isinstance(image, ImageFile | EncodedImage) else image
        for image in images
    )


def _unreadable(name: str, error: OSError) -> Exception:
    """The error about an image whose bytes can't be read: the system's own where it is no fault of the image."""
    return error if error.errno in SCARCE else unreadable_image(name, error.strerror or str(error))
