"""A power law through a learning curve: accuracy(n) = a - b n^-c, what it says of more labels, and how sure that is.

Errors fall with the number of labels as a power of it, toward what no number of labels mends (Cortes, Jackel, Solla,
Vapnik & Denker, NIPS 1993; Hestness et al. 2017). A few noisy points do not fix three numbers: two weak priors hold the
exponent near one half and the limit near 1, and points count the more, the more labels they are about: the law is one
of many labels. The priors were chosen on seven tasks (docs/results.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from head2toe.probe.metrics.uncertainty import LEVEL, Interval
from scipy.optimize import least_squares

EXPONENT, SPREAD = 0.5, 0.25
LIMIT, LIMIT_SPREAD = 1.0, 0.1
"""The priors of c and a, normal ones."""
LEAST_EXPONENT, LARGEST_EXPONENT = 0.05, 2.0
DRAWS = 200
LEAST_ERROR = 0.002
"""What a standard error counts as at least: folds can agree by chance."""


@dataclass(frozen=True)
class PowerLaw:
    """a - b (n / n₀)^-c.

    Attributes
    ----------
    limit : float
        a, the accuracy with labels without end.
    gap : float
        b, how far from it the accuracy is at n₀ labels.
    exponent : float
        c.
    reference : float
        n₀, the geometric mean of the sizes.
    """

    limit: float
    gap: float
    exponent: float
    reference: float

    def __call__(self, n: "float | np.ndarray") -> "float | np.ndarray":
        """The accuracy at n labels."""
        return self.limit - self.gap * (np.asarray(n) / self.reference) ** -self.exponent


def fit(sizes: Sequence[int], accuracies: Sequence[float], errors: Sequence[float]) -> PowerLaw:
    """Fit a power law by weighted least squares, within bounds.

    Parameters
    ----------
    sizes : sequence of int
        Numbers of labels, three or more.
    accuracies : sequence of float
        From 0 to 1.
    errors : sequence of float
        Their standard errors.
    """
    n, y = np.asarray(sizes, float), np.asarray(accuracies, float)
    weight = n / n.max() / np.maximum(np.asarray(errors, float), LEAST_ERROR)
    reference = float(np.exp(np.log(n).mean()))

    def residuals(theta: np.ndarray) -> np.ndarray:
        limit, gap, exponent = theta
        predicted = limit - gap * (n / reference) ** -exponent
        priors = [(exponent - EXPONENT) / SPREAD, (limit - LIMIT) / LIMIT_SPREAD]
        return np.concatenate([(predicted - y) * weight, priors])

    start = [min(max(y[-1] + 0.05, 0.01), 0.999), max(y[-1] + 0.05 - y.mean(), 0.01), EXPONENT]
    bounds = ([0.0, 0.0, LEAST_EXPONENT], [1.0, 2.0, LARGEST_EXPONENT])
    found = least_squares(residuals, np.clip(start, *bounds), bounds=bounds)
    limit, gap, exponent = found.x.tolist()
    return PowerLaw(limit, gap, exponent, reference)


def drawn_laws(
    sizes: Sequence[int], accuracies: Sequence[float], errors: Sequence[float], seed: int = 0
) -> list[PowerLaw]:
    """Fit laws through points drawn by their errors; parameters are those of `fit`, and `seed` draws."""
    rng = np.random.default_rng(seed)
    shown = np.maximum(np.asarray(errors, float), LEAST_ERROR)
    return [fit(sizes, np.clip(rng.normal(accuracies, shown), 0, 1).tolist(), errors) for _ in range(DRAWS)]


def interval_at(n: int, laws: Sequence[PowerLaw]) -> Interval:
    """Return where 95 % of some laws are at n labels: of `drawn_laws`, of sampling alone, for the law is assumed."""
    low, high = np.quantile([float(law(n)) for law in laws], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
