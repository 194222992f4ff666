"""What a folder holds: its images, and by kind what is left out of it."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from head2toe.extract.images.file_formats import format_of_suffix, is_image, is_readable_format, remedy_of_format
from head2toe.store.common.files import printable

HELPER_FOLDERS = frozenset(
    {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found"}
)
"""Folders that systems and file servers leave among images, in lower case; hidden ones (`.git`) are of their kind."""

_HELPER_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
_MOST_KINDS = 6
"""So many kinds of files are named in a note."""


@dataclass(frozen=True)
class FolderContents:
    """What a folder and the folders in it hold.

    Attributes
    ----------
    images : tuple of Path
        The image files in the order of their paths.
    left_out : Counter of str
        Number of the other files by kind: a suffix in lower case (`.heic`), or in words why they are left out.
        Hidden files and those that a system leaves in every folder are not counted.
    """

    images: tuple[Path, ...]
    left_out: Counter[str]


def is_helper_folder(name: str) -> bool:
    """Return whether a folder of this name is hidden or of those that systems leave among images."""
    return name.startswith(".") or name.lower() in HELPER_FOLDERS


def folder_contents(folder: Path) -> FolderContents:
    """Return the images below a folder, and what is left out; of a folder that is not there, nothing.

    Linked folders are followed, each folder once; a link to a folder above is not.
    """
    images, left_out = list[Path](), Counter[str]()
    for path, in_helper_folder in _files(folder, left_out):
        if in_helper_folder:
            named_like_image = is_readable_format(format_of_suffix(path.suffix)) and not path.name.startswith(".")
            left_out.update(["in helper folders"] if named_like_image else [])
        elif is_image(path):
            images.append(path)
        elif not path.name.startswith(".") and path.name.lower() not in _HELPER_FILES:
            left_out[_kind(path)] += 1
    return FolderContents(tuple(sorted(images)), left_out)


def left_out_note(left_out: Counter[str], where: str) -> str | None:
    """Return one line that counts by kind what is left out; None where nothing is.

    Parameters
    ----------
    left_out : Counter of str
        As in `FolderContents`, of one folder or of several together.
    where : str
        What the note calls the place.
    """
    if not left_out:
        return None
    named = left_out.most_common(_MOST_KINDS)
    kinds = [f"{kind} {count}{_remedy(kind)}" for kind, count in named]
    others = left_out.total() - sum(count for _, count in named)
    listing = ", ".join([*kinds, f"others {others}"] if others else kinds)
    return printable(f"{left_out.total()} files of {where} are left out ({listing})")


def _files(folder: Path, left_out: Counter[str]) -> Iterator[tuple[Path, bool]]:
    """All files below a folder, and whether each lies in a helper folder; linked folders come after all others."""
    above = {_identity(parent) for path in (folder.absolute(), folder.resolve()) for parent in path.parents}
    seen = set[tuple[int, int]]()
    waiting = [(folder, False)] if folder.is_dir() else []
    links: list[tuple[Path, bool]] = []
    while waiting or links:
        current, helper = waiting.pop() if waiting else links.pop(0)
        if (identity := _identity(current)) in seen:
            continue
        seen.add(identity)
        try:
            entries = sorted(os.scandir(current), key=lambda entry: entry.name)
        except PermissionError:
            left_out.update([] if helper else ["folders without permission"])
            continue
        for entry in entries:
            path = current / entry.name
            if not path.is_dir():
                yield path, helper
            elif entry.is_symlink() and _identity(path) in above:
                left_out["links to a folder above"] += 1
            else:
                (links if entry.is_symlink() else waiting).append((path, helper or is_helper_folder(entry.name)))


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _kind(path: Path) -> str:
    if not path.exists():
        return "broken links"
    if not path.is_file():
        return "neither file nor folder"
    return path.suffix.lower() or "without a suffix"


def _remedy(kind: str) -> str:
    remedy = remedy_of_format(format_of_suffix(kind)) if kind.startswith(".") else ""
    return f" ({remedy} reads them)" if remedy else ""
