"""Images unlike all others: by their distance to the nearest ones in principal directions of the last layer."""

from collections.abc import Sequence

import numpy as np
from head2toe.probe.audit.findings import Finding
from head2toe.probe.heads.novelty import DIRECTIONS, FEWEST, NEIGHBOURS, Directions, nearest_distance

FENCE = 3.0
"""How many interquartile ranges beyond the upper quartile a log-distance is far out (Tukey 1977)."""


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
    logs = np.log(np.maximum(np.concatenate([own, other]), np.finfo(np.float64).tiny))
    low, high = np.quantile(logs[:n_train], [0.25, 0.75])
    away = (logs - high) / max(high - low, np.finfo(np.float64).tiny)
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
