"""Rankings of features by a score."""

import numpy as np


def rank(scores: np.ndarray, k: int) -> np.ndarray:
    """The k columns of highest score, best first; equal scores in column order.

    Parameters
    ----------
    scores : ndarray (d,)
        Larger is better; no NaN.
    k : int
        How many, at most d.

    Returns
    -------
    ndarray of int64 (min(k, d),)
    """
    d = scores.shape[0]
    k = min(k, d)
    if k <= 0:
        return np.empty(0, np.int64)
    # Everything above the k-th score is in; of those that equal it, the first columns fill what room is left.
    threshold = np.partition(scores, d - k)[d - k]
    above = np.flatnonzero(scores > threshold)
    level = np.flatnonzero(scores == threshold)[: k - len(above)]
    chosen = np.sort(np.concatenate([above, level]))
    return chosen[np.argsort(-scores[chosen], kind="stable")]
