"""What a design matrix is to stage two, whatever lies behind it; and the one that lies in memory."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from head2toe.store.common.errors import BadRequest
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.mapping import RunningChecksum
from head2toe.store.reading.row_map import as_slice

DEFAULT_BYTES = 1 << 26
"""How large a block of a stream is at most, unless another size is asked for."""

Span = tuple[int, int]
"""Columns [first, last) of a design matrix."""


@dataclass(frozen=True)
class Block:
    """Some features of all rows.

    Attributes
    ----------
    start, stop : int
        Columns [start, stop) of the design matrix, within one layer.
    values : (stop - start, n) float32 array
        Their values, read-only, valid until the next block is asked for.
    """

    start: int
    stop: int
    values: np.ndarray


class Design(Protocol):
    """n examples by d features, read by features."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of examples and of features, (n, d)."""

    @property
    def layers(self) -> LayerIndex:
        """Which columns belong to which layer."""

    def stream(self, *, max_bytes: int = DEFAULT_BYTES, within: Span | None = None) -> Iterator[Block]:
        """Read all features in column order, in blocks that never cross a layer boundary.

        Parameters
        ----------
        max_bytes : int
            How large a block is at most, unless a single feature is larger.
        within : tuple of int, optional
            The columns [first, last) to read, instead of all: so several threads can stream at once, each its own.
        """

    def columns(self, indices: np.ndarray) -> np.ndarray:
        """Read the given features, in the order given: (len(indices), n) float32, in memory of their own.

        Raises
        ------
        BadRequest
            A column that isn't there.
        """

    def take(self, rows: np.ndarray) -> "Design":
        """Return a view on some rows, in any order, repeats allowed. Raises `BadRequest` for one that isn't there."""


class StoredFeatures(Protocol):
    """What a design matrix reads of a feature store."""

    @property
    def key(self) -> str:
        """The store's name."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Everything but the images that determines the numbers."""

    @property
    def layers(self) -> LayerIndex:
        """Which columns belong to which layer."""

    @property
    def dtypes(self) -> tuple[str, ...]:
        """What each layer is stored as, "float16" or "float32"."""

    @property
    def rows_per_block(self) -> int:
        """How many rows a row block holds (R)."""

    def rows_of(self, images: Sequence[str]) -> np.ndarray:
        """Find the row number of each image, int64; raises `DataError` naming one that isn't there."""

    def block(self, layer: int, block: int) -> np.ndarray:
        """Map a layer's row block as it lies on disk: (width, R), read-only."""

    def check(self, layer: int, block: int) -> None:
        """Compare a layer's row block with its checksum, once in this process; raises `StoreError` if they differ."""

    def running_checksum(self, layer: int, block: int) -> "RunningChecksum | None":
        """Begin to check a layer's row block that is about to be read in order; None if there is nothing to do."""

    def features(self, layer: int, block: int, features: "slice | np.ndarray") -> np.ndarray:
        """Read some features of a layer's row block, (k, R), each compared with its checksum once in this process."""

    def read_ahead(self, layer: int, block: int, start: int, stop: int) -> None:
        """Have features [start, stop) of a layer's row block fetched in the background."""


def overlap(span: Span, within: Span | None) -> Span:
    """Return the part of a span of columns that lies within another; an empty one has last <= first."""
    return span if within is None else (max(span[0], within[0]), min(span[1], within[1]))


