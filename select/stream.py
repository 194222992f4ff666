"""The one pass over the design that every λ needs: dual norms of all features for all row sets at once."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import numpy as np
from head2toe.select.arrays import Arrays, numpy_arrays, to_numpy
from head2toe.select.penalties import Penalty
from head2toe.select.workers import workers
from head2toe.store.design import Design

BLOCK_BYTES = 1 << 26
SMALLEST_PART = 256  # features that are worth a thread


def dual_norms(
    design: Design, residuals: Sequence[np.ndarray], scales: Sequence[np.ndarray], penalty: Penalty, arrays: Arrays
) -> np.ndarray:
    """Dual norm of X_jᵀG_k for every feature j and row set k, in one stream: X [G_1 | G_2 | ...] block by block.

    Features needn't be centred, because the columns of G sum to zero; a feature's scale is a factor of its norm.

    Parameters
    ----------
    design
        n rows, d features.
    residuals
        G_k (n, C_k) float32 over all rows, zero outside the set.
    scales
        (d,) scale of every feature in that row set.
    penalty
        Whose dual norm.
    arrays
        Where to compute.

    Returns
    -------
    ndarray of float32 (len(residuals), d)
    """
    n, d = design.shape
    out = np.empty((len(residuals), d), np.float32)
    edges = np.cumsum([0] + [G.shape[1] for G in residuals])
    G = arrays.put(np.concatenate(residuals, axis=1))
    # The product has edges[-1] columns where the block has n: keep both within the bound.
    max_bytes = max(1, BLOCK_BYTES * n // max(n, int(edges[-1])))

    def part(values: np.ndarray, first_column: int) -> None:
        R = arrays.put(values) @ G
        columns = slice(first_column, first_column + len(values))
        for k, (first, last) in enumerate(pairwise(edges)):
            out[k, columns] = to_numpy(penalty.norms(R[:, int(first) : int(last)], arrays.xp)) * scales[k][columns]

    with workers() as (threads, run):
        for block in design.stream(max_bytes=max_bytes):
            size = max(SMALLEST_PART, -(-len(block.values) // threads))
            starts = range(0, len(block.values), size)
            run([partial(part, block.values[i : i + size], block.start + i) for i in starts])
    for k in range(len(out)):  # groups may reach over blocks
        out[k] = penalty.pooled(out[k], numpy_arrays().xp)
    return out
