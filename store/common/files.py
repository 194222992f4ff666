"""Durable, atomic files: the few file-system operations that the store's crash safety is made of.

In this order: what the operating system refuses, as a one-line error; paths; syncing; whole files; JSON; checksums.
"""

import errno
import json
import os
import re
import stat
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from head2toe.store.common.errors import Damaged, Refused, StoreError

PARTIAL = ".partial"
"""How the name of a file that is still being written ends."""

_PARTIAL_NAME = re.compile(r"\.[0-9a-f]{32}\.\w+(?=/|$)")  # what `partial_name` adds: no name that a user knows
_CRC_CHUNK = 1 << 20  # bytes
_ANEW = "remove it, and it will be made anew"
_LARGEST_RECORD = 1 << 28  # bytes; the largest there are name a million images
_DEEPEST = 64  # levels of JSON, which is read and written by recursion
_FEW_INODES = 64  # so many are freed at once when a failed attempt is cleaned up, before anybody counts
_ANOTHER_FILE = "name another file or folder"
_REMEDIES = {
    errno.ENOSPC: "no space left on its disk: free some, or {another}",
    errno.EDQUOT: "the disk quota is used up: free some space, or {another}",
    errno.EFBIG: "the file would be larger than allowed here: raise `ulimit -f`, or {another}",
    errno.EROFS: "the file system is read-only: {another}",
    errno.EACCES: "permission denied: ask for access, or {another}",
    errno.EPERM: "operation not permitted: {another}",
    errno.EMFILE: "too many open files: raise `ulimit -n`",
    errno.ENOENT: "no such file or folder",
    errno.EEXIST: "a file of this name is there already: {another}",
    errno.EIO: "the disk failed to read or write: check the disk, or {another}",
}
_NO_INODES = "no inodes left on its disk (space there is, but no more files can be made): remove some, or {another}"
_GONE = ": was the store removed meanwhile? run `head2toe store ls`"

ANOTHER_ROOT = "choose another folder with --store DIR or HEAD2TOE_STORE"
"""The remedy for a store that can't be written where it is."""


@contextmanager
def explained(path: Path, another: str = _ANOTHER_FILE) -> Iterator[None]:
    """Turn an `OSError` raised inside into a one-line error about a file.

    Parameters
    ----------
    path : Path
        The file, unless the `OSError` names one itself.
    another : str
        How to choose another file or folder, said where that helps; `ANOTHER_ROOT` for a file of a store.

    Raises
    ------
    Refused
        The operating system refused something.
    """
    try:
        yield
    except OSError as error:
        raise Refused(in_words(error, path, another)) from error


def in_words(error: OSError, path: Path | None = None, another: str = _ANOTHER_FILE) -> str:
    """Say in one line what the operating system refused: the file (or else `path`), what is wrong, what to do."""
    file = error.filename if isinstance(error.filename, str) else path
    start = "" if file is None else f"{_PARTIAL_NAME.sub('', str(file))}: "
    reason = _REMEDIES.get(error.errno or 0, error.strerror or str(error))
    inodes = inodes_left(path) if error.errno == errno.ENOSPC and path is not None else None
    if inodes is not None and inodes < _FEW_INODES:
        reason = _NO_INODES
    gone = _GONE if error.errno == errno.ENOENT and another == ANOTHER_ROOT else ""
    return start + reason.replace("{another}", another) + gone


def inodes_left(path: Path) -> int | None:
    """Count the files that can still be made on a path's disk; None where the file system sets no number."""
    try:
        status = os.statvfs(next(folder for folder in (path, *path.absolute().parents) if folder.exists()))
    except OSError:  # asked about a disk that has just refused something: no more than a better message hangs on it
        return None
    return status.f_favail if status.f_files else None


def require_writable(folder: Path, another: str) -> None:
    """Check that a folder which is not there yet can be made; one that is there may serve what it holds.

    Parameters
    ----------
    folder : Path
        The folder.
    another : str
        How to choose another one.

    Raises
    ------
    StoreError
        The nearest folder above it that exists can't be written.
    """
    absolute = folder.absolute()
    existing = next(path for path in (absolute, *absolute.parents) if path.exists())
    if existing != absolute and not os.access(existing, os.W_OK | os.X_OK):
        raise StoreError(f"{folder}: can't be made, for {existing} can't be written: {another}")


def expanded(path: str | Path) -> Path:
    """Replace `~` by the home folder; a path that begins with `~` and names nobody (`~x.jpg`) stays as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no such user, or no home folder
        return Path(path)


def printable(text: str | Path) -> str:
    """Write out what UTF-8 can't hold (`udce9`), as in file names of an older system."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def share(path: Path | int, folder: Path) -> None:
    """Let the group use a file or folder that was just made, if the folder it is in is shared: setgid, group-writable.

    What the umask took from the group is given back; elsewhere nothing changes.
    """
    shared = folder.stat().st_mode
    if not (shared & stat.S_ISGID and shared & stat.S_IWGRP):
        return
    mode = os.stat(path).st_mode  # noqa: PTH116 - a path or a descriptor
    with suppress(PermissionError):  # a file system without modes, such as a mounted FAT: then none keeps anybody out
        os.chmod(path, stat.S_IMODE(mode) | (mode & stat.S_IRWXU) >> 3)  # noqa: PTH101


