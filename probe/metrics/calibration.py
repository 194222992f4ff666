"""How well probabilities agree with frequencies: reliability, calibration error, temperature."""

import numpy as np
from head2toe.probe.metrics.classification import correct, log_loss, normalized
from scipy.optimize import minimize_scalar

CALIBRATION_BINS = 15


def reliability(logp: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows by their top probability, in bins ((i / 15, (i + 1) / 15]).

    Returns
    -------
    counts : (bins,) int array
    confidence, accuracy : (bins,) float arrays
        Mean top probability and share of right rows; NaN in an empty bin.
    """
    top = np.exp(logp.max(axis=1))
    bins = np.clip(np.ceil(top * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)
    counts = np.bincount(bins, minlength=CALIBRATION_BINS)
    alive = np.where(counts > 0, counts, np.nan)
    confidence = np.bincount(bins, weights=top, minlength=CALIBRATION_BINS) / alive
    right = np.bincount(bins, weights=correct(logp, labels), minlength=CALIBRATION_BINS) / alive
    return counts, confidence, right


def ece(logp: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error (Guo et al. 2017): mean over the rows of their bin's |accuracy - confidence|."""
    counts, confidence, right = reliability(logp, labels)
    return float(np.nansum(counts * np.abs(right - confidence)) / counts.sum())


def fit_temperature(logp: np.ndarray, labels: np.ndarray, bounds: tuple[float, float] = (0.05, 20.0)) -> float:
    """The T within `bounds` at which softmax(log p / T) has the least log-loss (Guo et al. 2017).

    The loss is convex in 1 / T, so that its one minimum is found. Rows must be out-of-fold: on rows that trained the
    head, T only undoes what training did.
    """
    found = minimize_scalar(
        lambda log_t: log_loss(normalized(logp, float(np.exp(log_t))), labels),
        bounds=(np.log(bounds[0]), np.log(bounds[1])),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))
