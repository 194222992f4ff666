"""Where the rows somebody asks for lie in a store, and in its row blocks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from head2toe.store.common.errors import DataError

RowNumbers = slice | np.ndarray
"""Rows as a slice, where they follow one another, or as (k,) int64."""


def as_slice(rows: np.ndarray) -> RowNumbers:
    """Make a slice, which is a view and not a copy, of numbers that follow one another; others stay as they are."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


def rows_of(images: Sequence[str], row_by_image: Mapping[str, int], where: object) -> np.ndarray:
    """Find the row number of each image, int64.

    Parameters
    ----------
    images : sequence of str
        Sha256 (hex) of the images.
    row_by_image : mapping of str to int
        The row of every image of a store.
    where : object
        What a message calls the store.

    Raises
    ------
    DataError
        An image isn't there; the message names it.
    """
    try:
        return np.fromiter((row_by_image[image] for image in images), np.int64, len(images))
    except KeyError as error:
        raise DataError(f"{where}: holds no image {error.args[0]}: extract the features of this task first") from error


@dataclass(frozen=True)
class Segment:
    """Rows of one block.

    Attributes
    ----------
    block : int
        The number of the row block.
    source : slice or int64 array
        Which rows of the block they are.
    target : slice or int64 array
        Which of the rows asked for they are.
    """

    block: int
    source: RowNumbers
    target: RowNumbers


@dataclass(frozen=True)
class RowMap:
    """The rows asked for, block by block.

    Attributes
    ----------
    n_rows : int
        How many rows were asked for.
    segments : tuple of Segment
        The row blocks that hold some of them, in order.
    """

    n_rows: int
    segments: tuple[Segment, ...]

    @classmethod
    def of(cls, rows: np.ndarray, rows_per_block: int) -> "RowMap":
        """Sort rows, (k,) int in any order, repeats allowed, into blocks of R rows."""
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
        """The block, and its rows, if all rows lie as wanted, one after the other in one block; otherwise None."""
        if len(self.segments) == 1 and isinstance(self.segments[0].source, slice):
            return self.segments[0].block, self.segments[0].source
        return None