def make_folders(path: Path) -> None:
    """Make a folder, and those above it that are missing, each of them shared as the one above it (see `share`)."""
    for folder in reversed([path, *path.parents]):
        if not folder.is_dir():
            folder.mkdir(exist_ok=True)
            share(folder, folder.parent)


def sync_folder(path: Path) -> None:
    """Make renames and links inside a folder durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file(path: Path) -> None:
    """Make a file's bytes durable."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def partial_name(path: Path) -> Path:
    """Make up a fresh name beside `path` to write under; only a rename gives the file its final name."""
    return path.with_name(f"{path.name}.{uuid.uuid4().hex}{PARTIAL}")


def preallocate(fd: int, nbytes: int) -> None:
    """Reserve an empty file's bytes, so that a full disk is an `OSError` now and no SIGBUS in a mapped write later."""
    try:
        os.posix_fallocate(fd, 0, nbytes)
    except (AttributeError, OSError) as error:  # macOS and some file systems have none: zeros do as well
        if isinstance(error, OSError) and error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        zeros = bytes(1 << 20)
        for start in range(0, nbytes, len(zeros)):
            os.pwrite(fd, zeros[: nbytes - start], start)


def write_bytes(path: Path, content: bytes, *, exclusive: bool = False) -> bool:
    """Write a file atomically and durably.

    Parameters
    ----------
    path : Path
        The file; its folder must exist.
    content : bytes
        What it is to hold.
    exclusive : bool
        Whether a file that has this name already is left alone; otherwise it is replaced.

    Returns
    -------
    bool
        Whether the file was written; False only with `exclusive`.

    Raises
    ------
    OSError
        The operating system refuses; what was there is left as it was.
    """
    partial = partial_name(path)
    try:
        with partial.open("xb") as file:
            share(file.fileno(), path.parent)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if exclusive:
            try:
                os.link(partial, path)  # which, unlike a rename, never replaces
            except FileExistsError:
                return False
        else:
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def write_json(path: Path, content: Mapping[str, Any], *, exclusive: bool = False) -> bool:
    """Write a mapping as JSON, atomically and durably; see `write_bytes`."""
    return write_bytes(path, json_bytes(content), exclusive=exclusive)


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """Write a mapping as JSON; what UTF-8 can't hold becomes JSON's own escape and is read back as it was."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"


def read_json(path: Path, *, remedy: str = _ANEW, another: str = _ANOTHER_FILE) -> dict[str, Any]:
    """Read a JSON object.

    Parameters
    ----------
    path : Path
        The file.
    remedy : str
        What to do if it is damaged.
    another : str
        How to choose another file, said if the operating system refuses to read this one; see `explained`.

    Raises
    ------
    Refused
        The file can't be read.
    Damaged
        The file holds no JSON object, or one that is nested beyond sense.
    """
    content = read_regular(path, remedy=remedy, another=another)
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:  # RecursionError: nested deeper than Python reads
        raise Damaged(path, "damaged (not JSON)", remedy) from error
    if not isinstance(value, dict):
        raise Damaged(path, "damaged (not a JSON object)", remedy)
    if _too_deep(value):
        raise Damaged(path, f"damaged (nested more than {_DEEPEST} levels deep)", remedy)
    return value


def read_regular(path: Path, *, remedy: str = _ANEW, another: str = _ANOTHER_FILE) -> bytes:
    """Read a whole record, but no pipe or device, which might never end.

    Raises
    ------
    Refused
        The file can't be read.
    Damaged
        It is a folder, a link that leads nowhere or no regular file, or far larger than any record.
    """
    with explained(path, another):
        if path.is_dir():
            raise Damaged(path, "damaged (a folder, no file)", remedy)
        if path.is_symlink() and not path.exists():
            raise Damaged(path, "damaged (a link that leads nowhere)", remedy)
    with explained(path, another), os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise Damaged(path, "damaged (no regular file)", remedy)
        if status.st_size > _LARGEST_RECORD:
            raise Damaged(path, f"damaged ({status.st_size} bytes, more than any record has)", remedy)
        return file.read()


def _too_deep(value: Any) -> bool:
    """Tell whether JSON is nested deeper than what recursion should walk."""
    level = [value]
    for _ in range(_DEEPEST):
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)]
        level = [item for items in inner for item in items]
        if not level:
            return False
    return True


def crc32c(path: Path, count: Callable[[int], None] | None = None) -> int:
    """Compute the CRC-32C of a file, read in pieces and never mapped: one that shrinks must not kill the process.

    Parameters
    ----------
    path : Path
        The file.
    count : callable, optional
        Called with the bytes of every piece that was read.
    """
    crc = 0
    buffer = np.empty(_CRC_CHUNK, np.uint8)  # the same pages every time: fresh ones cost more than the checksum
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(buffer.data):
            crc = google_crc32c.extend(crc, buffer[:size])
            if count is not None:
                count(size)
    return crc
