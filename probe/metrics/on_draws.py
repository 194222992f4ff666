"""Metrics of rows that count as often as a bootstrap drew them, for all draws together.

Each draw gives what the metric of `classification` gives of its rows, but for rounding.
"""

from collections.abc import Callable

import numpy as np
from head2toe.probe.metrics.classification import METRICS, correct, losses, one_against_rest


def on_draws(metric: str, logp: np.ndarray, labels: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Judge predictions on every draw.

    Parameters
    ----------
    metric : str
        One of `classification.METRICS`.
    logp : (n, classes) array
        Log-probabilities in nats.
    labels : (n,) int array
    draws : (draws, n) int array
        How often each row counts, some row in each draw.

    Returns
    -------
    (draws,) float64 array
        NaN where the metric is not defined.
    """
    if metric in TOGETHER:
        return TOGETHER[metric](logp, labels, draws.astype(np.float64))
    rows_of_draws = (np.repeat(np.arange(len(labels)), draw) for draw in draws)
    return np.array([METRICS[metric](logp[rows], labels[rows]) for rows in rows_of_draws])


def _accuracy(logp: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.asarray(counts @ correct(logp, labels) / counts.sum(axis=1))


def _log_loss(logp: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.asarray(counts @ losses(logp, labels) / counts.sum(axis=1))


def _balanced_accuracy(logp: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    own = np.asarray(labels[:, None] == np.unique(labels), np.float64)
    right, rows = (counts * correct(logp, labels)) @ own, counts @ own
    drawn = rows > 0  # a class without a row of the draw is left out
    shares = np.divide(right, rows, out=np.zeros_like(right), where=drawn)
    return np.asarray(shares.sum(axis=1) / drawn.sum(axis=1))


def _auroc(logp: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The mean over classes of the Mann-Whitney statistic, of rows (draws, n) that count so often."""
    levels, own = one_against_rest(logp, labels)
    total, defined = np.zeros(len(counts)), np.zeros(len(counts))
    for level, positive in zip(levels.T, own.T, strict=True):
        order = np.argsort(level, kind="stable")
        starts = np.flatnonzero(np.diff(level[order], prepend=level.min() - 1))
        drawn = counts[:, order]
        positives = np.add.reduceat(drawn * positive[order], starts, axis=1)  # of each level
        negatives = np.add.reduceat(drawn, starts, axis=1) - positives
        below = negatives.cumsum(axis=1) - negatives / 2  # ties count half
        pairs = positives.sum(axis=1) * negatives.sum(axis=1)
        total += np.divide((positives * below).sum(axis=1), pairs, out=np.zeros(len(counts)), where=pairs > 0)
        defined += pairs > 0
    return np.asarray(np.divide(total, defined, out=np.full(len(counts), np.nan), where=defined > 0))


TOGETHER: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "log_loss": _log_loss,
    "auroc": _auroc,
}
"""What judges all draws together, by log-probabilities, labels and counts; any other metric is asked draw by draw."""
