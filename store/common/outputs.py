"""What a command leaves for its user: files and folders that take their names when they are whole.

They are written under a partial name beside it, which is locked meanwhile. A process that is killed leaves what it had
written; the lock ends with the process, and the next one that writes the same name removes what is not locked.
"""

import ctypes
import fcntl
import os
import re
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from head2toe.store.common.errors import BadRequest, StoreError
from head2toe.store.common.files import (
    PARTIAL,
    explained,
    json_bytes,
    make_folders,
    partial_name,
    printable,
    share,
    sync_file,
    sync_folder,
)

ANOTHER_OUTPUT = "choose another folder with --output DIR"
"""The remedy for results that can't be written where they should be."""

_LEFTOVER = re.compile(rf"(.+)\.[0-9a-f]{{32}}{re.escape(PARTIAL)}", re.DOTALL)
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux's renameat2
_HERE = -100  # AT_FDCWD: a path is taken as it is


@contextmanager
def whole_file(file: Path, another: str) -> Iterator[Path]:
    """Give a block a partial file to write; when the block ends well, the file gets its name.

    Parameters
    ----------
    file : Path
        The file. Folders above it that are missing are made. A link stays one, and a device or a pipe is written as it
        is.
    another : str
        How to choose another file, said where the operating system refuses this one.

    Yields
    ------
    Path
        What to write: an empty file that is there already.

    Raises
    ------
    BadRequest
        It is a folder.
    StoreError
        The file can't be written. What was there is left as it was.
    """
    file = _target(file)
    if file.exists() and not file.is_file() and not file.is_dir():
        yield file
        return
    with explained(file, another):
        if file.is_dir():
            raise BadRequest(f"{file}: is a folder: {another}")
        _make_folders(file.parent, another)
        sweep(file)
        partial, lock = _claimed(file, folder=False)
    try:
        yield partial
        with explained(file, another):
            sync_file(partial)
            partial.replace(file)
            sync_folder(file.parent)
    finally:
        partial.unlink(missing_ok=True)
        os.close(lock)


def write_output(file: Path, content: bytes, another: str) -> None:
    """Write a file as a whole; parameters and errors are those of `whole_file`."""
    with whole_file(file, another) as partial, explained(file, another):
        partial.write_bytes(content)


def write_text_output(file: Path, text: str, another: str) -> None:
    """Write text as UTF-8, what that can't hold written out; parameters and errors are those of `whole_file`."""
    write_output(file, printable(text).encode(), another)


def write_json_output(file: Path, content: Mapping[str, Any], another: str) -> None:
    """Write a mapping as JSON; parameters and errors are those of `whole_file`."""
    write_output(file, json_bytes(content), another)


@contextmanager
def staged_folder(folder: Path, another: str) -> Iterator[Path]:
    """Give a block a partial folder, which the block renames; what is left of it is removed.

    Parameters are those of `whole_folder`. An existing folder whose neighbours can't be written gets it inside.
    """
    with explained(folder, another):
        _make_folders(folder.parent, another)
        beside = not folder.is_dir() or (os.access(folder.parent, os.W_OK | os.X_OK) and not folder.is_mount())
        sweep(folder)
        partial, lock = _claimed(folder if beside else folder / folder.name, folder=True)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(lock)


@contextmanager
def whole_folder(folder: Path, names: Sequence[str], another: str) -> Iterator[Path]:
    """Give a block a partial folder to fill; when the block ends well, it takes the place of the folder.

    An existing folder is exchanged at once where the system can do that and nothing else is in it. Elsewhere its files
    are replaced one by one.

    Parameters
    ----------
    folder : Path
        The folder. Folders above it that are missing are made.
    names : sequence of str
        The files that the block writes. Where they are replaced one by one, this is their order.
    another : str
        How to choose another folder, said where the operating system refuses this one.

    Yields
    ------
    Path
        An empty folder.

    Raises
    ------
    StoreError
        The folder can't be written.
    """
    folder = _target(folder)
    with staged_folder(folder, another) as partial:
        yield partial
        with explained(folder, another):
            share_contents(partial)
            for name in names:
                sync_file(partial / name)
            sync_folder(partial)
            if not (_renamed(partial, folder) or (holds_only(folder, names) and _exchanged(partial, folder))):
                for name in names:
                    (partial / name).replace(folder / name)
                sync_folder(folder)
            sync_folder(folder.parent)


