"""Numbers that judge predicted log-probabilities (n, classes) against labels (n,), and the temperature that mends them.

All of it is host NumPy: what a method leaves is small. A class that has no row is left out of the means over classes.
"""

from collections.abc import Callable

import numpy as np
from head2toe.store.common.errors import DataError
from scipy.special import logsumexp
from scipy.stats import rankdata

FLOOR = float(np.log(np.finfo(np.float32).tiny))
"""What a log-probability of minus infinity (a nearest neighbour's zero) counts as: -87.3."""
ROUNDING = 5e-7
"""Relative difference up to which log-probabilities that went through float32 are the same."""


def normalized(log_probabilities: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """(n, classes) float64 whose rows sum to one as probabilities, minus infinity raised to `FLOOR`.

    Raises
    ------
    DataError
        A value is NaN or plus infinity.
    """
    logp = np.asarray(log_probabilities, dtype=np.float64)
    if np.isnan(logp).any() or np.isposinf(logp).any():
        raise DataError("a method predicted NaN: its features or its head overflowed; try --dtype float32")
    logp = np.maximum(logp, FLOOR) / temperature
    return np.asarray(logp - logsumexp(logp, axis=1, keepdims=True))


def correct(logp: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n,) bool: whether the most probable class is the label."""
    return np.asarray(logp.argmax(axis=1) == labels)


def losses(logp: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n,) minus the log-probability of the label, in nats."""
    return np.asarray(-logp[np.arange(len(labels)), labels])


def accuracy(logp: np.ndarray, labels: np.ndarray) -> float:
    """Share of the rows whose most probable class is the label."""
    return float(correct(logp, labels).mean())


def balanced_accuracy(logp: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the classes of the share of their rows that are right."""
    counts = np.bincount(labels)
    right = np.bincount(labels, weights=correct(logp, labels))
    return float((right[counts > 0] / counts[counts > 0]).mean())


def log_loss(logp: np.ndarray, labels: np.ndarray) -> float:
    """Mean of `losses`."""
    return float(losses(logp, labels).mean())


def auroc(logp: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve: of class 1 with two classes, else the mean of each class against the rest.

    Ties count half, those that rounding has pulled apart among them (a neighbour's votes are the same in many rows).
    NaN where no class has both rows of its own and rows of others.
    """
    scores = logp[:, 1:] - logp[:, :1] if logp.shape[1] == 2 else logp
    own = labels[:, None] == np.arange(logp.shape[1])[None, -scores.shape[1] :]
    positives = own.sum(axis=0)
    defined = (positives > 0) & (positives < len(labels))
    if not defined.any():
        return float("nan")
    # Mann and Whitney: the ranks of the positives, less what they would sum to if they all came first.
    ranks = rankdata(_levels(scores), axis=0)
    p, q = positives[defined], (len(labels) - positives)[defined]
    return float((((ranks * own).sum(axis=0)[defined] - p * (p + 1) / 2) / (p * q)).mean())


def _levels(scores: np.ndarray) -> np.ndarray:
    """Numbers in the order of each column of scores (n, k), the same for those that differ by rounding alone.

    Normalising what was stored in float32 moves every log-probability of a row by the rounding of its others.
    """
    order = np.argsort(scores, axis=0)
    rising = np.take_along_axis(scores, order, axis=0)
    apart = np.diff(rising, axis=0, prepend=-np.inf) > ROUNDING * np.abs(rising)
    levels = np.empty(scores.shape, np.int64)
    np.put_along_axis(levels, order, np.cumsum(apart, axis=0), axis=0)
    return levels


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "log_loss": log_loss,
    "auroc": auroc,
}
LESS_IS_BETTER = frozenset({"log_loss"})
