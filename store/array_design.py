"""A design matrix in memory."""

from collections.abc import Iterator

import numpy as np
from head2toe.store.errors import BadRequest
from head2toe.store.index import LayerIndex
from head2toe.store.protocol import DEFAULT_BYTES, Block, Panel, checked_indices, read_only
from head2toe.store.rowmap import as_slice


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

    def stream(self, *, max_bytes: int = DEFAULT_BYTES) -> Iterator[Block]:
        """All features in column order, in blocks of at most `max_bytes` (one feature at least) within a layer."""
        at_once = max(1, max_bytes // max(1, 4 * len(self._rows)))
        where = as_slice(self._rows)
        for first, last in zip(self.layers.offsets[:-1], self.layers.offsets[1:], strict=True):
            for start in range(int(first), int(last), at_once):
                stop = min(start + at_once, int(last))
                yield Block(start, stop, read_only(self._by_feature[start:stop, where]))

    def panels(self, *, max_bytes: int = DEFAULT_BYTES) -> Iterator[Panel]:
        """The same as `stream`: in memory, all rows lie together."""
        everything = slice(0, len(self._rows))
        for block in self.stream(max_bytes=max_bytes):
            yield Panel(block.start, block.stop, everything, block.values)

    def columns(self, indices: np.ndarray) -> np.ndarray:
        """(len(indices), n) float32: the given features, in the order given, in memory of their own."""
        wanted = checked_indices(indices, self.layers.n_features, "column")
        return np.array(self._by_feature[wanted][:, as_slice(self._rows)], order="C")
