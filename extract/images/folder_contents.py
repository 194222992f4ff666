"""What a folder holds: its images, by kind what is left out of it, and the images that a table names."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from head2toe.extract.images.file_formats import format_of_suffix, is_image, is_readable_format, remedy_of_format
from head2toe.store.common.files import expanded, printable

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
    count = left_out.total()
    which = f"1 file of {where} is" if count == 1 else f"{count} files of {where} are"
    return printable(f"{which} left out ({listing})")


class NamedFiles:
    """The files of a folder by their names in a table.

    A name is a path relative to the folder or an absolute one; with slashes or backslashes, `file://` in front, in
    other case, its accents composed or not, or without the suffix of an image. Where several files could be meant,
    none is.

    Parameters
    ----------
    folder : Path
        The folder of the table.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._entries: dict[Path, dict[str, str]] = {}

    def find(self, name: str) -> Path | None:
        """Return the file of a name, None where there is none."""
        if name.startswith("file://"):
            name = unquote(name.removeprefix("file://").removeprefix("localhost"))
        for spelling in dict.fromkeys((name, name.replace("\\", "/"))):
            file = self._folder / expanded(spelling)
            if _is_file(file) or _is_file(file := self._similar(file)):
                return file
        return None

    def elsewhere(self, name: str) -> str:
        """Return where a file of this name is in a folder beside the table, as a hint; empty where there is none."""
        for folder in sorted(path for path in self._folder.iterdir() if path.is_dir()):
            if _is_file(file := self._similar(folder / Path(name).name)):
                return f"; there is {file}: paths are relative to the folder of the table"
        return ""

    def _similar(self, file: Path) -> Path:
        """The path whose parts are the same but for case and composed accents, and for the suffix of an image."""
        way = Path(file.anchor)
        for part in file.relative_to(file.anchor).parts:
            if not _exists(way / part):
                if (name := self._inside(way).get(_key(part))) is None:
                    return file
                part = name
            way = way / part
        return way

    def _inside(self, folder: Path) -> dict[str, str]:
        """The names in a folder by what is the same of them; one of several is not among them."""
        if folder not in self._entries:
            paths = list(folder.iterdir()) if folder.is_dir() else []
            whole = [(_key(path.name), path.name) for path in paths]
            taken = {key for key, _ in whole}
            stems = [(_key(path.stem), path.name) for path in paths if is_image(path)]
            named = [*whole, *(pair for pair in stems if pair[0] not in taken)]
            count = Counter(key for key, _ in named)
            self._entries[folder] = {key: name for key, name in named if count[key] == 1}
        return self._entries[folder]


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


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is longer than any file's
        return False


def _is_file(path: Path) -> bool:
    return _exists(path) and path.is_file()
