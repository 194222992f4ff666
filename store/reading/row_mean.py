"""The mean of several designs, entry by entry: of images in several views, say."""

from collections.abc import Iterator, Sequence

import numpy as np
from head2toe.store.common.errors import BadRequest
from head2toe.store.reading.design import DEFAULT_BYTES, Block, Design, Span, blocks_of_columns


class RowMean:
    """The mean of the same rows of several designs; nothing is read or computed before it is asked for.

    Parameters
    ----------
    parts : sequence of Design
        One or more designs of as many rows and the same layers.

    Attributes
    ----------
    layers : LayerIndex
        Which columns belong to which layer.

    Raises
    ------
    BadRequest
        There is no design, or their layers or numbers of rows differ.
    """

    def __init__(self, parts: Sequence[Design]) -> None:
        if not parts or any(part.layers != parts[0].layers or part.shape != parts[0].shape for part in parts):
            raise BadRequest("a mean is taken of designs whose layers and numbers of rows are the same, one or more")
        self._parts = tuple(parts)
        self.layers = parts[0].layers

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of features, (n, d)."""
        return self._parts[0].shape

    def take(self, rows: np.ndarray) -> "RowMean":
        """Return a view on some rows, in any order, repeats allowed. Raises `BadRequest` for one that isn't there."""
        return RowMean([part.take(rows) for part in self._parts])

    def columns(self, indices: np.ndarray) -> np.ndarray:
        """Read the given features, in the order given: (len(indices), n) float32, in memory of their own."""
        total = self._parts[0].columns(indices)
        for part in self._parts[1:]:
            total += part.columns(indices)
        total /= len(self._parts)
        return total

    def stream(self, *, max_bytes: int = DEFAULT_BYTES, within: Span | None = None) -> Iterator[Block]:
        """Read features in column order, in blocks of at most `max_bytes` (one feature at least) within a layer."""
        return blocks_of_columns(self, max_bytes, within)
