"""Dual norms of all features for all row sets, in one pass over a design: what every λ of the path needs."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from head2toe.select.compute.arrays import Array, Arrays, numpy_arrays, to_numpy
from head2toe.select.compute.stream import Columns, each_block, parts, shifted
from head2toe.select.compute.workers import SharedDesign
from head2toe.select.objective.penalties import Penalty
from head2toe.store.reading.design_matrix import Design


def dual_norms(
    design: Design,
    residuals: Sequence[np.ndarray],
    scales: Sequence[np.ndarray],
    penalty: Penalty,
    arrays: Arrays,
    shared: SharedDesign | None = None,
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
    shared : SharedDesign, optional
        The same design with workers, who share the pass: residuals go out, norms come back.

    Returns
    -------
    ndarray of float32 (K, d)
    """
    if shared is None:
        out = _norms_within(design, (0, design.shape[1]), residuals, scales, penalty, arrays)
    else:
        spans = parts(design, sum(G.shape[1] for G in residuals), shared.parts)
        tasks = [(span, [scale[slice(*span)] for scale in scales]) for span in spans]
        out = np.concatenate(shared.map(_norms_there, (list(residuals), penalty), tasks), axis=1)
    for k in range(len(out)):  # a group of features may extend over several blocks
        out[k] = penalty.pooled(out[k], numpy_arrays().xp)
    return out


def _norms_there(design: Design, news: Any, task: Any) -> np.ndarray:
    """Compute, in a worker, the norms (K, features) of a part of the pass."""
    (where, (residuals, penalty)), (span, scales) = news, task
    return _norms_within(design, span, residuals, scales, penalty, where())


def _norms_within(
    design: Design,
    span: tuple[int, int],
    residuals: Sequence[np.ndarray],
    scales: Sequence[np.ndarray],
    penalty: Penalty,
    arrays: Arrays,
) -> np.ndarray:
    """Compute the norms (K, features) of a span of features, not pooled; `scales` are those of the span."""
    first_column, last_column = span
    out = np.empty((len(residuals), last_column - first_column), np.float32)
    edges = np.cumsum([0] + [G.shape[1] for G in residuals]).tolist()
    G = arrays.put(np.concatenate([G.T for G in residuals]))
    K, C = len(residuals), edges[1]
    alike = edges == list(range(0, K * C + 1, C))

    def use_at_once(columns: Columns, values: Array) -> None:
        """On a GPU: one product and one reduction for all row sets, and one wait."""
        R = arrays.xp.reshape(values @ G.T, (-1, C))  # a row for each feature and row set
        norms = to_numpy(penalty.norms(R, arrays.xp))
        own = shifted(columns, first_column)
        out[:, own] = norms.reshape(-1, K).T * np.stack([scale[own] for scale in scales])

    def use(columns: Columns, values: Array) -> None:
        # Features lie side by side in the product, the numbers of one far apart: sums over classes are then fast.
        R = (G @ values.T).T
        own = shifted(columns, first_column)
        for k, (first, last) in enumerate(pairwise(edges)):
            out[k, own] = to_numpy(penalty.norms(R[:, first:last], arrays.xp)) * scales[k][own]

    one_by_one = use_at_once if alike and arrays.memory is not None else use
    each_block(design, arrays, one_by_one, width=edges[-1], within=span)
    return out
