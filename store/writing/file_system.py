"""What a file system must be able to do before anything is extracted for it: tried, not looked up."""

import os
import uuid
from collections.abc import Iterable
from pathlib import Path

from head2toe.store.common.errors import StoreError
from head2toe.store.common.files import ANOTHER_ROOT, PARTIAL, explained, write_bytes
from head2toe.store.reading.store_lock import Lock


def require_file_system(folder: Path) -> None:
    """Check that row blocks can be claimed and committed in a folder, which takes a lock and a hard link.

    Parameters
    ----------
    folder : Path
        A folder of its own, where files are made for a moment.

    Raises
    ------
    StoreError
        The file system has no flock, or no hard links, or can't be written.
    """
    lock, link = (folder / f"trial.{uuid.uuid4().hex}{PARTIAL}" for _ in "ab")
    with explained(folder, ANOTHER_ROOT):
        try:
            try_flock(lock)
            try_link(link)
        finally:
            for file in (lock, link):
                file.unlink(missing_ok=True)


def try_flock(file: Path) -> None:
    """Try whether a lock on a file, which is made, keeps a second one out; raises `StoreError` if not."""
    lock = Lock.take(file)
    if lock is None:
        raise StoreError("a fresh file can't be locked")
    with lock:
        if Lock.take(file) is not None:
            raise StoreError("two locks at once are granted: writers can't keep apart")
    if Lock.take(file) is None:
        raise StoreError("a lock that was given back stays")


def try_link(file: Path) -> None:
    """Try whether a hard link gives a file its name, and never a second time; raises `StoreError` if not."""
    write_bytes(file, b"first")
    again = file.with_name(f"again.{file.name}")
    try:
        os.link(file, again)
    except OSError as error:
        raise StoreError(
            f"{file.parent}: this file system has no hard links ({error.strerror}), without which no row block can be "
            "committed: write the store on a local disk (--store DIR) and copy it here when it is complete"
        ) from error
    try:
        if write_bytes(again, b"second", exclusive=True) or again.read_bytes() != b"first":
            raise StoreError(f"{file.parent}: a hard link replaced a name that was taken: {ANOTHER_ROOT}")
    finally:
        again.unlink(missing_ok=True)


def require_access(folders: Iterable[Path]) -> None:
    """Check that folders which others may have made can be written to.

    Raises
    ------
    StoreError
        One can't; the message names it, its owner and the umask that would have let the group in.
    """
    for folder in folders:
        if folder.is_dir() and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise StoreError(
                f"{folder}: can't be written by you: ask {_owner(folder)} to `chmod -R g+rwX` it (with umask 002 the "
                f"group may write from the start), or {ANOTHER_ROOT}"
            )


def _owner(path: Path) -> str:
    """Name who owns a file, by number where the number has no name."""
    try:
        return path.owner()
    except KeyError:
        return f"user {path.stat().st_uid}"
