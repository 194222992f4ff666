"""Where pixels come from: files on disk or arrays in memory, each with the hash of its content."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from head2toe.store.errors import DataError
from PIL import Image, ImageOps, UnidentifiedImageError


class ImageSource(Protocol):
    """One image: a name to show, a content hash to find its row in a store, and the pixels."""

    @property
    def name(self) -> str:
        """What a user would recognise the image by."""

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
        """The path."""
        return str(self.path)

    def digest(self) -> str:
        """Sha256 of the file's bytes: the same file under another name is the same image."""
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise DataError(f"can't read image {self.path}: {error.strerror}") from error

    def load(self) -> Image.Image:
        """Decode, turn upright as EXIF says, and bring to 8-bit RGB."""
        try:
            with Image.open(self.path) as image:
                image.load()
                return to_rgb(ImageOps.exif_transpose(image))
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            # PIL raises SyntaxError for some broken PNG files and ValueError for some broken headers.
            reason = "not an image" if isinstance(error, UnidentifiedImageError) else str(error)
            raise DataError(
                f"can't read image {self.path} ({reason}): mend or remove it, or pass --on-error skip"
            ) from error


@dataclass(frozen=True, eq=False)
class ImageArray:
    """An image held in memory, uint8, (height, width) or (height, width, 3)."""

    name: str
    pixels: np.ndarray

    def digest(self) -> str:
        """Sha256 of shape and pixels."""
        header = f"uint8{self.pixels.shape}".encode()
        return hashlib.sha256(header + np.ascontiguousarray(self.pixels).tobytes()).hexdigest()

    def load(self) -> Image.Image:
        """The array as an RGB image."""
        return Image.fromarray(self.pixels).convert("RGB")


def to_rgb(image: Image.Image) -> Image.Image:
    """Any PIL mode to 8-bit RGB; 16-bit greys are scaled, for PIL's own conversion clips them to white."""
    if image.mode.startswith("I") or image.mode == "F":
        grey = np.asarray(image, dtype=np.float64)
        scale = 255 / 65535 if grey.max(initial=0) > 255 else 1.0
        image = Image.fromarray(np.clip(grey * scale, 0, 255).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")