def share_contents(folder: Path) -> None:
    """Let the group use all that was put into a folder which is shared, whatever wrote it and whatever the umask."""
    for path in sorted(folder.rglob("*")):  # a folder before what is in it
        share(path, path.parent)


def holds(folder: Path, content: Mapping[str, bytes]) -> bool:
    """Whether files of a folder hold this content already."""
    try:
        return all((folder / name).read_bytes() == expected for name, expected in content.items())
    except OSError:  # one is missing: it is written now
        return False


def holds_only(folder: Path, names: Collection[str]) -> bool:
    """Whether a folder holds nothing but files of these names and what killed writers of them left."""
    return all(
        entry.name in names or ((match := _LEFTOVER.fullmatch(entry.name)) and match[1] in (*names, folder.name))
        for entry in folder.iterdir()
    )


def sweep(path: Path) -> None:
    """Remove what killed processes left of a file or folder; what another process is writing just now stays."""
    _sweep(path.parent, path.name)
    if path.is_dir():
        _sweep(path, path.name)


def sweep_folder(folder: Path) -> None:
    """Remove what killed processes left of any file in a folder, if there is the folder."""
    if folder.is_dir():
        _sweep(folder, None)


def _target(path: Path) -> Path:
    """Follow a link, which is to stay one; a path that is none stays as it was given."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _make_folders(folder: Path, another: str) -> None:
    """Make a folder and those above it. Raises StoreError where one of them is a file."""
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            raise StoreError(f"{path}: is a file, and no folder: {another}")
    make_folders(folder)


def _sweep(folder: Path, name: str | None) -> None:
    with os.scandir(folder) as entries:
        named = [(entry.path, match[1]) for entry in entries if (match := _LEFTOVER.fullmatch(entry.name))]
    for leftover in [path for path, whose in named if name in (None, whose)]:
        # Someone else's, on a file system without locks, or gone: then it stays, and is in nobody's way.
        with suppress(OSError):
            lock = os.open(leftover, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if Path(leftover).is_dir():
                    shutil.rmtree(leftover)
                else:
                    Path(leftover).unlink()
            finally:
                os.close(lock)


def _claimed(path: Path, *, folder: bool) -> tuple[Path, int]:
    """Make a partial file or folder for a path, and lock it; returns it and the descriptor that holds the lock."""
    while True:
        partial = partial_name(path)
        try:
            if folder:
                partial.mkdir()
                lock = os.open(partial, os.O_RDONLY | os.O_DIRECTORY)
            else:
                lock = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileNotFoundError:
            if not path.parent.is_dir():
                raise
            continue  # another process swept it before it was locked
        with suppress(OSError):  # a file system without locks: then nothing is swept there
            fcntl.flock(lock, fcntl.LOCK_EX)
        if partial.exists():
            share(partial, partial.parent)
            return partial, lock
        os.close(lock)


def _renamed(partial: Path, folder: Path) -> bool:
    """Rename a folder to a name that is free or an empty folder's; returns whether it was."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir()) or partial.parent == folder):
        return False
    try:
        partial.rename(folder)
    except OSError:
        if folder.is_dir():  # a mount, or another process was faster
            return False
        raise
    return True


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two folders' names in one step; returns whether the system did."""
    if sys.platform != "linux":
        return False
    rename = getattr(ctypes.CDLL(None), "renameat2", None)  # which C libraries have since 2018
    return rename is not None and rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0
