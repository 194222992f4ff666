"""Looking after the catalogue: naming stores, listing, describing, removing, collecting what is no longer needed."""

import shutil
import stat
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from head2toe.store.common.errors import BadRequest, StoreError
from head2toe.store.common.files import PARTIAL, explained
from head2toe.store.common.text import days
from head2toe.store.format.commits import Commit
from head2toe.store.format.key import flatten
from head2toe.store.format.layout import Spec, commit_file, seal_file, spec_file
from head2toe.store.management.catalogue import TEMPORARY, Catalogue
from head2toe.store.management.verify import exclusive
from head2toe.store.reading.feature_store import FeatureStore

_YOUNG = 600.0  # seconds: a temporary folder so young may belong to somebody who is just creating a store


@dataclass(frozen=True)
class Entry:
    """A store as `ls` lists it.

    Attributes
    ----------
    state
        "complete", "unfinished" or "damaged".
    note
        What is missing or wrong; empty for a complete store.
    nbytes
        On disk, everything in its folder.
    used
        Time of last use (of the last commit, for an unfinished one), seconds since the epoch.
    spec
        What it is; None if that can't be read.
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
    """Everything there is to know of a store: `fields` are its identity, dotted names to values."""

    entry: Entry
    fields: Mapping[str, Any]
    provenance: Mapping[str, Any]
    dtypes: Mapping[str, str]
    float32_because: Mapping[str, str]
    reused: int


@dataclass(frozen=True)
class Collected:
    """What `gc` did, or would do: bytes of leftovers, stores removed and why, stores kept because they are in use."""

    leftovers: int
    removed: tuple[tuple[Entry, str], ...]
    in_use: tuple[Entry, ...]

    @property
    def nbytes(self) -> int:
        """Bytes freed in all."""
        return self.leftovers + sum(entry.nbytes for entry, _ in self.removed)


def resolve(catalogue: Catalogue, name: str) -> Path:
    """The folder of the store that a path or a prefix of a key names. Raises `BadRequest` for none or several."""
    if spec_file(Path(name)).is_file():
        return Path(name).absolute()
    found = [path for path in catalogue.paths() if path.name.startswith(name)] if name else []
    if len(found) == 1:
        return found[0]
    if found:
        raise BadRequest(
            f"{name!r} names {len(found)} stores: {', '.join(path.name[:12] for path in found[:5])}: say more of it"
        )
    raise BadRequest(f"no store {name!r} below {catalogue.root}: `head2toe store ls` lists those there are")


def entries(catalogue: Catalogue) -> list[Entry]:
    """All stores, in the order of their keys."""
    return [entry(path) for path in catalogue.paths()]


def entry(path: Path) -> Entry:
    """One store as `ls` lists it; damage is part of the answer, not an error."""
    spec, state, note = None, "damaged", ""
    try:
        spec = Spec.read(path)
        if seal_file(path).is_file():
            FeatureStore.open(path, mark_used=False)
            state = "complete"
        else:
            there = sum(commit_file(path, block).is_file() for block in range(spec.n_blocks))
            state, note = "unfinished", f"{there} of {spec.n_blocks} row blocks"
    except StoreError as error:
        note = str(error)
    with explained(path):
        marks = [seal_file(path)] if seal_file(path).is_file() else [spec_file(path), path / "commit"]
        used = max(mark.stat().st_mtime for mark in marks if mark.exists())
        return Entry(path.name, path, state, note, folder_bytes(path), used, spec)


def info(path: Path) -> Info:
    """Everything there is to know of a store. Raises `StoreError` if its spec can't be read."""
    spec = Spec.read(path)
    commits = [commit for b in range(spec.n_blocks) if (commit := Commit.read(path, spec, b)) is not None]
    dtypes = {
        name: "/".join(sorted({commit.places[i].dtype for commit in commits}))
        for i, name in enumerate(spec.layers.names)
    }
    reasons = {name: why for commit in commits for name, why in commit.reasons.items()}
    reused = sum(commit.reused for commit in commits)
    return Info(entry(path), flatten(spec.identity), spec.provenance, dtypes, reasons, reused)


def remove(path: Path) -> int:
    """Remove a store; returns the bytes freed. Raises `StoreError` if it is in use.

    It vanishes at once, by a rename, and is then deleted at leisure: a kill leaves a leftover and not half a store.
    """
    if not spec_file(path).is_file():
        raise StoreError(f"{path}: not a feature store (no spec.json), so it isn't removed")
    with explained(path), exclusive(path):
        nbytes = folder_bytes(path)
        doomed = path.parent.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
        path.rename(doomed)
        shutil.rmtree(doomed)
    return nbytes


def collect(
    catalogue: Catalogue, *, older_than: float | None = None, max_bytes: float | None = None, dry_run: bool = False
) -> Collected:
    """Remove leftovers of killed processes and, if asked for, whole stores; never one that is in use.

    Parameters
    ----------
    catalogue
        Where.
    older_than
        Seconds: also remove stores last used longer ago than that.
    max_bytes
        Also remove stores, least recently used first, until those left take no more than this.
    dry_run
        Say what would be done, and do nothing.
    """
    leftovers = _leftovers(catalogue, dry_run)
    stores = sorted(entries(catalogue), key=lambda one: one.used)
    left = sum(one.nbytes for one in stores)
    removed, in_use = [], []
    for one in stores:
        age = time.time() - one.used
        if older_than is not None and age > older_than:
            why = f"last used {days(age)} ago"
        elif max_bytes is not None and left > max_bytes:
            why = "over the size budget"
        else:
            continue
        try:
            if dry_run:
                exclusive(one.path).release()
            else:
                remove(one.path)
        except StoreError:  # in use, or not ours to remove: it stays, and the caller is told
            in_use.append(one)
            continue
        left -= one.nbytes
        removed.append((one, why))
    return Collected(leftovers, tuple(removed), tuple(in_use))


def folder_bytes(path: Path) -> int:
    """Bytes of all files in a folder, but for those that a writer at work renames or removes meanwhile."""
    nbytes = 0
    for file in path.rglob("*"):
        with suppress(FileNotFoundError):
            status = file.stat()
            nbytes += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return nbytes


def _leftovers(catalogue: Catalogue, dry_run: bool) -> int:
    """Remove temporary folders, and the partial files of stores that nobody has open. Returns the bytes."""
    freed = 0
    with explained(catalogue.root):
        for folder in catalogue.root.glob(f"{TEMPORARY}*"):
            if time.time() - folder.stat().st_mtime > _YOUNG:
                freed += folder_bytes(folder)
                if not dry_run:
                    shutil.rmtree(folder)
        for path in catalogue.paths():
            try:
                lock = exclusive(path)
            except StoreError:  # somebody is writing or reading it: their partial files are not leftovers
                continue
            with lock:
                for file in path.rglob(f"*{PARTIAL}"):
                    freed += file.stat().st_size
                    if not dry_run:
                        file.unlink()
    return freed
