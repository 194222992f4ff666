"""Dual norms of all features, in one stream over a design."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from head2toe.select.compute.arrays import Arrays, numpy_arrays, to_numpy
from head2toe.select.compute.stream import each_block
from head2toe.select.objective.penalties import Penalty
from head2toe.store.reading.design_matrix import Block, Design


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
