"""Whether training and test images are drawn alike: a two-sample test by nearest neighbours.

Of images that are drawn alike, the nearest neighbour of one is as often on its own side as chance has it (Schilling,
JASA 81, 1986; Henze, Annals of Statistics 16, 1988). Chance deals the sides out again within each class, so that other
shares of the classes in the test do not count.
"""

from dataclasses import dataclass

import numpy as np

FEWEST, MOST = 50, 2000
"""Rows of either side without which nothing is said, and of both that are looked at: every so many-th."""
DRAWS = 200
EXCESS, SIGMAS = 0.1, 5.0
"""By how much more than expected, and by how many standard deviations, sides are told apart before it is said."""
_LEAST_SCALE = 1e-6


@dataclass(frozen=True)
class Sides:
    """How often the nearest neighbour of an image is on its own side.

    Attributes
    ----------
    share : float
        Of all images.
    expected, spread : float
        The mean and the standard deviation of that share, were the sides dealt out by chance within each class.
    """

    share: float
    expected: float
    spread: float

    @property
    def note(self) -> str:
        """What a user should know of it; empty where there is nothing to say."""
        excess = self.share - self.expected
        if excess < EXCESS or excess < SIGMAS * self.spread:
            return ""
        return (
            f"training and test images aren't drawn alike: {self.share:.0%} have their nearest neighbour on their own "
            f"side, and {self.expected:.0%} are expected: what the folds and prediction sets promise may not hold for "
            "the test"
        )


def sides(features: np.ndarray, labels: np.ndarray, n_train: int, seed: int = 0) -> Sides | None:
    """Compare training and test images; None where there are too few of either.

    Parameters
    ----------
    features : (n, d) float array
        Training rows first; they are standardised here.
    labels : (n,) int array
    n_train : int
    seed : int
        Deals the sides out.
    """
    n = len(labels)
    rows = np.unique(np.linspace(0, n - 1, min(n, MOST)).astype(int))
    side, given = rows >= n_train, labels[rows]
    if min(side.sum(), (~side).sum()) < FEWEST:
        return None
    X = features[rows].astype(np.float32)
    X = (X - X.mean(axis=0)) / np.maximum(X.std(axis=0), _LEAST_SCALE)
    X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), _LEAST_SCALE)
    cosines = X @ X.T
    np.fill_diagonal(cosines, -np.inf)
    nearest = cosines.argmax(axis=1)
    rng = np.random.default_rng(seed)
    of_class = [np.flatnonzero(given == label) for label in np.unique(given)]
    dealt = np.empty((DRAWS, len(rows)), bool)
    for draw in dealt:
        for own in of_class:
            draw[own] = side[rng.permutation(own)]
    by_chance = (dealt == dealt[:, nearest]).mean(axis=1)
    return Sides(float((side == side[nearest]).mean()), float(by_chance.mean()), float(by_chance.std()))
