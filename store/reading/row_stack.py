"""Designs of the same features, one below the other: images in several views, say."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from head2toe.store.common.errors import BadRequest
from head2toe.store.reading.design import DEFAULT_BYTES, Block, Design, Span, blocks_of_columns, checked_indices


class RowStack:
    """The rows of several designs after each other; nothing is read or copied before it is asked for.

    Parameters
    ----------
    parts : sequence of Design
        One or more designs of the same layers.

    Attributes
    ----------
    layers : LayerIndex
        Which columns belong to which layer.

    Raises
    ------
    BadRequest
        There is no design, or their layers differ.
    """

    def __init__(self, parts: Sequence[Design]) -> None:
        if not parts or any(part.layers != parts[0].layers for part in parts):
            raise BadRequest("designs are stacked whose layers are the same, one or more of them")
        self._parts = tuple(parts)
        self._starts = np.cumsum([0, *(part.shape[0] for part in parts)])
        self.layers = parts[0].layers

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows of all parts, and of features, (n, d)."""
        return int(self._starts[-1]), self.layers.n_features

    def take(self, rows: np.ndarray) -> "RowStack":
        """Return a view on some rows, in any order, repeats allowed. Raises `BadRequest` for one that isn't there."""
        chosen = checked_indices(rows, self.shape[0], "row")
        if not len(chosen):
            return RowStack([self._parts[0].take(chosen)])
        part = np.searchsorted(self._starts, chosen, side="right") - 1
        runs = np.split(np.arange(len(chosen)), np.flatnonzero(np.diff(part)) + 1)
        numbers = [int(part[run[0]]) for run in runs]
        return RowStack(
            [self._parts[p].take(chosen[run] - self._starts[p]) for p, run in zip(numbers, runs, strict=True)]
        )

    def columns(self, indices: np.ndarray) -> np.ndarray:
        """Read the given features, in the order given: (len(indices), n) float32, in memory of their own."""
        wanted = checked_indices(indices, self.layers.n_features, "column")
        out = np.empty((len(wanted), self.shape[0]), np.float32)
        for part, (start, stop) in zip(self._parts, pairwise(self._starts.tolist()), strict=True):
            out[:, start:stop] = part.columns(wanted)
        return out

    def stream(self, *, max_bytes: int = DEFAULT_BYTES, within: Span | None = None) -> Iterator[Block]:
        """Read features in column order, in blocks of at most `max_bytes` (one feature at least) within a layer."""
        return blocks_of_columns(self, max_bytes, within)
