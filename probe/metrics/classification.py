"""Metrics of predicted log-probabilities (n, classes) against labels (n,).

They are computed on the host with NumPy and SciPy, for what a method predicts is small. Means over classes leave out a
class that has no row.
"""

from collections.abc import Callable

import numpy as np
from head2toe.probe import options
from head2toe.store.common.errors import DataError
from scipy.special import log_softmax
from scipy.stats import rankdata

FLOOR = float(np.log(np.finfo(np.float32).tiny))
"""What a log-probability of minus infinity (a nearest neighbour's zero) counts as: -87.3 nats."""
ROUNDING = 5e-7
"""Relative difference up to which log-probabilities that went through float32 are the same."""


def normalized(log_probabilities: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Log-probabilities at a temperature, each row normalised: log softmax(log p / T).

    Parameters
    ----------
    log_probabilities : (n, classes) array
        In nats, of any float type; minus infinity is raised to `FLOOR`.
    temperature : float
        T > 0; above 1 it makes predictions less certain.

    Returns
    -------
    (n, classes) float64 array

    Raises
    ------
    DataError
        A value is NaN or plus infinity.
    """
    logp = np.asarray(log_probabilities, dtype=np.float64)
    if np.isnan(logp).any() or np.isposinf(logp).any():
        raise DataError("a method predicted NaN: its features or its head overflowed; try --dtype float32")
    return np.asarray(log_softmax(np.maximum(logp, FLOOR) / temperature, axis=1))


def correct(logp: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Tell for each row whether its most probable class is its label, (n,) bool."""
    return np.asarray(logp.argmax(axis=1) == labels)


def losses(logp: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return minus the log-probability of each row's label, (n,) float64, in nats."""
    return np.asarray(-logp[np.arange(len(labels)), labels])


def accuracy(logp: np.ndarray, labels: np.ndarray) -> float:
    """Share of the rows whose most probable class is the label."""
    return float(correct(logp, labels).mean())


def balanced_accuracy(logp: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the classes of the share of their rows that are right."""
    counts = np.bincount(labels)
    hits = np.bincount(labels, weights=correct(logp, labels))
    return float((hits[counts > 0] / counts[counts > 0]).mean())


def log_loss(logp: np.ndarray, labels: np.ndarray) -> float:
    """Mean of minus the log-probability of the label, in nats."""
    return float(losses(logp, labels).mean())


def auroc(logp: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve: of class 1 with two classes, else the mean of each class against the rest.

    Ties count half, those that rounding has pulled apart among them (a neighbour's votes are the same in many rows).

    Returns
    -------
    float
        NaN where no class has both rows of its own and rows of others.

    Notes
    -----
    The area is the Mann-Whitney statistic of the class's rows and the others, divided by the number of pairs (Hanley &
    McNeil 1982, Radiology 143, 29-36). `sklearn.metrics.roc_auc_score` gives the same numbers to the last bit, one
    column after the other: with 10,000 rows and 100 classes in 1.1 s instead of 0.7 s, but with 200 rows and 10 classes
    in 25 ms instead of 0.27 ms, and a sweep that chooses by this metric asks for thousands of folds of that size.
    """
    levels, own = one_against_rest(logp, labels)
    positives = own.sum(axis=0)
    defined = (positives > 0) & (positives < len(labels))
    if not defined.any():
        return float("nan")
    # The ranks of the positives, less what they would sum to if they all came first.
    ranks = rankdata(levels, axis=0)
    p, q = positives[defined], (len(labels) - positives)[defined]
    return float((((ranks * own).sum(axis=0)[defined] - p * (p + 1) / 2) / (p * q)).mean())


def one_against_rest(logp: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each class, or the second of two, how probable it makes every row, and whether the row is its own.

    Returns
    -------
    levels : (n, k) int64 array
        In the order of the probabilities; those that differ by rounding alone are level.
    own : (n, k) bool array
    """
    scores = logp[:, 1:] - logp[:, :1] if logp.shape[1] == 2 else logp
    return _levels(scores), labels[:, None] == np.arange(logp.shape[1])[None, -scores.shape[1] :]


def _levels(scores: np.ndarray) -> np.ndarray:
    """Integers in the order of each column of scores (n, k), the same for those that differ by rounding alone.

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
"""Name to the function of log-probabilities (n, classes) and labels (n,): what `--metric` offers."""
LESS_IS_BETTER = frozenset({"log_loss"})

options.require_same_names("metric", options.METRICS, METRICS, "METRICS of probe/metrics/classification.py")
