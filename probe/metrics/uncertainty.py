"""How far a number can be trusted: standard errors over folds, bootstrap intervals, and tests between two methods."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

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
        """Of the values that are defined (an area under the curve may not be in a fold)."""
        there = np.asarray(values, dtype=np.float64)
        there = there[~np.isnan(there)]
        k = len(there)
        mean = float(there.mean()) if k else float("nan")
        return cls(mean, float(there.std(ddof=1) / np.sqrt(k)) if k > 1 else float("nan"))


@dataclass(frozen=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float

    @classmethod
    def of(cls, draws: np.ndarray) -> "Interval":
        """The percentile interval of bootstrap draws (b,)."""
        tail = (1 - LEVEL) / 2
        return cls(*(float(q) for q in np.quantile(draws, (tail, 1 - tail))))


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test of two methods on the same rows.

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
        """From (n,) bool, whether each method is right. Exact for any number of rows: no approximation is needed."""
        a_only, b_only = int((a & ~b).sum()), int((b & ~a).sum())
        discordant = a_only + b_only
        return cls(a_only, b_only, float(binomtest(a_only, discordant).pvalue) if discordant else 1.0)


def bootstrap_means(values: np.ndarray, seed: int, draws: int = DRAWS) -> np.ndarray:
    """Means over resampled rows (with replacement); every column sees the same resamples, so they can be paired.

    Parameters
    ----------
    values : (n, k) array
        A row for each test image.

    Returns
    -------
    (draws, k) float64 array
    """
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    return np.concatenate([counts @ values / n for counts in _resamples(n, seed, draws)])


def _resamples(n: int, seed: int, draws: int) -> Iterator[np.ndarray]:
    """How often each of n rows is drawn, (b, n) for b resamples at a time."""
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // n)
    for start in range(0, draws, step):
        b = min(step, draws - start)
        drawn = rng.integers(n, size=(b, n)) + n * np.arange(b)[:, None]
        yield np.bincount(drawn.ravel(), minlength=b * n).reshape(b, n).astype(np.float64)


def mean_interval(values: np.ndarray, seed: int) -> Interval:
    """Bootstrap interval of the mean of (n,) values."""
    return Interval.of(bootstrap_means(values[:, None], seed)[:, 0])


def accuracy_interval(right: np.ndarray, seed: int) -> Interval:
    """Bootstrap interval of an accuracy, from (n,) bool.

    Where all rows are right (or none is), resampling can't see that the next might be different: there it is the exact
    binomial interval of Clopper and Pearson.
    """
    if 0 < right.sum() < len(right):
        return mean_interval(right, seed)
    exact = binomtest(int(right.sum()), len(right)).proportion_ci(LEVEL, method="exact")
    return Interval(float(exact.low), float(exact.high))


def balanced_accuracy_interval(right: np.ndarray, labels: np.ndarray, seed: int) -> Interval:
    """Bootstrap interval of the mean over classes of their accuracy; classes a resample lacks are left out."""
    own = (labels[:, None] == np.unique(labels)[None, :]).astype(np.float64)
    means = bootstrap_means(np.hstack([own, own * right[:, None]]), seed)
    share, hits = np.hsplit(means, 2)
    return Interval.of(np.nanmean(np.where(share > 0, hits / np.where(share > 0, share, 1), np.nan), axis=1))


def paired_difference(a: np.ndarray, b: np.ndarray, seed: int) -> Interval:
    """Bootstrap interval of mean(a) - mean(b) over the same (n,) rows; where it holds 0, they are level."""
    return mean_interval(np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64), seed)
