"""The design matrix: what stage two sees of one or more stores. Everything is feature-major and float32."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from head2toe.store.errors import BadRequest
from head2toe.store.index import LayerIndex
from head2toe.store.key import labels
from head2toe.store.reader import FeatureStore
from head2toe.store.rowmap import RowMap, Segment, as_slice
from head2toe.store.upcast import assign

_DEFAULT_BYTES = 1 << 26
_DENSE = 0.25  # from this share of a layer's features on, its blocks are read as a whole


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

    def stream(self, *, max_bytes: int = _DEFAULT_BYTES) -> Iterator[Block]:
        """All features in column order, in blocks of at most `max_bytes` that never cross a layer boundary."""

    def columns(self, indices: np.ndarray) -> np.ndarray:
        """(len(indices), n) float32: the given features, in the order given, in memory of their own."""

    def take(self, rows: np.ndarray) -> "Design":
        """A view on some rows, in any order, repeats allowed."""


@dataclass(frozen=True)
class _Part:
    """One store of a design matrix, and which of its rows are asked for."""

    store: FeatureStore
    rows: np.ndarray
    where: RowMap

    @classmethod
    def of(cls, store: FeatureStore, rows: np.ndarray) -> "_Part":
        return cls(store, rows, RowMap.of(rows, store.spec.rows_per_block))


class DesignMatrix:
    """Feature stores side by side by columns; row i is the i-th image asked for. Made by `DesignMatrix.of`."""

    def __init__(self, parts: Sequence[_Part], layers: LayerIndex, n_rows: int) -> None:
        self._parts = tuple(parts)
        self._n_rows = n_rows
        self.layers = layers
        self._owners = [(part, layer) for part in parts for layer in range(len(part.store.layers))]

    @classmethod
    def of(cls, stores: Sequence[FeatureStore], images: Sequence[str]) -> "DesignMatrix":
        """The features of these images (content hashes, repeats allowed) in all these stores.

        Raises
        ------
        BadRequest
            No store, or the same one twice.
        DataError
            A store lacks an image.
        """
        if not stores or len({store.key for store in stores}) != len(stores):
            raise BadRequest(f"a design matrix needs one or more different stores, not {[s.key[:12] for s in stores]}")
        prefixes = labels([store.identity for store in stores])
        layers = LayerIndex.concat([store.layers for store in stores], prefixes)
        return cls([_Part.of(store, store.rows_of(images)) for store in stores], layers, len(images))

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d)."""
        return self._n_rows, self.layers.n_features

    def take(self, rows: np.ndarray) -> "DesignMatrix":
        """A view on some rows, in any order, repeats allowed."""
        chosen = checked_indices(rows, self._n_rows, "row")
        parts = [_Part.of(part.store, part.rows[chosen]) for part in self._parts]
        return DesignMatrix(parts, self.layers, len(chosen))

    def stream(self, *, max_bytes: int = _DEFAULT_BYTES) -> Iterator[Block]:
        """All features in column order, in blocks of at most `max_bytes` (one feature at least) within a layer.

        Zero-copy where a float32 layer's rows lie as wanted in one row block; otherwise blocks are put together in one
        buffer, which the next block reuses. The next block is being fetched from disk while the caller uses this one.
        """
        if self._n_rows == 0:
            return
        at_once = max(1, max_bytes // (4 * self._n_rows))
        work = list(self._tiles(at_once))
        buffer = np.empty(0, np.float32)
        _read_ahead(work[0])
        for tile, following in zip(work, [*work[1:], None], strict=True):
            if following is not None:
                _read_ahead(following)
            values = _as_it_lies(tile)
            if values is None:
                size = (tile.stop - tile.start) * self._n_rows
                if buffer.size < size:
                    buffer = np.empty(size, np.float32)
                values = buffer[:size].reshape(-1, self._n_rows)
                _put_together(tile, values)
                values = values.view()
                values.flags.writeable = False
            yield Block(tile.offset + tile.start, tile.offset + tile.stop, values)

    def columns(self, indices: np.ndarray) -> np.ndarray:
        """(len(indices), n) float32: the given features, in the order given, in memory of their own."""
        wanted = checked_indices(indices, self.layers.n_features, "column")
        out = np.empty((len(wanted), self._n_rows), np.float32)
        layer_of = self.layers.layer_of(wanted)
        order = np.argsort(layer_of, kind="stable")
        for targets in np.split(order, np.flatnonzero(np.diff(layer_of[order])) + 1):
            if not len(targets):
                continue
            number = int(layer_of[targets[0]])
            part, layer = self._owners[number]
            lines = as_slice(targets)
            values = out[lines] if isinstance(lines, slice) else np.empty((len(targets), self._n_rows), np.float32)
            _gather(part, layer, wanted[targets] - self.layers.offsets[number], values)
            if not isinstance(lines, slice):
                out[lines] = values
        return out

    def _tiles(self, at_once: int) -> Iterator["_Tile"]:
        for number, (part, layer) in enumerate(self._owners):
            width = self.layers.widths[number]
            for start in range(0, width, at_once):
                yield _Tile(part, layer, int(self.layers.offsets[number]), start, min(start + at_once, width))


@dataclass(frozen=True)
class _Tile:
    """Features [start, stop) of a layer of a store, whose first column in the design matrix is `offset`."""

    part: _Part
    layer: int
    offset: int
    start: int
    stop: int


def _read_ahead(tile: _Tile) -> None:
    for segment in tile.part.where.segments:
        tile.part.store.read_ahead(tile.layer, segment.block, tile.start, tile.stop)


def _as_it_lies(tile: _Tile) -> np.ndarray | None:
    """The tile as a view of the mapped file, if that is what it takes."""
    source = tile.part.where.source
    if source is None or tile.part.store.dtypes[tile.layer] != "float32":
        return None
    block, rows = source
    return tile.part.store.block(tile.layer, block)[tile.start : tile.stop, rows]


def _put_together(tile: _Tile, out: np.ndarray) -> None:
    """Copy a tile out of all its row blocks, upcasting where it is stored as float16."""
    for segment in tile.part.where.segments:
        values = tile.part.store.block(tile.layer, segment.block)[tile.start : tile.stop]
        _copy(values, segment, out)


def _copy(values: np.ndarray, segment: Segment, out: np.ndarray) -> None:
    rows = segment.source
    values = values[:, rows] if isinstance(rows, slice) else values.take(rows, axis=1)
    assign(out, segment.target, values)


def _gather(part: _Part, layer: int, features: np.ndarray, out: np.ndarray) -> None:
    """Copy some features of a layer, of all rows, into `out`."""
    which = as_slice(features)
    sparse = not isinstance(which, slice) and len(features) < _DENSE * part.store.layers.widths[layer]
    for segment in part.where.segments:
        block = part.store.block(layer, segment.block, sparse=sparse)
        values = block[which] if isinstance(which, slice) else block.take(which, axis=0)
        _copy(values, segment, out)


class ArrayDesign:
    """A design matrix in memory: for tests, for estimators, for small things.

    Parameters
    ----------
    X
        (n, d); converted to float32 if it isn't.
    layers
        Which columns belong to which layer; one layer "x" unless told.
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
        return ArrayDesign(
            self._by_feature.T, self.layers, rows=self._rows[checked_indices(rows, len(self._rows), "row")]
        )

    def stream(self, *, max_bytes: int = _DEFAULT_BYTES) -> Iterator[Block]:
        """All features in column order, in blocks of at most `max_bytes` (one feature at least) within a layer."""
        at_once = max(1, max_bytes // max(1, 4 * len(self._rows)))
        where = as_slice(self._rows)
        for first, last in zip(self.layers.offsets[:-1], self.layers.offsets[1:], strict=True):
            for start in range(int(first), int(last), at_once):
                stop = min(start + at_once, int(last))
                values = self._by_feature[start:stop, where].view()
                values.flags.writeable = False
                yield Block(start, stop, values)

    def columns(self, indices: np.ndarray) -> np.ndarray:
        """(len(indices), n) float32: the given features, in the order given, in memory of their own."""
        wanted = checked_indices(indices, self.layers.n_features, "column")
        return np.array(self._by_feature[wanted][:, as_slice(self._rows)], order="C")


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
