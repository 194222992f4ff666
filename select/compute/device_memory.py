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

CHUNK_BYTES = 1 << 28  # of float32 that a pass makes at a time: products as large as a GPU needs, memory to spare
STAGING_BYTES = 1 << 25  # of each of the two pinned buffers that everything goes up through

Array = Any  # of CuPy


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
class _Part:
    """Columns [start, stop) of a design whose layers are stored in one dtype."""

    start: int
    stop: int
    dtype: np.dtype[Any]

    def nbytes(self, n_rows: int) -> int:
        return (self.stop - self.start) * n_rows * self.dtype.itemsize

    @classmethod
    def of(cls, design: Design) -> "list[_Part]":
        """Cut a design where the dtype changes; what is no store's is float32."""
        edges = design.layers.offsets.tolist()
        names = design.stored_dtypes if isinstance(design, DesignMatrix) else ("float32",) * len(design.layers.names)
        parts: list[_Part] = []
        for (start, stop), name in zip(pairwise(edges), names, strict=True):
            dtype = np.dtype(name)
            if parts and parts[-1].dtype == dtype:
                parts[-1] = cls(parts[-1].start, stop, dtype)
            else:
                parts.append(cls(start, stop, dtype))
        return parts


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
        self._kept: dict[int, tuple[weakref.ref[Any], list[Array], int]] = {}  # the least recently used first
        self._staging: _Staging | None = None

    def chunks(self, design: Design, xp: Any, width: int) -> Iterator[Block]:
        """Read all features, in column order, as float32 on the device. Unlike a stream's, a block may span layers.

        Parameters
        ----------
        design : Design
            n rows.
        xp : namespace
            CuPy's.
        width : int
            How many numbers the caller holds for every feature, if these are more than there are rows.
        """
        base, factors = design, None
        if isinstance(design, RowScaled):
            base, factors = design.base, xp.asarray(design.row_scale)
        n = design.shape[0]
        most = max(1, CHUNK_BYTES // (4 * max(n, width)))
        for part, values in self._stored(base, xp, most):
            for start in range(part.start, part.stop, most):
                stop = min(start + most, part.stop)
                some = values[start - part.start : stop - part.start, :]
                block = xp.astype(some, xp.float32, copy=False)
                if factors is not None:
                    layer = design.layers.layer_of(np.arange(start, stop))
                    block = block * xp.take(factors, xp.asarray(layer), axis=0)
                yield Block(start, stop, block)

    def _stored(self, design: Design, xp: Any, most: int) -> Iterator[tuple[_Part, Array]]:
        """Give parts of a design on the device (features, n), in the dtype stored: all of them, or piece by piece."""
        n, parts = design.shape[0], _Part.of(design)
        arrays = self._find(design)
        if arrays is None and self._make_room(sum(part.nbytes(n) for part in parts)):
            arrays = [self._upload(design, part, xp) for part in parts]
            self._keep(design, arrays, sum(part.nbytes(n) for part in parts))
        if arrays is not None:
            yield from zip(parts, arrays, strict=True)
            return
        small = [
            _Part(start, min(start + most, part.stop), part.dtype)
            for part in parts
            for start in range(part.start, part.stop, most)
        ]
        ahead = self._upload(design, small[0], xp)
        for part, following in zip(small, [*small[1:], None], strict=True):
            values = ahead
            if following is not None:
                ahead = self._upload(design, following, xp)  # on its way while `values` are computed with
            yield part, values

    def _find(self, design: Design) -> list[Array] | None:
        """Return a design's arrays, if they are kept; it counts as the one used last from now on."""
        known = self._kept.pop(id(design), None)
        if known is None:
            return None
        self._kept[id(design)] = known
        return known[1]

    def _make_room(self, nbytes: int) -> bool:
        """Let go of what was used least recently until there is room for so many bytes; False if there never is."""
        if nbytes > self.most:
            return False
        while self.used + nbytes > self.most:
            self._forget(next(iter(self._kept)))
        return True

    def _keep(self, design: Design, arrays: list[Array], nbytes: int) -> None:
        key = id(design)
        self._kept[key] = (weakref.ref(design, lambda _: self._forget(key)), arrays, nbytes)
        self.used += nbytes

    def _forget(self, key: int) -> None:
        _, _, nbytes = self._kept.pop(key, (None, None, 0))
        self.used -= nbytes

    def _upload(self, design: Design, part: _Part, xp: Any) -> Array:
        n = design.shape[0]
        if self._staging is None or self._staging.nbytes < 4 * n:
            self._staging = _Staging(max(STAGING_BYTES, 4 * n))
        values = xp.empty((part.stop - part.start, n), dtype=part.dtype)
        self._staging.fill(values, _blocks(design, self._staging.nbytes, (part.start, part.stop)))
        return values


def _blocks(design: Design, max_bytes: int, within: Span) -> Iterator[Block]:
    """Read features in the dtype stored, in blocks whose float32 would take at most `max_bytes`."""
    read = design.stream_stored if isinstance(design, DesignMatrix) else design.stream
    return read(max_bytes=max_bytes, within=within)


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
        return self._buffers[self._turn][: most * n * dtype.itemsize].view(dtype).reshape(most, n)

    def _send(self, out: Array, values: np.ndarray) -> None:
        out.set(values, stream=self._stream)
        self._copied[self._turn] = self._stream.record()
