"""What a choice by the folds is worth, without the favour that choosing does it.

Of many heads the one that suits the held-out rows best is chosen, so that it looks better on them than it is. Bootstrap
bias-corrected cross-validation (Tsamardinos, Greasidou & Borboudakis 2018, Machine Learning 107, 1895-1922) trains
nothing again: it draws the held-out rows with replacement, makes the choice on those drawn by the same rule, and judges
it on those that were not drawn.
"""

from collections.abc import Mapping

import numpy as np
from head2toe.probe.choice.trials import Library
from head2toe.probe.metrics.classification import METRICS, correct, losses, normalized
from head2toe.probe.metrics.uncertainty import (
    LEVEL,
    Estimate,
    Interval,
    accuracy_interval,
    balanced_accuracy_interval,
    mean_interval,
)


def bootstrap(n: int, seed: int, draws: int) -> np.ndarray:
    """Draw n of n rows with replacement, again and again.

    Parameters
    ----------
    n : int
    seed : int
    draws : int
        How often.

    Returns
    -------
    (draws, n) int64 array
        How often each row was drawn.
    """
    return np.random.default_rng([seed, n]).multinomial(n, np.full(n, 1 / n), size=draws)


def by_draw(library: Library, weights: np.ndarray, draws: np.ndarray) -> Mapping[str, Estimate]:
    """Judge the choice of every draw on the rows that it left out: the mean of these judgements and their spread.

    Parameters
    ----------
    library : Library
        Everything that was tried.
    weights : (draws, heads) array
        What was chosen on each draw.
    draws : (draws, n) int array

    Returns
    -------
    dict
        Each of `METRICS` to its corrected value, and the percentile interval of the draws. That is wide, for a draw
        leaves out a third of the rows. A metric that no draw defines is not there (the area under a curve, of one
        class; any at all, where a single row was held out).
    """
    values: dict[str, list[float]] = {name: [] for name in METRICS}
    for draw, weight in zip(draws, weights, strict=True):
        if (draw == 0).any():
            logp = normalized(_mean(library, weight, draw == 0))
            for name, metric in METRICS.items():
                values[name].append(metric(logp, library.labels[draw == 0]))
    corrected = {}
    for name, drawn in values.items():
        defined = [value for value in drawn if np.isfinite(value)]
        if defined:
            low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
            corrected[name] = Estimate(float(np.mean(defined)), Interval(float(low), float(high)))
    return corrected


def left_out(library: Library, weights: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Predict every row by the mean of the choices that it had no part in: out of the bag (Breiman 1996).

    Parameters as of `by_draw`.

    Returns
    -------
    (n, classes) float64 array
        Log-probabilities in nats; NaN for a row that every draw holds.
    """
    total, times = np.zeros(library.log_probabilities.shape[1:]), np.zeros(len(library.labels))
    for draw, weight in zip(draws, weights, strict=True):
        total[draw == 0] += _mean(library, weight, draw == 0)
        times += draw == 0
    logp, predicted = np.full(total.shape, np.nan), times > 0
    logp[predicted] = normalized(total[predicted] / times[predicted, None])
    return logp


def by_row(library: Library, logp: np.ndarray, seed: int) -> Mapping[str, Estimate]:
    """Judge a mean of choices by what those predict that a row had no part in.

    Parameters
    ----------
    library : Library
        Everything that was tried.
    logp : (n, classes) array
        Of `left_out`.
    seed : int
        Draws the intervals.

    Returns
    -------
    dict
        Each of `METRICS` that is defined to its corrected value, and its bootstrap interval over the rows (the area
        under the curve has none). It is empty where no row was left out of a draw, of a single row that was held out.
    """
    judged = ~np.isnan(logp).any(axis=1)
    if not judged.any():
        return {}
    logp, labels = logp[judged], library.labels[judged]
    right = correct(logp, labels)
    intervals = {
        "accuracy": accuracy_interval(right, seed),
        "balanced_accuracy": balanced_accuracy_interval(right, labels, seed),
        "log_loss": mean_interval(losses(logp, labels), seed),
    }
    values = {name: float(metric(logp, labels)) for name, metric in METRICS.items()}
    return {name: Estimate(value, intervals.get(name)) for name, value in values.items() if np.isfinite(value)}


def _mean(library: Library, weight: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The weighted mean (rows, classes) of what heads predict of some rows (n,) bool."""
    chosen = np.flatnonzero(weight)
    return np.tensordot(weight[chosen], library.log_probabilities[chosen][:, rows], axes=1)
