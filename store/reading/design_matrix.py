"""The design matrix: what stage two sees of one or more stores, feature-major and float32."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from head2toe.store.common.errors import BadRequest
from head2toe.store.format.float16 import upcast
from head2toe.store.format.key import store_prefixes
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design import (
    DEFAULT_BYTES,
    ArrayDesign,
    Block,
    Design,
    Span,
    StoredFeatures,
    checked_indices,
    overlap,
    read_only,
)
from head2toe.store.reading.mapping import RunningChecksum
from head2toe.store.reading.row_map import RowMap, Segment, as_slice

__all__ = ["DEFAULT_BYTES", "ArrayDesign", "Block", "Design", "DesignMatrix", "Span"]

_BUFFER_BYTES = 4 << 20  # what has to be copied is copied in pieces that stay in the cache until they are used,
_BUFFER_FEATURES = 64  # but not in so few features at once that matrix products become slow
_DENSE = 0.25  # from this share of a layer's features on, its blocks are read as a whole


@dataclass(frozen=True)
class _Part:
    """One store of a design matrix, and which of its rows are asked for."""

    store: StoredFeatures
    rows: np.ndarray
    row_map: RowMap

    @classmethod
    def of(cls, store: StoredFeatures, rows: np.ndarray) -> "_Part":
        return cls(store, rows, RowMap.of(rows, store.rows_per_block))


@dataclass(frozen=True)
class _Tile:
    """Features [start, stop) of a layer of a store, whose first column in the design matrix is `offset`."""

    part: _Part
    layer: int
    offset: int
    start: int
    stop: int

    @property
    def columns(self) -> tuple[int, int]:
        return self.offset + self.start, self.offset + self.stop

    @property
    def dtype(self) -> str:
        return self.part.store.dtypes[self.layer]

    def read_ahead(self) -> None:
        for segment in self.part.row_map.segments:
            self.part.store.read_ahead(self.layer, segment.block, self.start, self.stop)

    def values(self, segment: Segment) -> np.ndarray:
        """Read (stop - start, rows) in the dtype stored; a view, if the segment's rows are a slice."""
        return _rows(self.part.store.block(self.layer, segment.block)[self.start : self.stop], segment)


