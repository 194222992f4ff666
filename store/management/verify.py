"""Checking a store against its records, and marking what is bad for extraction anew."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from head2toe.store.common.errors import StoreError
from head2toe.store.common.files import Lock, crc32c, explained, read_record, sync_folder
from head2toe.store.common.progress import Counter, Progress
from head2toe.store.format.backends import backend
from head2toe.store.format.commits import BlockFile, Commit
from head2toe.store.format.layout import Spec, commit_file, seal_file, spec_file
from head2toe.store.reading.feature_store import lock_in_use
from head2toe.store.writing.seal import seal


@dataclass(frozen=True)
class Problem:
    """A file that isn't what was written. `block` is None for the format's own metadata, which is only written anew."""

    file: Path
    what: str
    block: int | None


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes
    ----------
    n_files, nbytes
        How much was read.
    pending
        Row blocks not committed yet; none in a complete store.
    problems
        Everything that is wrong, in the order of the blocks.
    repaired
        Whether the bad blocks were marked: the next extraction of these images fills them in.
    """

    path: Path
    key: str
    complete: bool
    n_files: int
    nbytes: int
    pending: tuple[int, ...]
    problems: tuple[Problem, ...]
    repaired: bool = False

    @property
    def bad_blocks(self) -> tuple[int, ...]:
        """Row blocks to be extracted anew."""
        return tuple(sorted({problem.block for problem in self.problems if problem.block is not None}))


def verify(path: Path, *, repair: bool = False, progress: Progress | None = None) -> Verification:
    """Read every byte of a store and compare sizes and CRC-32C with its records.

    Parameters
    ----------
    path
        The store's folder.
    repair
        Take bad blocks' records away, so that the next extraction writes them anew. Good blocks are kept.
    progress
        Called with the bytes done and to do.

    Raises
    ------
    StoreError
        Not a store, of a newer version, its spec is damaged, or (to repair) it is in use.
    """
    path = Path(path).absolute()
    with explained(path):
        spec, lock = Spec.read(path), lock_in_use(path)
        try:
            found = _check(path, spec, progress)
        finally:
            if lock is not None:
                lock.release()
        if not (repair and found.problems):
            return found
        with exclusive(path):
            _mark(path, spec, found)
        if found.complete and not found.bad_blocks:
            seal(path, spec)  # nothing but the format's metadata was bad
    return replace(found, repaired=True)


def exclusive(path: Path) -> Lock:
    """The lock that keeps everybody out of a store; raises `StoreError` if it is in use."""
    with explained(path):
        lock = Lock.take(spec_file(path), create=False)
    if lock is None:
        raise StoreError(f"{path}: in use by another process: try again when it has ended")
    return lock


def _check(path: Path, spec: Spec, progress: Progress | None) -> Verification:
    complete = seal_file(path).is_file()
    problems: list[Problem] = []
    pending: list[int] = []
    files: list[tuple[BlockFile, int | None]] = []
    for block in range(spec.n_blocks):
        try:
            commit = Commit.read(path, spec, block)
        except StoreError:
            problems.append(Problem(commit_file(path, block), "damaged", block))
            continue
        if commit is not None:
            files.extend((file, block) for file in commit.files)
        elif complete:
            problems.append(Problem(commit_file(path, block), "missing", block))
        else:
            pending.append(block)
    if complete:
        try:
            files.extend((file, None) for file in _index_files(path))
        except StoreError:
            problems.append(Problem(seal_file(path), "damaged", None))
    problems += _compare(path, files, progress)
    problems.sort(key=lambda problem: spec.n_blocks if problem.block is None else problem.block)
    nbytes = sum(file.nbytes for file, _ in files)
    return Verification(path, spec.key, complete, len(files), nbytes, tuple(pending), tuple(problems))


def _index_files(path: Path) -> list[BlockFile]:
    """The metadata files that sealing wrote."""
    content = read_record(seal_file(path))
    try:
        return [BlockFile(str(name), int(size), int(crc)) for name, size, crc in content["index"]]
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{seal_file(path)}: damaged") from error


def _compare(path: Path, files: list[tuple[BlockFile, int | None]], progress: Progress | None) -> Iterator[Problem]:
    counter = Counter(progress, sum(file.nbytes for file, _ in files))
    for file, block in files:
        where = path / file.path
        try:
            size = where.stat().st_size
            if size != file.nbytes:
                yield Problem(where, f"{size} bytes instead of {file.nbytes}", block)
            elif crc32c(where, counter.add) != file.crc32c:
                yield Problem(where, "the content isn't what was written (CRC-32C)", block)
        except OSError as error:
            yield Problem(where, "missing" if isinstance(error, FileNotFoundError) else str(error.strerror), block)


def _mark(path: Path, spec: Spec, found: Verification) -> None:
    """Make the store unfinished, then take the bad blocks' records and files away, in this order.

    A kill in between leaves records of bad blocks, which the next `verify --repair` finds; never an unmarked hole.
    """
    seal_file(path).unlink(missing_ok=True)
    sync_folder(path)
    backend(spec.format).unindex(path, spec)
    for block in found.bad_blocks:
        commit_file(path, block).unlink(missing_ok=True)
    sync_folder(path / "commit")
    for block in found.bad_blocks:
        for name in backend(spec.format).block_files(spec, block):
            (path / name).unlink(missing_ok=True)
