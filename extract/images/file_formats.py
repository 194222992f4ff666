"""The formats of image files, told by a file's name or by its first bytes, and the image files of a folder."""

from pathlib import Path

from PIL import Image

LOSSY = frozenset({"jpg", "webp", "avif"})
"""Formats that change pixels when an image is saved (WebP and AVIF unless they are told not to)."""

_SPELLINGS = {"jpeg": "jpg", "jpe": "jpg", "tiff": "tif"}
_FIRST_BYTES = (
    ("jpg", b"\xff\xd8\xff"),
    ("png", b"\x89PNG"),
    ("gif", b"GIF8"),
    ("bmp", b"BM"),
    ("tif", b"II*\0"),
    ("tif", b"MM\0*"),
)


def format_of_suffix(suffix: str) -> str:
    """Return the format that a file's suffix names, without dot, in lower case, in one spelling: `.JPEG` is `jpg`."""
    lower = suffix.lower().lstrip(".")
    return _SPELLINGS.get(lower, lower)


def format_of_bytes(content: bytes) -> str:
    """Return the format of an encoded image by its first bytes; `unknown` for another than the usual ones."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    return next((name for name, start in _FIRST_BYTES if content.startswith(start)), "unknown")


def is_image(path: Path) -> bool:
    """Return whether a path is a file that is named like an image and not hidden.

    macOS leaves a hidden `._x.jpg`, which is no image, beside `x.jpg` on disks that are not its own.
    """
    known = f".{format_of_suffix(path.suffix)}" in Image.registered_extensions()
    return known and not path.name.startswith(".") and path.is_file()


def image_files(folder: Path) -> list[Path]:
    """Return the image files below a folder in the order of their paths, without those in hidden folders."""
    return sorted(
        path
        for path in folder.rglob("*")
        if is_image(path) and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
