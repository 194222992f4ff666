"""Locks: that of a row block or of sealing, which its writer holds, and the one on a store's spec.json.

The latter is shared by those who have the store open, and exclusive for who removes or repairs it.
"""

import errno
import fcntl
import getpass
import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from head2toe.store.common.errors import StoreError
from head2toe.store.common.files import ANOTHER_ROOT, explained, share
from head2toe.store.format.damage import damaged
from head2toe.store.format.layout import spec_file

_PATIENCE, _PAUSE = 40, 0.05  # tries, seconds
_NO_FLOCK = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


def holder(path: Path) -> str:
    """Say who holds, or held last, a lock that `Lock.take` made the file of."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(200)
    except OSError:  # it was never held, or is out of reach
        return "another process"
    return "".join(character for character in text if character.isprintable()) or "another process"


def _sign(fd: int, path: Path) -> None:
    """Write into the file of a lock who holds it; who can't do that holds the lock all the same."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # the number has no name here, as in a container
        user = f"user {os.getuid()}"
    text = f"process {os.getpid()} of {user} on {socket.gethostname()}".encode("utf-8", "replace")
    with suppress(OSError):
        share(fd, path.parent)
        os.ftruncate(fd, 0)
        os.pwrite(fd, text, 0)


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
        with explained(path, ANOTHER_ROOT):
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
        if create:
            _sign(fd, path)
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


def lock_shared(path: Path) -> Lock | None:
    """Take a store's lock shared, so that nobody removes or repairs the store meanwhile.

    Returns
    -------
    Lock or None
        None on a file system without flock: a store there can be read, and never removed or repaired.

    Raises
    ------
    StoreError
        The store is being removed or repaired, or was removed just now.
    """
    try:
        for _ in range(_PATIENCE):
            if (lock := Lock.take(spec_file(path), shared=True, create=False)) is not None:
                break
            time.sleep(_PAUSE)  # `gc` takes every store's lock for a moment, to look for leftovers
    except NoFlock:
        return None
    if lock is None:
        raise StoreError(f"{path}: is being removed or repaired just now; try again in a moment")
    if not spec_file(path).is_file():
        lock.release()
        raise damaged(spec_file(path), "was removed just now", repairable=False)
    return lock


def lock_exclusive(path: Path) -> Lock:
    """Take a store's lock so that nobody else has the store open; raises `StoreError` if it is in use.

    What is left of a store without its spec is locked as a folder; of a link to nothing, the folder that it is in.
    """
    with explained(path, ANOTHER_ROOT):
        file = next(file for file in (spec_file(path), path, path.parent) if file.is_file() or file.is_dir())
    lock = Lock.take(file, create=False)
    if lock is None:
        raise StoreError(f"{path}: in use by another process: try again when it has ended")
    return lock
