"""How well probabilities agree with frequencies: reliability, calibration error, temperature."""

import numpy as np
from head2toe.probe.metrics.classification import correct, log_loss, normalized
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

CALIBRATION_BINS = 15
SPREAD = 1.0
"""Of 1 / T around 1: a weak prior, which n rows outweigh."""


def reliability(logp: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group rows by their top probability, in the bins (i / 15, (i + 1) / 15].

    Parameters
    ----------
    logp : (n, classes) array
        Normalised log-probabilities.
    labels : (n,) int array

    Returns
    -------
    counts : (bins,) int array
    confidence, accuracy : (bins,) float64 arrays
        Mean top probability and share of right rows; NaN in an empty bin.
    """
    top = np.exp(logp.max(axis=1))
    bins = np.clip(np.ceil(top * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)
    counts = np.bincount(bins, minlength=CALIBRATION_BINS)
    divisors = np.where(counts > 0, counts, np.nan)
    confidence = np.bincount(bins, weights=top, minlength=CALIBRATION_BINS) / divisors
    accuracy = np.bincount(bins, weights=correct(logp, labels), minlength=CALIBRATION_BINS) / divisors
    return counts, confidence, accuracy


def ece(logp: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error: mean over the rows of |accuracy - confidence| of their bin.

    Guo, Pleiss, Sun & Weinberger (ICML 2017), eq. 3; arguments as of `reliability`.
    """
    counts, confidence, accuracy = reliability(logp, labels)
    return float(np.nansum(counts * np.abs(accuracy - confidence)) / counts.sum())


def true_class_probabilities(logp: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the probabilities of the true classes, ascending; rows of NaN, which nobody predicted, are left out.

    They are what conformal prediction sets are made by, with the score of Sadinle, Lei & Wasserman (2019).

    Parameters
    ----------
    logp : (n, classes) array
        Normalised log-probabilities of rows that did not train the head.
    labels : (n,) int array
    """
    known = np.flatnonzero(~np.isnan(logp).any(axis=1))
    return np.sort(np.exp(np.minimum(logp[known, labels[known]], 0.0, dtype=np.float64)))


def fit_temperature(
    logp: np.ndarray, labels: np.ndarray, bounds: tuple[float, float] = (0.05, 20.0), spread: float | None = None
) -> float:
    """Find the T within `bounds` at which softmax(log p / T) has the least log-loss (Guo et al. 2017, section 4.2).

    What is minimised is convex in 1 / T, so that its one minimum is found. That all rows are right does not make
    certain: see `spread`.

    Parameters
    ----------
    logp : (n, classes) array
        Log-probabilities of rows that did not train the head: on others, T only undoes what training did.
    labels : (n,) int array
    bounds : tuple of float
    spread : float, optional
        The standard deviation of 1 / T, normal around 1, for probabilities that may be right as they are. Without one,
        for scores on any scale, a share of 1 / (n + 2) of each label is any class, as if more rows had been seen than
        n (Platt 1999, section 2.2).

    Raises
    ------
    DataError
        A log-probability is NaN or plus infinity.
    """
    n = len(labels)
    others = 1 / (n + 2)

    def objective(log_t: float) -> float:
        scaled = normalized(logp, float(np.exp(log_t)))
        if spread is not None:
            return log_loss(scaled, labels) + ((float(np.exp(-log_t)) - 1) / spread) ** 2 / (2 * n)
        return (1 - others) * log_loss(scaled, labels) - others * float(scaled.mean())

    limits = np.log(bounds[0]), np.log(bounds[1])
    optimum = minimize_scalar(objective, bounds=limits, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(optimum.x))


def temperature_of(logp: np.ndarray, labels: np.ndarray) -> float:
    """Fit the temperature at which predictions (n, classes) have the least log-loss; 1 where all of them are NaN."""
    known = ~np.isnan(logp).any(axis=1)
    return fit_temperature(normalized(logp[known]), labels[known], spread=SPREAD) if known.any() else 1.0


def at_temperature(logp: np.ndarray, temperature: float) -> np.ndarray:
    """Normalised log-probabilities (n, classes) at a temperature, float32; rows of NaN, of no prediction, stay."""
    return np.asarray(log_softmax(np.asarray(logp, np.float64) / temperature, axis=1), np.float32)
