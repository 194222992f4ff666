"""Where the rows somebody asks for lie in the row blocks of a store."""

from dataclasses import dataclass

import numpy as np

Where = slice | np.ndarray


def as_slice(rows: np.ndarray) -> Where:
    """A contiguous ascending run as a slice, which is a view and not a copy; anything else as it is."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


@dataclass(frozen=True)
class Segment:
    """Rows of one block: `source` says where they lie in it, `target` where they go in what was asked for."""

    block: int
    source: Where
    target: Where


@dataclass(frozen=True)
class RowMap:
    """The rows asked for, block by block."""

    n_rows: int
    segments: tuple[Segment, ...]

    @classmethod
    def of(cls, rows: np.ndarray, rows_per_block: int) -> "RowMap":
        """Sort rows (any order, repeats allowed) into blocks."""
        blocks, local = np.divmod(np.asarray(rows, np.int64), rows_per_block)
        order = np.argsort(blocks, kind="stable")
        bounds = np.flatnonzero(np.diff(blocks[order])) + 1
        segments = tuple(
            Segment(int(blocks[targets[0]]), as_slice(local[targets]), as_slice(targets))
            for targets in np.split(order, bounds)
            if len(targets)
        )
        return cls(len(rows), segments)

    @property
    def source(self) -> tuple[int, slice] | None:
        """(block, rows) if all rows lie as they are wanted, one after the other in one block: no copy is needed."""
        if len(self.segments) == 1 and isinstance(self.segments[0].source, slice):
            return self.segments[0].block, self.segments[0].source
        return None
