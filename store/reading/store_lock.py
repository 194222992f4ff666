"""The lock on a store's spec.json: shared by those who have the store open, exclusive for who removes or repairs it."""

import time
from pathlib import Path

from head2toe.store.common.errors import StoreError
from head2toe.store.common.files import Lock, NoFlock, explained
from head2toe.store.format.layout import damaged, spec_file

_PATIENCE, _PAUSE = 40, 0.05  # tries, seconds


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
    """Take a store's lock so that nobody else has the store open; raises `StoreError` if it is in use."""
    with explained(path):
        lock = Lock.take(spec_file(path), create=False)
    if lock is None:
        raise StoreError(f"{path}: in use by another process: try again when it has ended")
    return lock
