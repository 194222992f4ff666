"""Streams over the design: the one pass that every λ needs, dual norms of all features for all row sets at once."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
from head2toe.select.compute.arrays import Arrays, numpy_arrays, to_numpy
from head2toe.select.compute.threads import workers
from head2toe.select.objective.penalties import Penalty
from head2toe.store.reading.design_matrix import Block, Design

BLOCK_BYTES = 1 << 23  # of features, and of what is made of them: the caches' size, not the memory's
FEWEST_FEATURES = 256  # in a block, however many rows: products with fewer are slow
MOST_BYTES = 1 << 26  # but no more than that
BLOCKS_IN_SPAN, FEWEST_SPANS = 2, 16  # what a thread takes at a time: so little that all end at about the same time


def each_block(design: Design, arrays: Arrays, use: Callable[[Block], None], *, width: int = 0) -> None:
    """Call `use` with every block of the design, in as many threads as the BLAS may use.

    How the design is cut doesn't depend on the number of threads, and every product has a BLAS of one thread: the
    numbers come out the same, bit for bit. What has to be converted to float32 is converted in these threads, too.

    Parameters
    ----------
    use
        Reads the block's values before it returns; any thread may call it.
    width
        How many numbers `use` holds of every feature, if more than there are rows.
    """
    n, d = design.shape
    max_bytes = min(max(BLOCK_BYTES, 4 * n * FEWEST_FEATURES), MOST_BYTES) * n // max(n, width)
    span = max(1, min(BLOCKS_IN_SPAN * max_bytes // (4 * n), -(-d // FEWEST_SPANS)))

    def stream(first: int) -> None:
        for block in design.stream(max_bytes=max(1, max_bytes), within=(first, min(first + span, d))):
            use(block)

    with workers(arrays) as (_, run):
        run([partial(stream, first) for first in range(0, d, span)])


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
    out = np.empty((len(residuals), design.shape[1]), np.float32)
    edges = np.cumsum([0] + [G.shape[1] for G in residuals]).tolist()
    G = arrays.put(np.concatenate([G.T for G in residuals]))

    def use(block: Block) -> None:
        # The product has a feature's numbers far apart and features side by side: sums over classes are then fast.
        R = (G @ arrays.put(block.values).T).T
        columns = slice(block.start, block.stop)
        for k, (first, last) in enumerate(pairwise(edges)):
            out[k, columns] = to_numpy(penalty.norms(R[:, first:last], arrays.xp)) * scales[k][columns]

    each_block(design, arrays, use, width=edges[-1])
    for k in range(len(out)):  # groups may reach over blocks
        out[k] = penalty.pooled(out[k], numpy_arrays().xp)
    return out
