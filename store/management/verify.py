"""Checking a store against its records, and marking what is bad for extraction anew."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from head2toe.store.common.errors import Damaged, StoreError
from head2toe.store.common.files import ANOTHER_ROOT, crc32c, explained, in_words, sync_folder
from head2toe.store.console.progress import Counter, Progress
from head2toe.store.format.backends import backend
from head2toe.store.format.commits import BlockFile, Commit, check_inside
from head2toe.store.format.damage import damaged, take_away
from head2toe.store.format.layout import Spec, commit_file, seal_file, sums_name
from head2toe.store.format.records import read_record
from head2toe.store.reading.store_lock import lock_exclusive, lock_shared
from head2toe.store.writing.seal import seal

_MOST_INDEX = 1 << 28  # bytes of a metadata file


@dataclass(frozen=True)
class Fault:
    """A file of a store that isn't what was written.

    Attributes
    ----------
    file : Path
        The file.
    what : str
        What is wrong with it, in a few words.
    block : int or None
        The row block that it belongs to; None for metadata, which is written anew without an extraction.
    unreadable : bool
        Whether the operating system refuses to show it just now: what it holds isn't known, and it isn't repaired.
    """

    file: Path
    what: str
    block: int | None
    unreadable: bool = False


@dataclass(frozen=True)
class Verification:
    """The state of a store, as `verify` establishes it.

    Attributes
    ----------
    path : Path
        The store's folder.
    key : str
        The store's name.
    complete : bool
        Whether the store was complete before anything was repaired.
    n_files, nbytes : int
        How many files have records, and their bytes.
    pending : tuple of int
        Row blocks not committed yet; none in a complete store.
    faults : tuple of Fault
        Everything that is wrong, in the order of the blocks.
    repaired : bool
        Whether the bad blocks were marked: the next extraction of these images fills them in.
    """

    path: Path
    key: str
    complete: bool
    n_files: int
    nbytes: int
    pending: tuple[int, ...]
    faults: tuple[Fault, ...]
    repaired: bool = False

    @property
    def bad_blocks(self) -> tuple[int, ...]:
        """Row blocks to be extracted anew, in order."""
        return tuple(sorted({fault.block for fault in self.damage if fault.block is not None}))

    @property
    def damage(self) -> tuple[Fault, ...]:
        """The faults that repairing mends: all but what can't be read just now."""
        return tuple(fault for fault in self.faults if not fault.unreadable)


def verify(path: Path, *, repair: bool = False, progress: Progress | None = None) -> Verification:
    """Read every byte of a store and compare sizes and CRC-32C with its records.

    Parameters
    ----------
    path : Path
        The store's folder.
    repair : bool
        Whether to take bad blocks' records away, so that the next extraction writes them anew. Good blocks are kept.
    progress : callable, optional
        Called with the bytes that were read and those of all files.

    Raises
    ------
    StoreError
        The folder is not a store, or one of a newer version, its spec is damaged, or (to repair) it is in use.
    """
    path = Path(path).absolute()
    with explained(path, ANOTHER_ROOT):
        spec, lock = Spec.read(path), lock_shared(path)
        try:
            verification = _check(path, spec, progress)
        finally:
            if lock is not None:
                lock.release()
        if not (repair and verification.damage):
            return verification
        with lock_exclusive(path):
            _mark(path, spec, verification.bad_blocks)
        if verification.complete and not verification.bad_blocks and verification.damage == verification.faults:
            seal(path, spec)  # nothing but the format's metadata was bad
    return replace(verification, repaired=True)


def _check(path: Path, spec: Spec, progress: Progress | None) -> Verification:
    """Compare all files of a store with its records."""
    complete = seal_file(path).exists()
    faults: list[Fault] = []
    pending: list[int] = []
    files: list[tuple[BlockFile, int | None]] = []
    for block in range(spec.n_blocks):
        try:
            commit = Commit.read(path, spec, block)
        except StoreError as error:
            faults.append(_fault_of_record(commit_file(path, block), error, block))
            continue
        if commit is not None:
            files.extend((file, block) for file in commit.files)
        elif complete:
            faults.append(Fault(commit_file(path, block), "missing", block))
        else:
            pending.append(block)
    if complete:
        try:
            files.extend((file, None) for file in index_files(path, spec))
        except StoreError as error:
            faults.append(_fault_of_record(seal_file(path), error, None))
    faults += _compare(path, files, progress)
    faults.sort(key=lambda fault: spec.n_blocks if fault.block is None else fault.block)
    nbytes = sum(file.nbytes for file, _ in files)
    return Verification(path, spec.key, complete, len(files), nbytes, tuple(pending), tuple(faults))


def _fault_of_record(file: Path, error: StoreError, block: int | None) -> Fault:
    """Make a fault of what was raised when a record was read."""
    if isinstance(error, Damaged):
        return Fault(file, error.what, block)
    return Fault(file, str(error).removeprefix(f"{file}: "), block, unreadable=True)


def index_files(path: Path, spec: Spec) -> list[BlockFile]:
    """List the metadata files that sealing wrote; raises `StoreError` if their record is damaged or another store's."""
    content = read_record(seal_file(path))
    if content.get("key") != spec.key:
        raise damaged(seal_file(path), "belongs to another store")
    try:
        files = [BlockFile(str(name), int(size), int(crc)) for name, size, crc in content["index"]]
        for file in files:
            check_inside(file.path)
            if file.nbytes > _MOST_INDEX:
                raise ValueError(f"{file.path} of {file.nbytes} bytes")
        named, expected = sorted(file.path for file in files), sorted(backend(spec.format).index_files(spec))
        if named != expected:  # a file that no record names would not be compared with one
            raise ValueError(f"index of {', '.join(named)} instead of {', '.join(expected)}")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise damaged(seal_file(path), f"bad or missing field ({error})") from error
    return files


def _compare(path: Path, files: list[tuple[BlockFile, int | None]], progress: Progress | None) -> Iterator[Fault]:
    """Read files, each with the block that it belongs to, and yield those that are not what their record says."""
    counter = Counter(progress, sum(file.nbytes for file, _ in files))
    for file, block in files:
        full_path = path / file.path
        try:
            fault = file.fault(path)
            if not fault and crc32c(full_path, counter.add) != file.crc32c:
                fault = "the content isn't what was written (CRC-32C)"
            if fault:
                yield Fault(full_path, fault, block)
        except OSError as error:
            yield Fault(full_path, in_words(error, full_path).removeprefix(f"{full_path}: "), block, unreadable=True)


def _mark(path: Path, spec: Spec, bad_blocks: Sequence[int]) -> None:
    """Make the store unfinished, then take the bad blocks' records and files away, in this order.

    A kill in between leaves records of bad blocks, which the next `verify --repair` finds; never an unmarked hole.
    """
    take_away(seal_file(path))
    sync_folder(path)
    backend(spec.format).unindex(path, spec)
    for block in bad_blocks:
        take_away(commit_file(path, block))
    sync_folder(path / "commit")
    for block in bad_blocks:
        for name in (*backend(spec.format).block_files(spec, block), sums_name(block)):
            take_away(path / name)
