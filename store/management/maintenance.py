"""Looking after the catalogue: naming stores, listing, describing, removing, collecting what is no longer needed."""

import errno
import shutil
import stat
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from head2toe.store.common.errors import BadRequest, Refused, StoreError
from head2toe.store.common.files import ANOTHER_ROOT, PARTIAL, explained, in_words
from head2toe.store.console.text import days
from head2toe.store.format.commits import Commit
from head2toe.store.format.damage import is_key, list_command
from head2toe.store.format.key import flatten
from head2toe.store.format.layout import Spec, commit_file, seal_file, spec_file
from head2toe.store.management.catalogue import TEMPORARY, Catalogue
from head2toe.store.reading.feature_store import FeatureStore
from head2toe.store.reading.store_lock import lock_exclusive

_ELSEWHERE = {errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY}  # no rename there, or of a mount point
_YOUNG = 600.0  # seconds: a temporary folder so young may belong to somebody who is just creating a store


@dataclass(frozen=True)
class Entry:
    """A store as `ls` lists it.

    Attributes
    ----------
    key : str
        The store's name.
    path : Path
        The store's folder.
    state : {"complete", "unfinished", "damaged", "unreadable"}
        Whether it can be read; "unreadable" is what the operating system refuses to show just now.
    note : str
        What is missing or wrong, or where the store is a link to; empty for a complete store.
    nbytes : int
        Bytes of everything in its folder; 0 for a link, which takes none below this root.
    used : float
        When it was last used (for an unfinished store, when a block was last committed), in seconds since the epoch.
    spec : Spec or None
        What the store is; None if that can't be read.
    """

    key: str
    path: Path
    state: str
    note: str
    nbytes: int
    used: float
    spec: Spec | None


@dataclass(frozen=True)
class Info:
    """All there is to know of a store.

    Attributes
    ----------
    entry : Entry
        The store as `ls` lists it.
    fields : mapping
        Its identity, by dotted names.
    provenance : mapping
        What was recorded beside it.
    dtypes : mapping
        What each layer is stored as; "float16/float32" if blocks of an unfinished store differ.
    float32_because : mapping
        The layers that were to be float16 and stayed float32, and why.
    reused : int
        How many rows were copied from other stores.
    """

    entry: Entry
    fields: Mapping[str, Any]
    provenance: Mapping[str, Any]
    dtypes: Mapping[str, str]
    float32_because: Mapping[str, str]
    reused: int


