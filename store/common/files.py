"""Durable, atomic files: the few file-system operations that the store's crash safety is made of.

In this order: what the operating system refuses, as a one-line `StoreError` that names the file and the remedy; paths;
syncing; files written under a partial name and then renamed; JSON; checksums; locks.
"""

import errno
import fcntl
import json
import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from head2toe.store.common.errors import StoreError

PARTIAL = ".partial"
"""How the name of a file that is still being written ends."""

_PARTIAL_NAME = re.compile(r"\.[0-9a-f]{32}\.\w+$")  # what `partial_name` adds: no name that a user knows
_CRC_CHUNK = 1 << 20  # bytes
_ANEW = "remove it, and it will be made anew"
_NO_FLOCK = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
_ANOTHER_ROOT = "choose another folder with --store DIR or HEAD2TOE_STORE"
_GONE = ": was the store removed meanwhile? run `head2toe store ls`"
_REMEDIES = {
    errno.ENOSPC: f"no space left on its disk: free some, or {_ANOTHER_ROOT}",
    errno.EDQUOT: f"the disk quota is used up: free some space, or {_ANOTHER_ROOT}",
    errno.EFBIG: f"the file would be larger than allowed here: raise `ulimit -f`, or {_ANOTHER_ROOT}",
    errno.EROFS: f"the file system is read-only: {_ANOTHER_ROOT}",
    errno.EACCES: f"permission denied: ask for access, or {_ANOTHER_ROOT}",
    errno.EPERM: f"operation not permitted: {_ANOTHER_ROOT}",
    errno.EMFILE: "too many open files: raise `ulimit -n`",
    errno.ENOENT: f"no such file or folder{_GONE}",
    errno.EIO: f"the disk failed to read or write: check the disk, or {_ANOTHER_ROOT}",
}


@contextmanager
def explained(path: Path, another: str = _ANOTHER_ROOT) -> Iterator[None]:
    """Turn an `OSError` raised inside into a one-line error about a file.

    Parameters
    ----------
    path : Path
        The file, unless the `OSError` names one itself.
    another : str
        How to choose another folder, said where that helps.

    Raises
    ------
    StoreError
        The operating system refused something.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(in_words(error, path, another)) from error


def in_words(error: OSError, path: Path | None = None, another: str = "name another file or folder") -> str:
    """Say in one line what the operating system refused: the file (or else `path`), what is wrong, what to do."""
    file = error.filename if isinstance(error.filename, str) else path
    start = "" if file is None else f"{_PARTIAL_NAME.sub('', str(file))}: "
    reason = _REMEDIES.get(error.errno or 0, error.strerror or str(error)).replace(_ANOTHER_ROOT, another)
    return start + (reason if another == _ANOTHER_ROOT else reason.removesuffix(_GONE))


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
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    # What UTF-8 can't hold becomes JSON's own escape and is read back as it was.
    return write_bytes(path, text.encode("utf-8", "backslashreplace") + b"\n", exclusive=exclusive)


def read_json(path: Path, *, remedy: str = _ANEW) -> dict[str, Any]:
    """Read a JSON object.

    Parameters
    ----------
    path : Path
        The file.
    remedy : str
        What to do if it is damaged.

    Raises
    ------
    StoreError
        The file can't be read or holds no JSON object.
    """
    with explained(path):
        content = path.read_bytes()
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:  # RecursionError: nested deeper than Python reads
        raise StoreError(f"{path}: damaged (not JSON): {remedy}") from error
    if not isinstance(value, dict):
        raise StoreError(f"{path}: damaged (not a JSON object): {remedy}")
    return value


def crc32c(path: Path, count: Callable[[int], None] | None = None) -> int:
    """Compute the CRC-32C of a whole file.

    It is read in large pieces and never mapped: a file that shrinks meanwhile must not kill the process.

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


class NoFlock(StoreError):
    """The file system has no `flock`."""


class Lock:
    """An advisory `flock`, which the kernel frees when its process dies: there are no stale locks to break.

    `flock` rather than `lockf`: the latter grants the same lock twice inside one process.
    """

    def __init__(self, fd: int, path: Path) -> None:
        self._fd = fd
        self.path = path

    @classmethod
    def take(cls, path: Path, *, shared: bool = False, wait: bool = False, create: bool = True) -> "Lock | None":
        """Take the lock, or return None if another holds it.

        Parameters
        ----------
        path : Path
            The file that is locked.
        shared : bool
            Whether others may hold the lock at the same time, shared as well.
        wait : bool
            Whether to wait until the lock is free; then None is never returned.
        create : bool
            Whether to make the file if it is missing.

        Raises
        ------
        StoreError
            The file can't be opened, or can't be locked.
        NoFlock
            The file system has no flock.
        """
        with explained(path):
            fd = os.open(path, (os.O_RDWR | os.O_CREAT) if create else os.O_RDONLY, 0o666)
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(fd)
            return None
        except OSError as error:
            os.close(fd)
            if error.errno in _NO_FLOCK:
                raise NoFlock(
                    f"{path}: this file system has no flock, so writers can't keep apart: write the store on a local "
                    "disk (--store DIR) and copy it here when it is complete"
                ) from error
            raise StoreError(f"{path}: can't be locked: {error.strerror}") from error
        return cls(fd, path)

    def release(self) -> None:
        """Give the lock back; a second time does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()
