"""Images unlike all others: by their distance to the nearest ones in principal directions of the last layer."""

from collections.abc import Sequence

import numpy as np
from head2toe.probe.audit.findings import Finding
from head2toe.probe.methods.novelty import DIRECTIONS, FEWEST, NEIGHBOURS, Directions, nearest_distance

FENCE = 3.0
"""How many interquartile ranges beyond the upper quartile a log-distance is far out (Tukey 1977)."""
COPY = 1e-4
"""The distance up to which the nearest images are copies of an image, as a share of the usual length of an image."""
LEAST_RANGE = 0.01
"""What the range between the quartiles counts as at least."""


def outliers(features: np.ndarray, names: Sequence[str], labels: Sequence[str], n_train: int) -> list[Finding]:
    """Find images whose distance to the nearest training images is far out of the usual.

    Parameters
    ----------
    features : (n, d) array
        Of the last layer, training rows first.
    names, labels : sequence of str
        Of all n rows.
    n_train : int
    """
    if n_train < FEWEST + NEIGHBOURS:
        return []
    directions = Directions.of(features[:n_train], DIRECTIONS)
    if directions.axes.shape[1] == 0:
        return []
    rows = directions(features)
    # Of a training image, the nearest is itself: it is left out of the mean.
    own = nearest_distance(rows[:n_train], rows[:n_train], NEIGHBOURS + 1) * (NEIGHBOURS + 1) / NEIGHBOURS
    other = nearest_distance(rows[n_train:], rows[:n_train], NEIGHBOURS) if len(rows) > n_train else np.empty(0)
    least = COPY * float(np.linalg.norm(rows[:n_train])) / n_train**0.5
    usual = np.log(own[own > least])  # an image among copies of itself says nothing of how far images are apart
    if len(usual) < FEWEST:
        return []
    low, high = np.quantile(usual, [0.25, 0.75])
    away = (np.log(np.maximum(np.concatenate([own, other]), least)) - high) / max(high - low, LEAST_RANGE)
    return [
        Finding(
            kind="outlier",
            images=(names[row],),
            split="train" if row < n_train else "test",
            labels=(labels[row],),
            suggestion=None,
            score=round(float(1 - 1 / (1 + away[row])), 4),
            action="look",
        )
        for row in np.flatnonzero(away > FENCE).tolist()
    ]
