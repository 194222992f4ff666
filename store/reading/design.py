"""What a design matrix is to stage two, whatever lies behind it; and the one that lies in memory."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from head2toe.store.common.errors import BadRequest
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.row_map import as_slice

DEFAULT_BYTES = 1 << 26
Span = tuple[int, int]  # columns [first, last)


@dataclass(frozen=True)
class Block:
    """Some features of all rows.

    Attributes
    ----------
    start, stop
        Columns of the design matrix, within one layer.
    values
        (stop - start, n) float32, read-only, valid until the next block is asked for.
    """

    start: int
    stop: int
    values: np.ndarray


class Design(Protocol):
    """n examples by d features, read by features.

    Attributes
    ----------
    shape
        (n, d).
    layers
        Which columns belong to which layer.
    """

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def layers(self) -> LayerIndex: ...

    def stream(self, *, max_bytes: int = DEFAULT_BYTES, within: Span | None = None) -> Iterator[Block]:
        """All features in column order, in blocks of at most `max_bytes` that never cross a layer boundary.

        `within` leaves out all columns but [first, last), so that several threads can stream at once, each its own.
        """

    def columns(self, indices: np.ndarray) -> np.ndarray:
        """(len(indices), n) float32: the given features, in the order given, in memory of their own."""

    def take(self, rows: np.ndarray) -> "Design":
        """A view on some rows, in any order, repeats allowed."""


class StoredFeatures(Protocol):
    """What a design matrix reads of a feature store.

    Attributes
    ----------
    key : str
        The store's name.
    identity : dict
        Everything but the images that determines the numbers.
    layers : LayerIndex
        Which columns are which layer's.
    dtypes : tuple of str
        What each layer is stored as, "float16" or "float32".
    rows_per_block : int
        R; a row block holds so many rows.
    """

    @property
    def key(self) -> str: ...

    @property
    def identity(self) -> Mapping[str, Any]: ...

    @property
    def layers(self) -> LayerIndex: ...

    @property
    def dtypes(self) -> tuple[str, ...]: ...

    @property
    def rows_per_block(self) -> int: ...

    def rows_of(self, images: Sequence[str]) -> np.ndarray:
        """Row number of each image, int64."""

    def block(self, layer: int, block: int, *, sparse: bool = False) -> np.ndarray:
        """(width, R) view of a layer's row block as it lies on disk, read-only."""

    def read_ahead(self, layer: int, block: int, start: int, stop: int) -> None:
        """Have features [start, stop) of a layer's row block fetched in the background."""


def overlap(span: Span, within: Span | None) -> Span:
    """The part of a span of columns that lies within another; empty ones have last <= first."""
    return span if within is None else (max(span[0], within[0]), min(span[1], within[1]))


def read_only(values: np.ndarray) -> np.ndarray:
    """The same values, not to be written to through this view."""
    view = values.view()
    view.flags.writeable = False
    return view


def checked_indices(indices: np.ndarray | Sequence[int] | slice, size: int, what: str) -> np.ndarray:
    """Indices (or a boolean mask, or a slice) as int64, all in [0, size); raises `BadRequest` otherwise."""
    if isinstance(indices, slice):
        return np.arange(size)[indices]
    given = np.asarray(indices)
    if given.dtype == bool:
        if given.shape != (size,):
            raise BadRequest(f"a mask of {given.shape} for {size} {what}s")
        return np.flatnonzero(given)
    if given.size == 0:
        return np.empty(0, np.int64)
    if given.ndim != 1 or given.dtype.kind not in "iu":
        raise BadRequest(f"{what}s are chosen by a list of integers, not {given.dtype} of shape {given.shape}")
    if given.min() < 0 or given.max() >= size:
        raise BadRequest(f"{what}s {given.min()} to {given.max()} asked for, but there are {size}")
    return given.astype(np.int64)


class ArrayDesign:
    """A design matrix in memory: for tests, for estimators, for small things.

    Parameters
    ----------
    X
        (n, d); converted to float32 if it isn't.
    layers
        Which columns belong to which layer; one layer "x" unless told.
    rows
        Which rows of `X`, in which order; all unless told.
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
        """(n, d)."""
        return len(self._rows), self.layers.n_features

    def take(self, rows: np.ndarray) -> "ArrayDesign":
        """A view on some rows, in any order, repeats allowed."""
        chosen = self._rows[checked_indices(rows, len(self._rows), "row")]
        return ArrayDesign(self._by_feature.T, self.layers, rows=chosen)

    def stream(self, *, max_bytes: int = DEFAULT_BYTES, within: Span | None = None) -> Iterator[Block]:
        """Features in column order, in blocks of at most `max_bytes` (one feature at least) within a layer."""
        at_once = max(1, max_bytes // max(1, 4 * len(self._rows)))
        where = as_slice(self._rows)
        for first, last in pairwise(self.layers.offsets.tolist()):
            first, last = overlap((first, last), within)
            for start in range(first, last, at_once):
                stop = min(start + at_once, last)
                yield Block(start, stop, read_only(self._by_feature[start:stop, where]))

    def columns(self, indices: np.ndarray) -> np.ndarray:
        """(len(indices), n) float32: the given features, in the order given, in memory of their own."""
        wanted = checked_indices(indices, self.layers.n_features, "column")
        return np.array(self._by_feature[wanted][:, as_slice(self._rows)], order="C")
