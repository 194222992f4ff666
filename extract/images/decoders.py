"""The decoders that may touch an image: an allow-list, chosen by content, none of which starts a program.

`PIL.Image.open` tries every format that Pillow has heard of: of EPS it starts Ghostscript, and other packages may add
to the list. Here the first bytes name a format, and its class of Pillow's is called.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import BinaryIO

from head2toe.extract.images import jpeg_xl
from head2toe.extract.images.file_formats import (
    HEAD_BYTES,
    describe_unread,
    format_of_bytes,
    is_readable_format,
    remedy_of_format,
)
from PIL import ImageFile, JpegImagePlugin, TiffImagePlugin


class _Jpeg(JpegImagePlugin.JpegImageFile):
    """A JPEG whose resolution in EXIF is not read: it concerns no pixel, and a tag of a wrong type makes Pillow fail.

    Of several pictures in the file (MPO), this one is the photo; Pillow's own choice of MPO fails on a damaged list.
    """

    def _read_dpi_from_exif(self) -> None:
        pass


class _Tiff(TiffImagePlugin.TiffImageFile):
    """A TIFF whose tags beside the pixels (resolution, GPS, …) may be of any type."""

    def _setup(self) -> None:
        for tag in (TiffImagePlugin.X_RESOLUTION, TiffImagePlugin.Y_RESOLUTION):
            if tag in self.tag_v2:
                del self.tag_v2[tag]
        super()._setup()

    def load_end(self) -> None:
        """Turn the image upright, as Pillow does; where tags keep it from that, `decode` turns it."""
        try:
            super().load_end()
        except MemoryError:
            raise
        except Exception:  # tags of any type raise anything
            return


_OPENERS: Mapping[str, str | type[ImageFile.ImageFile]] = {
    "jpg": _Jpeg,
    "png": "PIL.PngImagePlugin.PngImageFile",
    "webp": "PIL.WebPImagePlugin.WebPImageFile",
    "gif": "PIL.GifImagePlugin.GifImageFile",
    "tif": _Tiff,
    "bmp": "PIL.BmpImagePlugin.BmpImageFile",
    "avif": "PIL.AvifImagePlugin.AvifImageFile",
    "heif": "pillow_heif.HeifImageFile",
    "jxl": "pillow_jxl.JpegXLImagePlugin.JXLImageFile",
    "jp2": "PIL.Jpeg2KImagePlugin.Jpeg2KImageFile",
    "ppm": "PIL.PpmImagePlugin.PpmImageFile",
    "qoi": "PIL.QoiImagePlugin.QoiImageFile",
    "tga": "PIL.TgaImagePlugin.TgaImageFile",
    "ico": "PIL.IcoImagePlugin.IcoImageFile",
    "pcx": "PIL.PcxImagePlugin.PcxImageFile",
    "sgi": "PIL.SgiImagePlugin.SgiImageFile",
    "ras": "PIL.SunImagePlugin.SunImageFile",
    "psd": "PIL.PsdImagePlugin.PsdImageFile",
    "dds": "PIL.DdsImagePlugin.DdsImageFile",
}


class NoImage(Exception):
    """A file's content is of no format that is read; the message says what it is."""


class TooLarge(Exception):
    """An image has more pixels than are allowed; the message says how many."""


def open_image(file: BinaryIO, max_pixels: int) -> ImageFile.ImageFile:
    """Open an image by its content, without decoding its pixels (but for JPEG XL, whose package decodes at once).

    Parameters
    ----------
    file : binary file
        It can be sought, and stays open.
    max_pixels : int
        The most pixels (width x height) that an image may have.

    Raises
    ------
    NoImage
        The content is of no format on the allow-list, or of one whose package is not installed.
    TooLarge
        It has more pixels.
    Exception
        Whatever a decoder of Pillow's raises for damaged content.
    """
    file.seek(0)
    head = file.read(HEAD_BYTES)
    format = format_of_bytes(head)
    if format not in _OPENERS:
        raise NoImage(_description(head))
    if not is_readable_format(format):
        raise NoImage(f"{format.upper()}, which needs another package: {remedy_of_format(format)}")
    header = jpeg_xl.read_header(file) if format == "jxl" else None
    size = header.size if header else _webp_size(head) if format == "webp" else None
    if size:  # these decoders take memory for all pixels when they open a file
        _check(size, max_pixels)
    file.seek(0)
    image = _opener(format)(file)
    _check(image.size, max_pixels)
    if header and header.orientation != 1 and not getattr(image, "jpeg", False):
        image.getexif().clear()  # the decoder has turned the image by its header, and EXIF's orientation does not count
    return image


def claimed_size(file: BinaryIO, max_pixels: int) -> tuple[int, int]:
    """Return the width and height that a file's header claims, (0, 0) where it claims none; raises MemoryError."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    try:
        if (format := format_of_bytes(head)) == "webp":
            return _webp_size(head) or (0, 0)
        return jpeg_xl.read_header(file).size if format == "jxl" else open_image(file, max_pixels).size
    except MemoryError:
        raise
    except Exception:  # as of `open_image`
        return 0, 0


def _webp_size(head: bytes) -> tuple[int, int] | None:
    """Width and height by the first chunk of a WebP file: VP8X, VP8L (lossless) or VP8."""
    chunk, bits = head[12:16], int.from_bytes(head[21:25], "little")
    if len(head) < 30:
        return None
    if chunk == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if chunk == b"VP8L":
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF


def _check(size: tuple[int, int], max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        raise TooLarge(f"{size[0]} x {size[1]}")


def _opener(format: str) -> type[ImageFile.ImageFile]:
    """The class of Pillow's that reads a format; modules are imported when they are needed."""
    opener = _OPENERS[format]
    if not isinstance(opener, str):
        return opener
    module, _, name = opener.rpartition(".")
    try:
        opener_class: type[ImageFile.ImageFile] = getattr(import_module(module), name)
    except ImportError as error:  # AVIF in an older Pillow
        raise NoImage(f"{format.upper()}, which needs a newer Pillow: {error}") from error
    return opener_class


def _description(head: bytes) -> str:
    if not head:
        return "the file is empty"
    unread = describe_unread(head)
    return f"not an image, but {unread}" if unread else "not an image"
