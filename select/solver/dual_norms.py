"""Dual norms of all features for all row sets, in one pass over a design: what every λ of the path needs."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from head2toe.select.compute.arrays import Array, Arrays, numpy_arrays, to_numpy
from head2toe.select.compute.stream import Columns, each_block
from head2toe.select.objective.penalties import Penalty
from head2toe.store.reading.design_matrix import Design


def dual_norms(
    design: Design, residuals: Sequence[np.ndarray], scales: Sequence[np.ndarray], penalty: Penalty, arrays: Arrays
) -> np.ndarray:
    """Compute the dual norm of X_jᵀG_k for all features j and row sets k in one pass: X [G_1 | G_2 | …] block by block.

    Features need not be centred, because the columns of G sum to zero; the scale of a feature is a factor of its norm.

    Parameters
    ----------
    design : Design
        n rows, d features.
    residuals : sequence of ndarray of float32 (n, C_k)
        G_k of each of K row sets over all rows, zero outside the set.
    scales : sequence of ndarray of float32 (d,)
        The scale of every feature in each row set.
    penalty : Penalty
        The norm is dual to it.
    arrays : Arrays
        Where to compute.

    Returns
    -------
    ndarray of float32 (K, d)
    """
    out = np.empty((len(residuals), design.shape[1]), np.float32)
    edges = np.cumsum([0] + [G.shape[1] for G in residuals]).tolist()
    G = arrays.put(np.concatenate([G.T for G in residuals]))
    K, C = len(residuals), edges[1]
    alike = edges == list(range(0, K * C + 1, C))

    def use_at_once(columns: Columns, values: Array) -> None:
        """On a GPU: one product and one reduction for all row sets, and one wait."""
        R = arrays.xp.reshape(values @ G.T, (-1, C))  # a row for each feature and row set
        norms = to_numpy(penalty.norms(R, arrays.xp))
        out[:, columns] = norms.reshape(-1, K).T * np.stack([scale[columns] for scale in scales])

    def use(columns: Columns, values: Array) -> None:
        # Features lie side by side in the product, the numbers of one far apart: sums over classes are then fast.
        R = (G @ values.T).T
        for k, (first, last) in enumerate(pairwise(edges)):
            out[k, columns] = to_numpy(penalty.norms(R[:, first:last], arrays.xp)) * scales[k][columns]

    each_block(design, arrays, use_at_once if alike and arrays.memory is not None else use, width=edges[-1])
    for k in range(len(out)):  # a group of features may extend over several blocks
        out[k] = penalty.pooled(out[k], numpy_arrays().xp)
    return out