class DesignMatrix:
    """Feature stores side by side by columns; row i is the i-th image asked for. `DesignMatrix.of` makes one.

    Attributes
    ----------
    layers : LayerIndex
        Which columns belong to which layer; names have a prefix where there are several stores.
    """

    def __init__(self, parts: Sequence[_Part], layers: LayerIndex, n_rows: int) -> None:
        self._parts = tuple(parts)
        self._n_rows = n_rows
        self.layers = layers
        self._sources = [(part, layer) for part in parts for layer in range(len(part.store.layers))]

    @classmethod
    def of(cls, stores: Sequence[StoredFeatures], images: Sequence[str]) -> "DesignMatrix":
        """Put the features that stores hold of some images side by side.

        Parameters
        ----------
        stores : sequence of StoredFeatures
            One or more different stores.
        images : sequence of str
            Sha256 (hex) of each row's image, repeats allowed.

        Raises
        ------
        BadRequest
            There is no store, or the same one twice.
        DataError
            A store lacks an image.
        """
        if not stores or len({store.key for store in stores}) != len(stores):
            raise BadRequest(f"a design matrix needs one or more different stores, not {[s.key[:12] for s in stores]}")
        prefixes = store_prefixes([store.identity for store in stores])
        layers = LayerIndex.concat([store.layers for store in stores], prefixes)
        return cls([_Part.of(store, store.rows_of(images)) for store in stores], layers, len(images))

    @property
    def shape(self) -> tuple[int, int]:
        """Number of images and of features, (n, d)."""
        return self._n_rows, self.layers.n_features

    def take(self, rows: np.ndarray) -> "DesignMatrix":
        """Return a view on some rows, in any order, repeats allowed. Raises `BadRequest` for one that isn't there."""
        chosen = checked_indices(rows, self._n_rows, "row")
        parts = [_Part.of(part.store, part.rows[chosen]) for part in self._parts]
        return DesignMatrix(parts, self.layers, len(chosen))

    def stream(self, *, max_bytes: int = DEFAULT_BYTES, within: Span | None = None) -> Iterator[Block]:
        """Read all features in column order, in blocks that never cross a layer boundary.

        A block is a view of the file where a float32 layer's rows lie as wanted in one row block; otherwise it is put
        together in a buffer, which the next one reuses. What comes next is fetched from disk while the caller is busy.

        Parameters
        ----------
        max_bytes : int
            How large a block is at most, unless a single feature is larger.
        within : tuple of int, optional
            The columns [first, last) to read, instead of all.

        Raises
        ------
        StoreError
            A file is missing, not of its size, or not what was written: its checksum is computed as it goes by, the
            first time in a process.
        """
        return self._blocks(max_bytes, within, as_stored=False)

    @property
    def stored_dtypes(self) -> tuple[str, ...]:
        """What each layer is stored as, "float16" or "float32"."""
        return tuple(part.store.dtypes[layer] for part, layer in self._sources)

    def stream_stored(self, *, max_bytes: int = DEFAULT_BYTES, within: Span | None = None) -> Iterator[Block]:
        """Read features as `stream` does, but in the dtype that each layer is stored in."""
        return self._blocks(max_bytes, within, as_stored=True)

    def _blocks(self, max_bytes: int, within: Span | None, *, as_stored: bool) -> Iterator[Block]:
        buffer, checks = _Buffer(), _Checks()
        for tile in _reading_ahead(self._tiles(max_bytes, within)):
            checks.take(tile)
            values = _mapped_view(tile, tile.dtype if as_stored else "float32")
            if values is None:
                values = buffer.get(tile.stop - tile.start, self._n_rows, tile.dtype if as_stored else "float32")
                for segment in tile.part.row_map.segments:
                    _assign(values, segment, tile.values(segment))
            yield Block(*tile.columns, read_only(values))

    def columns(self, indices: np.ndarray) -> np.ndarray:
        """Read the given features, in the order given: (len(indices), n) float32, in memory of their own.

        Raises
        ------
        BadRequest
            A column that isn't there.
        StoreError
            A file is missing or not of its size; or, where a quarter of a layer's features or more are asked for, not
            what was written.
        """
        wanted = checked_indices(indices, self.layers.n_features, "column")
        out = np.empty((len(wanted), self._n_rows), np.float32)
        layer_of = self.layers.layer_of(wanted)
        order = np.argsort(layer_of, kind="stable")
        for targets in np.split(order, np.flatnonzero(np.diff(layer_of[order])) + 1):
            if not len(targets):
                continue
            number = int(layer_of[targets[0]])
            part, layer = self._sources[number]
            place = as_slice(targets)
            values = out[place] if isinstance(place, slice) else np.empty((len(targets), self._n_rows), np.float32)
            _gather(part, layer, wanted[targets] - self.layers.offsets[number], values)
            if not isinstance(place, slice):
                out[place] = values
        return out

    def _tiles(self, max_bytes: int, within: Span | None) -> Iterator[_Tile]:
        """Cut the columns into tiles of at most `max_bytes`, or less where values have to be copied."""
        for number, (part, layer) in enumerate(self._sources):
            copied = part.row_map.source is None or part.store.dtypes[layer] != "float32"
            offset, end = self.layers.offsets[number : number + 2].tolist()
            first, last = overlap((offset, end), within)
            for start, stop in _ranges((first - offset, last - offset), self._n_rows, max_bytes, copied):
                yield _Tile(part, layer, offset, start, stop)


