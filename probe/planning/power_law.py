"""A power law through a learning curve, what it says of more labels, and how sure that is.

With many labels errors fall as a power of their number, toward what no number of labels mends (Cortes, Jackel, Solla,
Vapnik & Denker, NIPS 1993; Hestness et al. 2017). With few labels they can't: an error is 1 at most, and a curve that
has not left its beginning yet rises the faster, the more labels there are. So the power law is that of the odds,
accuracy / (limit - accuracy) = (n / n₀)^c, the curve of Morgan, Mercer & Flodin (1975) without an offset: where n is
large, what is missing is a power of n again. It is among the curves that Mohr, Viering, Loog & van Rijn compare (LCDB,
2022).

A few noisy points do not fix three numbers: a weak prior holds the limit near 1, and points count the more, the more
labels they are about, for the law is one of many labels. The form was chosen by leaving out the last sizes of curves of
500 labels at most (docs/results.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from head2toe.probe.metrics.uncertainty import LEVEL, Interval
from scipy.optimize import least_squares

LIMIT, LIMIT_SPREAD = 1.0, 0.1
"""The prior of the limit, a normal one."""
LEAST_LIMIT, FARTHEST = 0.01, 10.0
"""The least limit, and the largest logarithm of the odds in the middle of the points."""
LEAST_EXPONENT, LARGEST_EXPONENT = 0.05, 3.0
START = 0.5
DRAWS = 200
LEAST_ERROR = 0.002
"""What a standard error counts as at least: folds can agree by chance."""


@dataclass(frozen=True)
class PowerLaw:
    """limit / (1 + (n / half)^-exponent).

    Attributes
    ----------
    limit : float
        The accuracy with labels without end.
    half : float
        The number of labels that bring half of it.
    exponent : float
        Of the odds at small n, and of what is missing to the limit at large n.
    """

    limit: float
    half: float
    exponent: float

    def __call__(self, n: "float | np.ndarray") -> "float | np.ndarray":
        """The accuracy at n labels."""
        return self.limit / (1 + (np.asarray(n) / self.half) ** -self.exponent)


def fit(sizes: Sequence[int], accuracies: Sequence[float], errors: Sequence[float]) -> PowerLaw:
    """Fit a power law by weighted least squares, within bounds.

    Parameters
    ----------
    sizes : sequence of int
        Numbers of labels, three or more.
    accuracies : sequence of float
        From 0 to 1.
    errors : sequence of float
        Their standard errors; see `steadied`.
    """
    n, y = np.asarray(sizes, float), np.asarray(accuracies, float)
    weight = n / n.max() / steadied(errors)
    middle = float(np.exp(np.log(n).mean()))
    distance = np.log(n / middle)

    def residuals(theta: np.ndarray) -> np.ndarray:
        limit, odds, exponent = theta
        predicted = limit / (1 + np.exp(-(odds + exponent * distance)))
        return np.append((predicted - y) * weight, (limit - LIMIT) / LIMIT_SPREAD)

    share = np.clip(y.mean(), 0.01, 0.99)
    start = [LIMIT, np.log(share / (1 - share)), START]
    bounds = ([LEAST_LIMIT, -FARTHEST, LEAST_EXPONENT], [LIMIT, FARTHEST, LARGEST_EXPONENT])
    limit, odds, exponent = least_squares(residuals, start, bounds=bounds).x.tolist()
    return PowerLaw(limit, middle * float(np.exp(-odds / exponent)), exponent)


def steadied(errors: Sequence[float]) -> np.ndarray:
    """Return standard errors half way to their mean, in squares: that of five folds is itself off by a third."""
    squares = np.maximum(np.asarray(errors, float), LEAST_ERROR) ** 2
    return np.asarray(np.sqrt((squares + squares.mean()) / 2))


def drawn_laws(
    sizes: Sequence[int], accuracies: Sequence[float], errors: Sequence[float], seed: int = 0
) -> list[PowerLaw]:
    """Fit laws through points drawn by their errors; parameters are those of `fit`, and `seed` draws."""
    rng = np.random.default_rng(seed)
    shown = steadied(errors)
    return [fit(sizes, np.clip(rng.normal(accuracies, shown), 0, 1).tolist(), errors) for _ in range(DRAWS)]


def interval_at(n: int, laws: Sequence[PowerLaw]) -> Interval:
    """Return where 95 % of some laws are at n labels: of `drawn_laws`, of sampling alone, for the law is assumed."""
    low, high = np.quantile([float(law(n)) for law in laws], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
