"""Scores of features from the weights of a head, what can be done to scores, and rankings by them.

Scores that look at features alone are in `feature_scores`; those of the exact path come with it (`PathPoint.scores`).
"""

from collections.abc import Callable

import numpy as np
from head2toe.store.common.errors import BadRequest
from head2toe.store.format.layer_index import LayerIndex

NORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "l21": lambda W: np.linalg.norm(W, axis=-1),
    "l1": lambda W: np.abs(W).sum(axis=-1),
    "linf": lambda W: np.abs(W).max(axis=-1),
}


def weight_scores(name: str, W: np.ndarray, layers: LayerIndex | None = None) -> np.ndarray:
    """Score features by the weights of a head; of several heads (runs with different seeds, say), by their mean score.

    Parameters
    ----------
    name : {"l21", "l1", "linf", "layer"}
        The norm of W_j; "layer" is the mean of ||W_j||₂ over the feature's layer, which chooses whole layers.
    W : ndarray (d, C) or (runs, d, C)
        Weights, as a `Solution` of `path` or `paper_recipe.train` gives them.
    layers : LayerIndex, optional
        Which columns belong to which layer; "layer" needs it.

    Returns
    -------
    ndarray (d,)
        In the precision of W.

    Raises
    ------
    BadRequest
        There is no such score, or it is "layer" and layers are missing.
    """
    if name not in NORMS and name != "layer":
        raise BadRequest(f"no score {name!r} of weights: there are {', '.join([*NORMS, 'layer'])}")
    if name == "layer" and layers is None:
        raise BadRequest("score 'layer' needs to know the layers: give them")
    scores = NORMS["l21" if name == "layer" else name](W)
    scores = scores.mean(axis=0) if scores.ndim == 2 else scores
    return toward_layer_mean(scores, layers, 1.0) if name == "layer" and layers is not None else scores


def toward_layer_mean(scores: np.ndarray, layers: LayerIndex, share: float) -> np.ndarray:
    """Interpolate scores between themselves (`share` 0) and the mean over each feature's layer (`share` 1).

    Parameters
    ----------
    scores : ndarray (d,)
    layers : LayerIndex
        The layers of the d columns.
    share : float

    Returns
    -------
    ndarray (d,)
        In the precision of the scores.

    Raises
    ------
    BadRequest
        The share is not between 0 and 1.
    """
    if not 0 <= share <= 1:
        raise BadRequest(f"the share of the layer's mean is between 0 and 1, not {share}")
    widths = np.asarray(layers.widths)
    means = np.add.reduceat(scores.astype(np.float64), np.asarray(layers.offsets)[:-1]) / widths
    return ((1 - share) * scores + share * np.repeat(means, widths)).astype(scores.dtype)


def rank(scores: np.ndarray, k: int, *, offset: int = 0) -> np.ndarray:
    """Return the k columns of highest score, best first; equal scores in column order.

    Parameters
    ----------
    scores : ndarray (d,)
        Larger is better; no NaN.
    k : int
        How many, at most d.
    offset : int
        How many of the best to leave out first.

    Returns
    -------
    ndarray of int64 (min(k, d - offset),)

    Raises
    ------
    BadRequest
        The offset is negative.
    """
    d = scores.shape[0]
    if offset < 0:
        raise BadRequest(f"an offset into a ranking is 0 or more, not {offset}")
    if offset and k > 0:
        return rank(scores, k + offset)[offset:]
    k = min(k, d)
    if k <= 0:
        return np.empty(0, np.int64)
    # All columns above the k-th score are chosen, and of those that equal it the first, until there are k.
    threshold = np.partition(scores, d - k)[d - k]
    above = np.flatnonzero(scores > threshold)
    level = np.flatnonzero(scores == threshold)[: k - len(above)]
    chosen = np.sort(np.concatenate([above, level]))
    return chosen[np.argsort(-scores[chosen], kind="stable")]
