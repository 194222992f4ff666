"""Designs in the memory of a GPU: brought there once, in the dtype stored, and kept as long as there is room.

A pass over a design then reads the device's own memory. A design that is too large goes up on every pass, each part
while the one before it is computed with.
"""

import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

import numpy as np
from head2toe.store.reading.design_matrix import Block, Design, DesignMatrix, Span
from head2toe.store.reading.row_mean import RowMean

CHUNK_BYTES = 1 << 28  # of float32 that a pass makes at a time: products as large as a GPU needs, memory to spare
STAGING_BYTES = 1 << 25  # of each of the two pinned buffers that everything goes up through

Array = Any  # of CuPy
Key = tuple[int, Span]
"""Which design, and which of its columns."""


@runtime_checkable
class RowScaled(Protocol):
    """A design that is another one, with every row of every layer multiplied by a factor: `UnitRows`.

    Attributes
    ----------
    base : Design
        The other one: n rows, L layers.
    row_scale : ndarray of float32 (L, n)
    """

    base: Design
    row_scale: np.ndarray


@dataclass(frozen=True)
class _Group:
    """Spans of columns, ascending, whose layers are stored in one dtype; on the device they lie in one array.

    (In some networks every second layer is float32. A product for each would be more calls than a pass can afford.)
    """

    spans: tuple[Span, ...]
    dtype: np.dtype[Any]

    @property
    def columns(self) -> np.ndarray:
        return np.concatenate([np.arange(*span) for span in self.spans])

    @property
    def size(self) -> int:
        return sum(stop - start for start, stop in self.spans)

    def places(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which of the indices (k,) are columns of this group, and in which of its rows each lies, as int32."""
        starts = np.array([start for start, _ in self.spans])
        sizes = np.array([stop - start for start, stop in self.spans])
        span = np.searchsorted(starts, indices, side="right") - 1
        within = indices - starts[span]
        here = (span >= 0) & (within < sizes[span])
        first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        return np.flatnonzero(here).astype(np.int32), (first[span] + within)[here].astype(np.int32)

    def nbytes(self, n_rows: int) -> int:
        return self.size * n_rows * self.dtype.itemsize

    def within(self, part: Span) -> "_Group":
        """Return the group of those of its columns that lie in a part of all."""
        kept = ((max(start, part[0]), min(stop, part[1])) for start, stop in self.spans)
        return _Group(tuple((start, stop) for start, stop in kept if start < stop), self.dtype)

    def cut(self, most: int) -> "list[_Group]":
        """Return the same columns in groups of at most so many."""
        groups: list[_Group] = []
        spans: list[Span] = []
        room = most
        for start, stop in self.spans:
            while stop - start > room:
                groups.append(_Group((*spans, (start, start + room)), self.dtype))
                start, spans, room = start + room, [], most
            spans.append((start, stop))
            room -= stop - start
        return [*groups, _Group(tuple(spans), self.dtype)]

    @classmethod
    def of(cls, design: Design) -> "list[_Group]":
        """Sort the layers of a design by their dtype; what is no store's is float32."""
        names = design.stored_dtypes if isinstance(design, DesignMatrix) else ("float32",) * len(design.layers.names)
        spans: dict[str, list[Span]] = {}
        for name, span in zip(names, pairwise(design.layers.offsets.tolist()), strict=True):
            mine = spans.setdefault(name, [])
            if mine and mine[-1][1] == span[0]:
                mine[-1] = (mine[-1][0], span[1])
            else:
                mine.append(span)
        return [cls(tuple(mine), np.dtype(name)) for name, mine in spans.items()]


class DeviceMemory:
    """The designs that a GPU holds. Of those that do not fit together, the one used least recently goes first.

    Parameters
    ----------
    most : int
        How many bytes designs may take.

    Attributes
    ----------
    used : int
        How many bytes they take now.
    """

    def __init__(self, most: int) -> None:
        self.most, self.used = most, 0
        self._kept: dict[Key, tuple[weakref.ref[Any], list[Array], int]] = {}  # the least recently used first
        self._staging: _Staging | None = None

    def chunks(
        self, design: Design, xp: Any, width: int, within: Span | None = None
    ) -> Iterator[tuple[np.ndarray, Array]]:
        """Read all features as float32 on the device, each once, in the order in which they lie there.

        Parameters
        ----------
        design : Design
            n rows.
        xp : namespace
            CuPy's.
        width : int
            How many numbers the caller holds for every feature, if these are more than there are rows.
        within : (int, int), optional
            Of these features alone, the first and the one behind the last; they are kept apart from other parts.

        Yields
        ------
        columns : ndarray of int (features,)
            Which features they are.
        values : array of float32 (features, n)
        """
        base, factors = design, None
        if isinstance(design, RowScaled):
            base, factors = design.base, xp.asarray(design.row_scale)
        most = max(1, CHUNK_BYTES // (4 * max(design.shape[0], width)))
        for group, stored in self._stored(base, xp, most, within):
            every = group.columns
            for start in range(0, group.size, most):
                columns = every[start : start + most]
                values = xp.astype(stored[start : start + most, :], xp.float32, copy=False)
                if factors is not None:
                    values = values * xp.take(factors, xp.asarray(design.layers.layer_of(columns)), axis=0)
                yield columns, values

    def columns(self, design: Design, indices: np.ndarray, xp: Any) -> Array | None:
        """Gather features of a design that is kept, or can be.

        Parameters
        ----------
        design : Design
            n rows.
        indices : ndarray of int (k,)
            Which features, in any order and as often as one is wanted.
        xp : namespace
            CuPy's.

        Returns
        -------
        array of float32 (k, n), or None
            None if the design is too large to be kept, or neither a store's nor a mean of such: its columns come faster
            from the host.
        """
        base = design.base if isinstance(design, RowScaled) else design
        if not isinstance(base, DesignMatrix | RowMean):
            return None
        if sum(group.nbytes(base.shape[0]) for group in _Group.of(base)) > self.most:
            return None
        values = xp.empty((len(indices), base.shape[0]), dtype=xp.float32)
        for group, stored in self._stored(base, xp, 0):
            at, rows = group.places(indices)
            if len(at):
                values[xp.asarray(at), :] = xp.take(stored, xp.asarray(rows), axis=0)
        if isinstance(design, RowScaled):
            layers = xp.asarray(design.layers.layer_of(indices))
            values = values * xp.take(xp.asarray(design.row_scale), layers, axis=0)
        return values

    def _stored(self, design: Design, xp: Any, most: int, within: Span | None = None) -> Iterator[tuple[_Group, Array]]:
        """Give groups of a design on the device (features, n), in the dtype stored: all of them, or piece by piece."""
        n, groups = design.shape[0], _Group.of(design)
        key = (id(design), within or (0, design.shape[1]))
        if within is not None:
            groups = [group for group in (group.within(within) for group in groups) if group.spans]
        nbytes = sum(group.nbytes(n) for group in groups)
        arrays = self._find(key)
        if arrays is None and self._make_room(nbytes):
            arrays = [self._upload(design, group, xp) for group in groups]
            self._keep(key, design, arrays, nbytes)
        if arrays is not None:
            yield from zip(groups, arrays, strict=True)
            return
        pieces = [piece for group in groups for piece in group.cut(most)]
        ahead = self._upload(design, pieces[0], xp)
        for piece, following in zip(pieces, [*pieces[1:], None], strict=True):
            values = ahead
            if following is not None:
                ahead = self._upload(design, following, xp)  # on its way while `values` are computed with
            yield piece, values

    def _find(self, key: Key) -> list[Array] | None:
        """Return a design's arrays, if they are kept; it counts as the one used last from now on."""
        known = self._kept.pop(key, None)
        if known is None:
            return None
        self._kept[key] = known
        return known[1]

    def _make_room(self, nbytes: int) -> bool:
        """Let go of what was used least recently until there is room for so many bytes; False if there never is."""
        if nbytes > self.most:
            return False
        while self.used + nbytes > self.most:
            self._forget(next(iter(self._kept)))
        return True

    def _keep(self, key: Key, design: Design, arrays: list[Array], nbytes: int) -> None:
        self._kept[key] = (weakref.ref(design, lambda _: self._forget(key)), arrays, nbytes)
        self.used += nbytes

    def _forget(self, key: Key) -> None:
        _, _, nbytes = self._kept.pop(key, (None, None, 0))
        self.used -= nbytes

    def _upload(self, design: Design, group: _Group, xp: Any) -> Array:
        n = design.shape[0]
        if self._staging is None or self._staging.nbytes < 4 * n:
            self._staging = _Staging(max(STAGING_BYTES, 4 * n))
        read = design.stream_stored if isinstance(design, DesignMatrix) else design.stream
        values = xp.empty((group.size, n), dtype=group.dtype)
        size = self._staging.nbytes
        self._staging.fill(values, (block for span in group.spans for block in read(max_bytes=size, within=span)))
        return values


class _Staging:
    """Two pinned buffers that blocks go up through: the host fills one while a stream of its own copies the other.

    Parameters
    ----------
    nbytes : int
        Of each buffer.
    """

    def __init__(self, nbytes: int) -> None:
        import cupy
        import cupyx

        self.nbytes = nbytes
        self._current = cupy.cuda.get_current_stream
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._buffers = [cupyx.empty_pinned((nbytes,), np.uint8) for _ in range(2)]
        self._copied: list[Any] = [None, None]
        self._turn = 0

    def fill(self, out: Array, blocks: Iterator[Block]) -> None:
        """Copy blocks that follow each other into `out` (features, n); what is computed from now on waits for them."""
        # The memory of `out` may have been another array's, which kernels that were started still read.
        self._stream.wait_event(self._current().record())
        n, dtype = out.shape[1], out.dtype
        most = self.nbytes // (n * dtype.itemsize)
        first = filled = 0
        buffer = self._next(most, n, dtype)
        for block in blocks:
            size = len(block.values)
            if filled + size > most:
                self._send(out[first : first + filled, :], buffer[:filled])
                first, filled, buffer = first + filled, 0, self._next(most, n, dtype)
            buffer[filled : filled + size] = block.values
            filled += size
        self._send(out[first : first + filled, :], buffer[:filled])
        self._current().wait_event(self._stream.record())

    def _next(self, most: int, n: int, dtype: Any) -> np.ndarray:
        """Return the other buffer as an array (most, n), once its last copy is done."""
        self._turn = 1 - self._turn
        if (copied := self._copied[self._turn]) is not None:
            copied.synchronize()
        view: np.ndarray = self._buffers[self._turn][: most * n * dtype.itemsize].view(dtype).reshape(most, n)
        return view

    def _send(self, out: Array, values: np.ndarray) -> None:
        out.set(values, stream=self._stream)
        self._copied[self._turn] = self._stream.record()