@dataclass(frozen=True)
class Collected:
    """What `gc` removed, or would remove, and what it left.

    Attributes
    ----------
    leftovers : int
        Bytes of what killed processes had left.
    removed : tuple
        Each store that was removed, with the reason.
    in_use : tuple of Entry
        Stores that would have been removed, but are in use or can't be removed.
    """

    leftovers: int
    removed: tuple[tuple[Entry, str], ...]
    in_use: tuple[Entry, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of all that was removed."""
        return self.leftovers + sum(entry.nbytes for entry, _ in self.removed)


def resolve(catalogue: Catalogue, name: str) -> Path:
    """Find the folder of the store that is named by its path or the beginning of its key.

    Raises
    ------
    BadRequest
        There is no such store, or several.
    """
    path = Path(name).absolute()
    if name and (spec_file(path).is_file() or (is_key(path.name) and (path.is_symlink() or path.is_dir()))):
        return path
    matches = [path for path in catalogue.paths() if path.name.startswith(name)] if name else []
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise BadRequest(
            f"{name!r} names {len(matches)} stores: {', '.join(path.name[:12] for path in matches[:5])}: say more of it"
        )
    command = list_command(catalogue.root)
    raise BadRequest(f"no store {name!r} below {catalogue.root}: {command} lists those there are")


def entries(catalogue: Catalogue) -> list[Entry]:
    """List all stores, in the order of their keys."""
    return [entry(path) for path in catalogue.paths()]


def entry(path: Path) -> Entry:
    """Look at one store as `ls` does; damage is part of the answer, not an error."""
    spec, state, note = None, "damaged", f"link to {path.readlink()}" if path.is_symlink() else ""
    try:
        spec = Spec.read(path)
        if seal_file(path).is_file():
            FeatureStore.open(path, mark_used=False)
            state = "complete"
        else:
            n_committed = sum(commit_file(path, block).is_file() for block in range(spec.n_blocks))
            state, note = "unfinished", f"{n_committed} of {spec.n_blocks} row blocks"
    except Refused as error:
        state, note = "unreadable", str(error)
    except StoreError as error:
        note = str(error)
    except OSError as error:
        state, note = "unreadable", in_words(error, path)
    nbytes = 0 if path.is_symlink() else folder_bytes(path)
    return Entry(path.name, path, state, note, nbytes, _last_use(path), spec)


def _last_use(path: Path) -> float:
    """Return when a store was last used; if it isn't complete, when it was last written to. Seconds since the epoch."""
    for marks in ([seal_file(path)], [spec_file(path), path / "commit"], [path]):
        times = []
        for mark in marks:
            with suppress(OSError):  # missing in a damaged store, or out of reach
                times.append(mark.stat().st_mtime)
        if times:
            return max(times)
    return path.lstat().st_mtime


def info(path: Path) -> Info:
    """Read all there is to know of a store. Raises `StoreError` if its spec or a record can't be read."""
    spec = Spec.read(path)
    commits = [commit for b in range(spec.n_blocks) if (commit := Commit.read(path, spec, b)) is not None]
    dtypes = {
        name: "/".join(sorted({commit.places[i].dtype for commit in commits}))
        for i, name in enumerate(spec.layers.names)
    }
    reasons = {name: reason for commit in commits for name, reason in commit.float32_because.items()}
    reused = sum(commit.reused for commit in commits)
    return Info(entry(path), flatten(spec.identity), spec.provenance, dtypes, reasons, reused)


def remove(path: Path) -> int:
    """Remove a store, or what is left of one; returns its bytes. Of a store that is a link the link is removed.

    It is renamed first and then deleted, so that a kill leaves a leftover and not half a store.

    Raises
    ------
    StoreError
        The folder is no store, is in use, or can't be removed.
    """
    if not spec_file(path).is_file() and not is_key(path.name):
        raise StoreError(f"{path}: not a feature store (no spec.json), so it isn't removed")
    with explained(path, ANOTHER_ROOT), lock_exclusive(path):
        if path.is_symlink():
            path.unlink()
            return 0
        nbytes = folder_bytes(path)
        shutil.rmtree(_set_aside(path))
    return nbytes


def _set_aside(path: Path) -> Path:
    """Rename a store's folder, if possible to where `gc` looks for leftovers; returns what is to be deleted."""
    for folder in (path.parent.parent, path.parent):
        doomed = folder / f"{TEMPORARY}{uuid.uuid4().hex}"
        try:
            path.rename(doomed)
        except OSError as error:
            if error.errno not in _ELSEWHERE:
                raise
        else:
            return doomed
    seal_file(path).unlink(missing_ok=True)  # it can't be renamed: from here on, nobody takes it for whole
    return path


def collect(
    catalogue: Catalogue, *, older_than: float | None = None, max_bytes: float | None = None, dry_run: bool = False
) -> Collected:
    """Remove leftovers of killed processes and, if asked for, whole stores, damaged ones too; never one that is in use.

    Parameters
    ----------
    catalogue : Catalogue
        The stores to look at.
    older_than : float, optional
        Seconds: also remove stores last used longer ago than that.
    max_bytes : float, optional
        Also remove stores, least recently used first, until those left take no more bytes than this.
    dry_run : bool
        Whether to say what would be removed, and to remove nothing.
    """
    leftovers = _collect_leftovers(catalogue, dry_run)
    stores = sorted(entries(catalogue), key=lambda store: store.used)
    bytes_left = sum(store.nbytes for store in stores)
    removed, in_use = [], []
    for store in stores:
        age = time.time() - store.used
        if older_than is not None and age > older_than:
            reason = f"last used {days(age)} ago"
        elif max_bytes is not None and bytes_left > max_bytes:
            reason = "over the size budget"
        else:
            continue
        try:
            if dry_run:
                lock_exclusive(store.path).release()
            else:
                remove(store.path)
        except StoreError:  # in use, or not ours to remove: it stays, and the caller learns of it
            in_use.append(store)
            continue
        bytes_left -= store.nbytes
        removed.append((store, reason))
    return Collected(leftovers, tuple(removed), tuple(in_use))


def folder_bytes(path: Path) -> int:
    """Add up the bytes of all files in a folder, but for those that a writer renames or removes meanwhile."""
    nbytes = 0
    for file in path.rglob("*"):
        with suppress(OSError):  # gone, or out of reach: then its bytes aren't known
            status = file.lstat()
            nbytes += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return nbytes


def _collect_leftovers(catalogue: Catalogue, dry_run: bool) -> int:
    """Remove what killed processes left, where nobody is at work; returns the bytes.

    That is temporary folders, copies of stores that were cut short before their spec, and partial files.
    """
    freed = 0
    with explained(catalogue.root, ANOTHER_ROOT):
        for folder in [*catalogue.root.glob(f"{TEMPORARY}*"), *catalogue.root.glob(f"??/{TEMPORARY}*")]:
            if time.time() - folder.lstat().st_mtime > _YOUNG:
                freed += folder_bytes(folder)
                if not dry_run:
                    folder.unlink() if folder.is_symlink() or folder.is_file() else shutil.rmtree(folder)
    for path in catalogue.paths():
        with suppress(StoreError):  # in use, or not ours to tidy up: then nothing there is a leftover
            freed += _collect_below(path, dry_run)
    return freed


def _collect_below(path: Path, dry_run: bool) -> int:
    """Remove the leftovers in a store's folder, or all of it if it has no spec; returns the bytes."""
    freed = 0
    if path.is_symlink():  # another root's, where it has its own `gc`
        return 0
    with explained(path, ANOTHER_ROOT), lock_exclusive(path):
        if not spec_file(path).exists():
            if time.time() - _last_change(path) < _YOUNG:  # it may be being copied
                return 0
            freed = folder_bytes(path)
            if not dry_run:
                shutil.rmtree(_set_aside(path))
            return freed
        for file in path.rglob(f"*{PARTIAL}"):
            with suppress(FileNotFoundError):
                freed += file.lstat().st_size
                if not dry_run:
                    file.unlink()
    return freed


def _last_change(path: Path) -> float:
    """Return when anything in a folder was last made, written or renamed, whatever times a copy has set."""
    return max(file.lstat().st_ctime for file in (path, *path.rglob("*")))
