"""The formats of image files that are read here, told by a file's name or by its first bytes."""

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from head2toe.store.common.errors import DataError

LOSSY = frozenset({"jpg", "webp", "avif", "heif", "jxl"})
"""Formats that change pixels when an image is saved (WebP, AVIF and JPEG XL unless they are told not to)."""

HEAD_BYTES = 64
"""So many first bytes tell a format."""

PLUGINS = {"heif": ("pillow_heif", "heif"), "jxl": ("pillow_jxl", "jxl")}
"""Formats that Pillow reads through another package: the module, and the extra that brings it."""

_SPELLINGS = {
    **dict.fromkeys(("jpeg", "jpe", "jfif", "mpo"), "jpg"),
    **dict.fromkeys(("tiff",), "tif"),
    **dict.fromkeys(("apng",), "png"),
    **dict.fromkeys(("dib",), "bmp"),
    **dict.fromkeys(("avifs",), "avif"),
    **dict.fromkeys(("heic", "heics", "heifs", "hif"), "heif"),
    **dict.fromkeys(("j2k", "jpc", "jpf", "jpx", "j2c"), "jp2"),
    **dict.fromkeys(("pbm", "pgm", "pnm", "pfm"), "ppm"),
    **dict.fromkeys(("icb", "vda", "vst"), "tga"),
    **dict.fromkeys(("rgb", "rgba", "bw"), "sgi"),
}
_FORMATS = frozenset(
    (
        *("jpg", "png", "webp", "gif", "tif", "bmp", "avif", "heif", "jxl", "jp2"),
        *("ppm", "qoi", "tga", "ico", "pcx", "sgi", "ras", "psd", "dds"),
    )
)
_FIRST_BYTES = (
    ("jpg", rb"\xff\xd8\xff"),
    ("png", rb"\x89PNG\r\n\x1a\n"),
    ("gif", rb"GIF8[79]a"),
    ("webp", rb"RIFF....WEBP"),
    ("tif", rb"MM\0[*+]|II[*+]\0|MM\*\0|II\0\*"),
    ("jp2", rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n"),
    ("jxl", rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n"),
    ("avif", rb"....ftyp(?:....)*?avi[fs]"),
    ("heif", rb"....ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)"),
    ("ppm", rb"P[1-6fy]\s"),
    ("qoi", rb"qoif"),
    ("ico", rb"\0\0\x01\0"),
    ("sgi", rb"\x01\xda"),
    ("ras", rb"\x59\xa6\x6a\x95"),
    ("psd", rb"8BPS"),
    ("dds", rb"DDS "),
    ("bmp", rb"BM"),
    ("pcx", rb"\x0a[\0\x02\x03\x05][\0\x01]"),
    # Targa files start with no mark: colour map, kind, width and height (not 0) and depth must go together.
    ("tga", rb".(?:\x01[\x01\x09]|\0[\x02\x03\x0a\x0b]).{9}(?!\0\0|..\0\0).{4}[\x01\x08\x0f\x10\x18\x20][\0-\x3f]"),
)
_UNREAD = (
    ("PostScript, which is a program", rb"%!PS|\xc5\xd0\xd3\xc6"),
    ("a PDF document", rb"%PDF"),
    ("a Git LFS pointer instead of the file: git lfs pull", rb"version https://git-lfs"),
    ("a web page", rb"\s*<(?i:!doctype html|html|head)"),
    ("an SVG drawing", rb"\s*<svg|\s*<\?xml.*?<(?:!DOCTYPE )?svg"),
    ("XML, as servers answer with when they refuse a file", rb"\s*<\?xml"),
    ("JSON", rb"\s*\{\s*\""),
    ("a film", rb"....ftyp|\0\0\x01[\xb3\xba]|RIFF....AVI "),
    ("HDF5", rb"\x89HDF"),
    ("a Windows metafile", rb"\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF"),
)

_PACKED = (
    ("a Git LFS pointer instead of the file: git lfs pull", rb"version https://git-lfs"),
    ("a web page instead of the file: fetch it again", rb"\s*<(?i:!doctype html|html|head)"),
    ("compressed (gzip): unpack it", rb"\x1f\x8b"),
    ("compressed (bzip2): unpack it", rb"BZh"),
    ("compressed (xz): unpack it", rb"\xfd7zXZ"),
    ("compressed (zstd): unpack it", rb"\x28\xb5\x2f\xfd"),
    (
        "a workbook of Excel: save it as CSV (UTF-8)",
        rb"\xd0\xcf\x11\xe0|PK\x03\x04.{26}(?:\[Content_Types\]|_rels/|xl/|docProps/)",
    ),
    ("a spreadsheet: save it as CSV (UTF-8)", rb"PK\x03\x04.{26}mimetype"),
    ("an archive: unpack it", rb"PK\x03\x04|7z\xbc\xaf|Rar!"),
)
"""What passes for a table or for an archive of images, and what to do about it."""


def format_of_suffix(suffix: str) -> str:
    """Return the format that a file's suffix names, without dot, in lower case, in one spelling: `.JPEG` is `jpg`."""
    lower = suffix.lower().lstrip(".")
    return _SPELLINGS.get(lower, lower)


def format_of_bytes(content: bytes) -> str:
    """Return the format of an encoded image by its first bytes (`HEAD_BYTES` will do); `unknown` for any other."""
    return _match(_FIRST_BYTES, content) or "unknown"


def describe_unread(content: bytes) -> str:
    """Return in words what a file of an unknown format is, by its first bytes; empty where that is unknown, too."""
    return _match(_UNREAD, content) or ""


def check_content(path: Path) -> None:
    """Check that a table or an archive of images is not another file: a pointer of Git LFS, a web page, a workbook.

    Raises
    ------
    DataError
        It is, by its first bytes; the message says what it is and what to do.
    """
    try:
        with path.open("rb") as file:
            what = _match(_PACKED, file.read(HEAD_BYTES))
    except OSError:
        return  # which whoever reads it says
    if what:
        raise DataError(f"can't read {path}, which is {what}")


def is_readable_format(format: str) -> bool:
    """Return whether images of a format are read: one of those known here, its package installed if it needs one."""
    return format in _FORMATS and (format not in PLUGINS or _is_installed(PLUGINS[format][0]))


def remedy_of_format(format: str) -> str:
    """Return how to make a format readable, `pip install 'head2toe[heif]'`; empty where nothing would."""
    missing = format in PLUGINS and not is_readable_format(format)
    return f"pip install 'head2toe[{PLUGINS[format][1]}]'" if missing else ""


def is_image(path: Path) -> bool:
    """Return whether a path is a file that is named like an image and not hidden.

    macOS leaves a hidden `._x.jpg`, which is no image, beside `x.jpg` on disks that are not its own.
    """
    return is_readable_format(format_of_suffix(path.suffix)) and not path.name.startswith(".") and path.is_file()


@cache
def _is_installed(module: str) -> bool:
    return find_spec(module) is not None


def _match(patterns: tuple[tuple[str, bytes], ...], content: bytes) -> str | None:
    head = content[:HEAD_BYTES]
    return next((name for name, pattern in patterns if re.match(pattern, head, re.DOTALL)), None)