class _Checks:
    """Compares what a stream reads with its checksums, which are computed on the way.

    A layer of which a stream reads the beginning is checked as it goes by. Of one that it enters further on, as one of
    several threads, the whole file is checked first. What this process has checked before is not checked again.
    """

    def __init__(self) -> None:
        self._source: tuple[int, int] | None = None
        self._running: dict[int, RunningChecksum] = {}

    def take(self, tile: _Tile) -> None:
        """Check the row blocks of the next tile; raises `StoreError` where one ends that isn't what was written."""
        store, blocks = tile.part.store, [segment.block for segment in tile.part.row_map.segments]
        if self._source != (id(tile.part), tile.layer):
            self._source, self._running = (id(tile.part), tile.layer), {}
            for block in blocks:
                if tile.start:
                    store.check(tile.layer, block)
                elif (running := store.running_checksum(tile.layer, block)) is not None:
                    self._running[block] = running
        for block, running in self._running.items():
            running.add(store.block(tile.layer, block)[tile.start : tile.stop])


class _Buffer:
    """Memory that is used again and again: fresh pages would cost more than what is done with them."""

    def __init__(self) -> None:
        self._memory = np.empty(0, np.float32)

    def get(self, n_features: int, n_rows: int, dtype: str) -> np.ndarray:
        """Return (features, rows) of arbitrary content, float32 or float16."""
        size = n_features * n_rows
        if self._memory.size < size:
            self._memory = np.empty(size, np.float32)
        return self._memory.view(dtype)[:size].reshape(n_features, n_rows)


def _ranges(span: Span, n_rows: int, max_bytes: int, copied: bool) -> Iterator[Span]:
    """Cut a span of columns into parts that fit `max_bytes`, and the cache if their values have to be copied."""
    stride = 4 * max(1, n_rows)
    room = min(max_bytes, max(_BUFFER_BYTES, _BUFFER_FEATURES * stride)) if copied else max_bytes
    at_once = max(1, room // stride)
    for start in range(*span, at_once):
        yield start, min(start + at_once, span[1])


def _reading_ahead(tiles: Iterator[_Tile]) -> Iterator[_Tile]:
    """Give the same tiles, each being fetched from disk while the one before it is used."""
    current = next(tiles, None)
    if current is not None:
        current.read_ahead()
    while current is not None:
        following = next(tiles, None)
        if following is not None:
            following.read_ahead()
        yield current
        current = following


def _mapped_view(tile: _Tile, dtype: str) -> np.ndarray | None:
    """Return the tile as a view of the mapped file, or None if its values have to be copied to be of that dtype."""
    if tile.part.row_map.source is None or tile.dtype != dtype:
        return None
    return tile.values(tile.part.row_map.segments[0])


def _rows(values: np.ndarray, segment: Segment) -> np.ndarray:
    """Return the segment's rows of a row block, a view if they are a slice."""
    rows = segment.source
    return values[:, rows] if isinstance(rows, slice) else values.take(rows, axis=1)


def _assign(out: np.ndarray, segment: Segment, values: np.ndarray) -> None:
    """Put a segment's values, of whatever dtype, where they belong in `out` (features, all rows)."""
    if values.dtype == np.float16 and out.dtype == np.float32 and isinstance(segment.target, slice):
        upcast(values, out[:, segment.target])
    else:
        out[:, segment.target] = values


def _gather(part: _Part, layer: int, features: np.ndarray, out: np.ndarray) -> None:
    """Copy some features of a layer, of all rows, into `out`."""
    wanted = as_slice(features)
    dense = len(features) >= _DENSE * part.store.layers.widths[layer]
    for segment in part.row_map.segments:
        if dense:
            part.store.check(layer, segment.block)
            block = part.store.block(layer, segment.block)
            values = block[wanted] if isinstance(wanted, slice) else block.take(wanted, axis=0)
        else:
            values = part.store.features(layer, segment.block, wanted)
        _assign(out, segment, _rows(values, segment))
