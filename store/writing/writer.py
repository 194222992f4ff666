"""Writing a store: several processes at once, a block at a time, safe against being killed anywhere.

A block is claimed by a lock that dies with its process, gathered in an anonymous file, written to partial files, which
are made durable and renamed, and then committed by the link of its commit record. Only that record says it is there.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from head2toe.store.common.errors import DataError, StoreError
from head2toe.store.common.files import ANOTHER_ROOT, PARTIAL, explained
from head2toe.store.format.backends import backend
from head2toe.store.format.commits import Commit
from head2toe.store.format.float16 import FEW_ROWS, float32_because
from head2toe.store.format.layout import Spec, commit_file, lock_file, sums_name
from head2toe.store.reading.feature_store import FeatureStore
from head2toe.store.reading.row_map import as_slice
from head2toe.store.reading.store_lock import Lock, holder, lock_shared
from head2toe.store.writing.block_file import Staging, write_block
from head2toe.store.writing.reuse import Reuse
from head2toe.store.writing.seal import seal


class NonFinite(DataError):
    """A backbone gave NaN or infinity.

    Attributes
    ----------
    layer : str
        The layer.
    rows : tuple of int
        The rows of the store.
    images : tuple of str
        The sha256 (hex) of these rows' images.
    """

    def __init__(self, layer: str, rows: Sequence[int], images: Sequence[str]) -> None:
        self.layer, self.rows, self.images = layer, tuple(rows), tuple(images)
        named = ", ".join(f"row {row} (image {image[:12]}…)" for row, image in zip(rows[:3], images[:3], strict=True))
        more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
        super().__init__(
            f"layer {layer!r}: NaN or infinity for {named}{more}: look at these images and at the preprocessing, "
            "or leave this tap out"
        )


class StoreWriter:
    """A store that is being written, by this process and perhaps by others. `Catalogue.writer` makes one.

    Attributes
    ----------
    path : Path
        The store's folder.
    spec : Spec
        What was fixed when the store was created.
    key : str
        The store's name.
    n_rows : int
        Number of images, each counted once.
    images : tuple of str
        Their sha256 (hex) in row order, which is that of whoever created the store first.
    reused : int
        How many rows other stores already hold; they are copied, not extracted.
    """

    def __init__(self, path: Path, spec: Spec, siblings: Sequence[FeatureStore] = ()) -> None:
        self._lock = lock_shared(path)
        self.path = path
        self.spec = spec
        self.key = spec.key
        self.n_rows = spec.n_rows
        self.images = spec.images
        self._reuse = Reuse.of(spec, siblings)
        self.reused = self._reuse.total

    @property
    def n_blocks(self) -> int:
        """Number of row blocks."""
        return self.spec.n_blocks

    def block_rows(self, block: int) -> range:
        """Return the rows of a block, the same in every store of the same images and dtype."""
        return self.spec.block_rows(block)

    def pending(self) -> list[int]:
        """List the blocks that nobody has committed yet."""
        return [block for block in range(self.spec.n_blocks) if not commit_file(self.path, block).is_file()]

    def missing(self) -> set[str]:
        """Return the images that are to be extracted: those of pending blocks that no other store holds either."""
        rows = (row for block in self.pending() for row in self.block_rows(block))
        return {self.images[row] for row in rows if self._reuse.sibling[row] < 0}

    def claim(self, block: int) -> "BlockWriter | None":
        """Take a block for this process; returns None if it is committed, or another live process has it.

        Raises
        ------
        StoreError
            The folder can't be written, is full, or has no flock.
        """
        self.spec.block_rows(block)
        if commit_file(self.path, block).is_file():
            return None
        lock = Lock.take(lock_file(self.path, block))
        if lock is None:
            return None
        if commit_file(self.path, block).is_file():  # committed between the look and the lock
            lock.release()
            return None
        return self._claimed(block, lock)

    def _claimed(self, block: int, lock: Lock) -> "BlockWriter":
        """Make the writer of a block whose lock this process has."""
        return BlockWriter(self.path, self.spec, block, lock, self._reuse)

    def others(self) -> str:
        """Say who writes the blocks that are still missing: "row block 3 of store 12ab, which …"."""
        return ", ".join(
            f"row block {block} of store {self.key[:12]}, which {holder(lock_file(self.path, block))} writes"
            for block in self.pending()[:3]
        )

    def seal(self) -> FeatureStore:
        """Make the store complete once all blocks are committed, and open it. Any number of processes may call this.

        Raises
        ------
        StoreError
            Blocks are still missing, or the disk refuses.
        """
        seal(self.path, self.spec)
        return FeatureStore.open(self.path)


class BlockWriter:
    """One claimed row block; a context manager. Leaving it without `commit` leaves nothing behind.

    Attributes
    ----------
    rows : range
        The block's rows, as numbers in the store.
    missing : tuple of int
        Those to be supplied by `put`; the others were copied from stores that hold them.
    """

    def __init__(self, path: Path, spec: Spec, block: int, lock: Lock, reuse: Reuse) -> None:
        self._path, self._spec, self._block, self._lock = path, spec, block, lock
        self.rows = spec.block_rows(block)
        try:
            _remove_partials(path, spec, block)
            self._staging = Staging(path, spec.layers, len(self.rows))
            copied = reuse.copy_into(self._staging, self.rows)
        except BaseException:
            lock.release()
            raise
        self._filled = copied.copy()
        self._reused = int(copied.sum())
        self.missing = tuple(int(row) for row in np.flatnonzero(~copied) + self.rows.start)

    def put(self, rows: Sequence[int], features: Mapping[str, np.ndarray]) -> None:
        """Supply the features of some rows, in any order and batch size.

        Parameters
        ----------
        rows : sequence of int
            Row numbers in the store, all of this block.
        features : mapping
            For every layer of the store its (len(rows), width) float32 array, by the layer's name.

        Raises
        ------
        NonFinite
            There is a NaN or infinity; the rows are not taken.
        DataError
            Rows, layers or shapes aren't those of the block.
        """
        local = np.asarray(rows, np.int64) - self.rows.start
        if local.ndim != 1 or len(local) == 0 or local.min() < 0 or local.max() >= len(self.rows):
            raise DataError(
                f"store {self._spec.key[:12]}: rows {list(rows)[:4]}… aren't of block {self._block} ({self.rows})"
            )
        arrays = {name: self._checked(name, width, rows, features) for name, width in self._widths()}
        block_rows = as_slice(local)
        for name, values in arrays.items():
            self._staging.layer(name)[:, block_rows] = values.T
        self._filled[local] = True

    def commit(self) -> None:
        """Write the block, make it durable and, last of all, committed; then give the claim back.

        Raises
        ------
        StoreError
            Rows are still missing, or the disk refuses.
        """
        if not self._filled.all():
            absent = np.flatnonzero(~self._filled) + self.rows.start
            raise StoreError(
                f"{self._path}: block {self._block} lacks {len(absent)} rows, the first is {absent[0]}: put them first"
            )
        reasons: dict[str, str] = {}
        if self._spec.dtype == "float16":
            few = self._spec.n_blocks > 1 and len(self.rows) < FEW_ROWS <= self._spec.rows_per_block
            for name in self._spec.layers.names:
                if (reason := float32_because(self._staging.layer(name), few=few)) is not None:
                    reasons[name] = reason
        dtypes = ["float32" if name in reasons else self._spec.dtype for name in self._spec.layers.names]
        with explained(self._path, ANOTHER_ROOT):
            files, places = write_block(self._path, self._spec, self._block, dtypes, self._staging.layer)
            Commit(self._block, files, places, reasons, reused=self._reused).write(self._path, self._spec)
        self.close()

    def close(self) -> None:
        """Give the claim back; what wasn't committed is lost."""
        self._lock.release()

    def __enter__(self) -> "BlockWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _widths(self) -> list[tuple[str, int]]:
        return list(zip(self._spec.layers.names, self._spec.layers.widths, strict=True))

    def _checked(self, name: str, width: int, rows: Sequence[int], features: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return a layer's values as float32, if they are what the store expects."""
        if features.keys() != set(self._spec.layers.names):
            odd = sorted(features.keys() ^ set(self._spec.layers.names))
            raise DataError(f"store {self._spec.key[:12]}: layers don't agree with the store's, e.g. {odd[0]!r}")
        values = np.asarray(features[name], dtype=np.float32)
        if values.shape != (len(rows), width):
            raise DataError(f"layer {name!r}: shape {values.shape} instead of {(len(rows), width)}")
        bad = ~np.isfinite(values).all(axis=1)
        if bad.any():
            bad_rows = [int(row) for row in np.asarray(rows)[bad]]
            raise NonFinite(name, bad_rows, [self._spec.images[row] for row in bad_rows])
        return values


def _remove_partials(path: Path, spec: Spec, block: int) -> None:
    """Remove the partial files that killed writers of a block left; the block's lock must be held."""
    for name in [*backend(spec.format).block_files(spec, block), sums_name(block), f"commit/{block}.json"]:
        file = path / name
        for leftover in file.parent.glob(f"{file.name}.*{PARTIAL}"):
            leftover.unlink()
