"""Durable, atomic files: the few file-system operations that the store's crash safety is made of.

Whatever the operating system refuses becomes a one-line `StoreError` naming the file and the remedy.
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
_PARTIAL_NAME = re.compile(r"\.[0-9a-f]{32}\.\w+$")  # what `partial_name` adds: no name that a user knows
Progress = Callable[[int, int], None]  # called with what is done and what there is to do
_CRC_CHUNK = 1 << 20
_ANEW = "remove it, and it will be made anew"
_REPAIR = "run `head2toe store verify --repair`"
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
    """Turn an `OSError` raised inside into a one-line `StoreError` about `path` (or the file the error names).

    `another` says how to choose another folder, where that helps.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(in_words(error, path, another)) from error


def in_words(error: OSError, path: Path | None = None, another: str = "name another file or folder") -> str:
    """What the operating system refused, in one line: the file (or else `path`), what is wrong, what to do."""
    named = error.filename if isinstance(error.filename, str) else path
    where = "" if named is None else f"{_PARTIAL_NAME.sub('', str(named))}: "
    what = _REMEDIES.get(error.errno or 0, error.strerror or str(error)).replace(_ANOTHER_ROOT, another)
    return where + (what if another == _ANOTHER_ROOT else what.removesuffix(_GONE))


def require_writable(folder: Path, another: str) -> None:
    """Raise `StoreError` if a folder that is not there yet can't be made; one that is there may serve what it holds."""
    above = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    if above != folder.absolute() and not os.access(above, os.W_OK | os.X_OK):
        raise StoreError(f"{folder}: can't be made, for {above} can't be written: {another}")


def expanded(path: str | Path) -> Path:
    """A path with `~` as the home folder; one that begins with `~` and names nobody (`~x.jpg`) is what it says."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no such user, or no home folder
        return Path(path)


def printable(text: str | Path) -> str:
    """Text as UTF-8 can hold it: what is no UTF-8 in a file's name (of an older system) is written out, `udce9`."""
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
    """A fresh name beside `path` for writing; nothing but a rename ever gives it its final name."""
    return path.with_name(f"{path.name}.{uuid.uuid4().hex}{PARTIAL}")


def preallocate(fd: int, nbytes: int) -> None:
    """Reserve an empty file's bytes, so that a full disk is an error now and not a SIGBUS in a mapped write later."""
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
    exclusive
        If the name exists already, leave it alone and return False (`link`, which never replaces); otherwise replace.
    """
    partial = partial_name(path)
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if exclusive:
            try:
                os.link(partial, path)
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
    # What UTF-8 can't hold becomes JSON's own escape, and is read back as it was.
    return write_bytes(path, text.encode("utf-8", "backslashreplace") + b"\n", exclusive=exclusive)


def read_json(path: Path, *, remedy: str = _ANEW) -> dict[str, Any]:
    """Read a JSON object; anything else is a `StoreError` that names the file."""
    with explained(path):
        content = path.read_bytes()
    try:
        value = json.loads(content)
    except ValueError as error:
        raise StoreError(f"{path}: damaged (not JSON): {remedy}") from error
    if not isinstance(value, dict):
        raise StoreError(f"{path}: damaged (not a JSON object): {remedy}")
    return value


def write_record(path: Path, content: Mapping[str, Any], *, exclusive: bool = False) -> bool:
    """Write a record of the store as JSON with a checksum of itself; see `write_bytes`."""
    return write_json(path, {**content, "crc32c": _json_crc(content)}, exclusive=exclusive)


def read_record(path: Path) -> dict[str, Any]:
    """Read a record of the store; raises `StoreError` if it isn't what was written."""
    value = read_json(path, remedy=_REPAIR)
    if value.pop("crc32c", None) not in (None, _json_crc(value)):
        raise StoreError(f"{path}: damaged (not what was written): {_REPAIR}")
    return value


def _json_crc(content: Mapping[str, Any]) -> int:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return int(google_crc32c.value(text.encode()))


def crc32c(path: Path, progress: Callable[[int], None] | None = None) -> int:
    """CRC-32C of a whole file, read in large pieces (never mapped: a file that shrinks must not kill the process)."""
    crc = 0
    buffer = np.empty(_CRC_CHUNK, np.uint8)  # the same pages every time: fresh ones cost more than the checksum
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(buffer.data):
            crc = google_crc32c.extend(crc, buffer[:size])
            if progress is not None:
                progress(size)
    return crc


class NoFlock(StoreError):
    """The file system knows no `flock`."""


class Lock:
    """An advisory `flock`, which the kernel frees when its process dies: there are no stale locks to break.

    `flock` rather than `lockf`: the latter grants the same lock twice inside one process.
    """

    def __init__(self, fd: int, path: Path) -> None:
        self._fd = fd
        self.path = path

    @classmethod
    def take(cls, path: Path, *, shared: bool = False, wait: bool = False, create: bool = True) -> "Lock | None":
        """Take the lock, or return None if another holds it (never with `wait`).

        Raises
        ------
        StoreError
            The file can't be opened, or the file system has no flock.
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
        """Give the lock back; doing it twice is harmless."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()
