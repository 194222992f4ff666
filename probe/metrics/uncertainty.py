"""How far a number can be trusted: standard errors over folds, bootstrap intervals, and a test between two methods.

Bootstrap intervals are percentile intervals (Efron & Tibshirani 1993, chapter 13) of 2000 resamples of the rows, by
`scipy.stats.bootstrap`. The same seed draws the same resamples of the same number of rows, whatever the statistic.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest, bootstrap

DRAWS = 2000
LEVEL = 0.95
_CHUNK = 1 << 22  # resampled rows at a time


@dataclass(frozen=True)
class Mean:
    """A mean over folds and its standard error; NaN where there are too few numbers for one."""

    mean: float
    stderr: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Mean":
        """Average the values that are not NaN (an area under the curve may not be defined in a fold)."""
        defined = np.asarray(values, dtype=np.float64)
        defined = defined[~np.isnan(defined)]
        k = len(defined)
        mean = float(defined.mean()) if k else float("nan")
        return cls(mean, float(defined.std(ddof=1) / np.sqrt(k)) if k > 1 else float("nan"))


@dataclass(frozen=True)
class Interval:
    """A 95 % interval, in the units of the statistic."""

    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """A figure and its interval, which is None where nobody computed one."""

    value: float
    interval: Interval | None


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test of two methods on the same rows (McNemar 1947, Psychometrika 12, 153-157).

    Attributes
    ----------
    a_only, b_only : int
        Rows that only the one and only the other gets right; all others say nothing.
    p : float
        Two-sided: how often a fair coin splits the discordant rows as unevenly.
    """

    a_only: int
    b_only: int
    p: float

    @classmethod
    def of(cls, a: np.ndarray, b: np.ndarray) -> "McNemar":
        """Test two methods, given whether each is right in each row, (n,) bool. It is exact for any number of rows."""
        a_only, b_only = int((a & ~b).sum()), int((b & ~a).sum())
        discordant = a_only + b_only
        return cls(a_only, b_only, float(binomtest(a_only, discordant).pvalue) if discordant else 1.0)


def mean_interval(values: np.ndarray, seed: int) -> Interval:
    """Bootstrap interval of the mean of (n,) values."""
    return _bootstrap(np.mean, seed, np.asarray(values, dtype=np.float64))


def accuracy_interval(right: np.ndarray, seed: int) -> Interval:
    """Bootstrap interval of an accuracy, given whether each row is right, (n,) bool.

    Where all rows are right (or none is), resampling can't see that the next might be different: there it is the exact
    binomial interval of Clopper and Pearson (1934, Biometrika 26, 404-413).
    """
    if 0 < right.sum() < len(right):
        return mean_interval(right, seed)
    exact = binomtest(int(right.sum()), len(right)).proportion_ci(LEVEL, method="exact")
    return Interval(float(exact.low), float(exact.high))


def balanced_accuracy_interval(right: np.ndarray, labels: np.ndarray, seed: int) -> Interval:
    """Bootstrap interval of the mean over classes of their accuracy; classes that a resample lacks are left out of it.

    Parameters
    ----------
    right : (n,) bool array
        Whether each row is right.
    labels : (n,) int array
    """
    n_classes = int(labels.max()) + 1

    def statistic(right: np.ndarray, labels: np.ndarray, axis: int) -> np.ndarray:  # noqa: ARG001 (always the last)
        resamples = right.reshape(-1, right.shape[-1])
        cells = labels.reshape(resamples.shape) + n_classes * np.arange(len(resamples))[:, None]
        shape = (len(resamples), n_classes)
        counts = np.bincount(cells.ravel(), minlength=shape[0] * shape[1]).reshape(shape)
        hits = np.bincount(cells.ravel(), weights=resamples.ravel(), minlength=shape[0] * shape[1]).reshape(shape)
        accuracies = np.where(counts > 0, hits / np.where(counts > 0, counts, 1), np.nan)
        return np.asarray(np.nanmean(accuracies, axis=1).reshape(right.shape[:-1]))

    return _bootstrap(statistic, seed, right, labels)


def paired_difference(a: np.ndarray, b: np.ndarray, seed: int) -> Interval:
    """Bootstrap interval of mean(a) - mean(b) over the same (n,) rows; where it holds 0, the two are level."""
    return mean_interval(np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64), seed)


def _bootstrap(statistic: Callable[..., Any], seed: int, *samples: np.ndarray) -> Interval:
    """Percentile interval of a statistic of (n,) samples, whose rows are resampled together."""
    n = len(samples[0])
    if n == 1:  # every resample is that row; SciPy asks for two
        value = float(statistic(*samples, axis=-1))
        return Interval(value, value)
    ends = bootstrap(
        samples,
        statistic,
        paired=len(samples) > 1,
        n_resamples=DRAWS,
        batch=max(1, _CHUNK // n),
        vectorized=True,
        confidence_level=LEVEL,
        method="percentile",
        random_state=np.random.default_rng(seed),  # SciPy 1.14's name; 1.15 and later take it, too
    ).confidence_interval
    return Interval(float(ends.low), float(ends.high))