def block_spans(design: "Design", max_bytes: int, within: Span | None) -> Iterator[Span]:
    """Cut a design's columns into blocks of at most `max_bytes` of float32 (one feature at least) within a layer."""
    at_once = max(1, max_bytes // max(1, 4 * design.shape[0]))
    for layer in pairwise(design.layers.offsets.tolist()):
        first, last = overlap(layer, within)
        for start in range(first, last, at_once):
            yield start, min(start + at_once, last)


def blocks_of_columns(design: "Design", max_bytes: int, within: Span | None) -> Iterator[Block]:
    """Stream a design by its `columns`, in blocks as `block_spans` cuts them."""
    for start, stop in block_spans(design, max_bytes, within):
        yield Block(start, stop, read_only(design.columns(np.arange(start, stop))))


def read_only(values: np.ndarray) -> np.ndarray:
    """Return a view of the values that they can't be written through."""
    view = values.view()
    view.flags.writeable = False
    return view


def checked_indices(indices: np.ndarray | Sequence[int] | slice, size: int, what: str) -> np.ndarray:
    """Turn indices, a boolean mask or a slice into indices.

    Parameters
    ----------
    indices : (k,) array of int, (size,) array of bool, or slice
        What was asked for.
    size : int
        How many there are.
    what : str
        What is counted: "row".

    Returns
    -------
    (k,) int64 array
        The indices, all in [0, size).

    Raises
    ------
    BadRequest
        An index that isn't there, or something that is none.
    """
    if isinstance(indices, slice):
        return np.arange(size)[indices]
    array = np.asarray(indices)
    if array.dtype == bool:
        if array.shape != (size,):
            raise BadRequest(f"a mask of {array.shape} for {size} {what}s")
        return np.flatnonzero(array)
    if array.size == 0:
        return np.empty(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise BadRequest(f"{what}s are chosen by a list of integers, not {array.dtype} of shape {array.shape}")
    if array.min() < 0 or array.max() >= size:
        raise BadRequest(f"{what}s {array.min()} to {array.max()} asked for, but there are {size}")
    return array.astype(np.int64)


class ArrayDesign:
    """A design matrix in memory: for tests, for estimators, for small matrices.

    Parameters
    ----------
    X : (n, d) array
        The values, which are converted to float32 if they are something else.
    layers : LayerIndex, optional
        Which columns belong to which layer; without it, all belong to one layer "x".
    rows : (k,) array of int, optional
        Which rows of `X` in which order; without it, all as they are.

    Raises
    ------
    BadRequest
        `X` has not two dimensions, no column, or another number of columns than the layers.
    """

    def __init__(self, X: np.ndarray, layers: LayerIndex | None = None, *, rows: np.ndarray | None = None) -> None:
        X = np.asarray(X, dtype=np.float32)
        if X.ndim != 2 or X.shape[1] < 1:
            raise BadRequest(f"a design matrix has two dimensions and at least one column, not shape {X.shape}")
        self.layers = LayerIndex(("x",), (X.shape[1],)) if layers is None else layers
        if self.layers.n_features != X.shape[1]:
            raise BadRequest(f"the layers have {self.layers.n_features} columns, the array {X.shape[1]}")
        self._by_feature = X.T
        self._rows = np.arange(len(X)) if rows is None else rows

    @property
    def shape(self) -> tuple[int, int]:
        """Number of examples and of features, (n, d)."""
        return len(self._rows), self.layers.n_features

    def take(self, rows: np.ndarray) -> "ArrayDesign":
        """Return a view on some rows, in any order, repeats allowed. Raises `BadRequest` for one that isn't there."""
        chosen = self._rows[checked_indices(rows, len(self._rows), "row")]
        return ArrayDesign(self._by_feature.T, self.layers, rows=chosen)

    def stream(self, *, max_bytes: int = DEFAULT_BYTES, within: Span | None = None) -> Iterator[Block]:
        """Read features in column order, in blocks of at most `max_bytes` (one feature at least) within a layer."""
        where = as_slice(self._rows)
        for start, stop in block_spans(self, max_bytes, within):
            yield Block(start, stop, read_only(self._by_feature[start:stop, where]))

    def columns(self, indices: np.ndarray) -> np.ndarray:
        """Read the given features, in the order given: (len(indices), n) float32, in memory of their own."""
        wanted = checked_indices(indices, self.layers.n_features, "column")
        return np.array(self._by_feature[wanted][:, as_slice(self._rows)], order="C")
