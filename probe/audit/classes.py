"""Classes that nothing tells apart, images of two classes, and images that fit none.

The first two by predictions of held-out rows, the last by their distance to the nearest images in principal directions
of the last layer.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from head2toe.probe.audit.findings import Finding
from head2toe.probe.methods.novelty import DIRECTIONS, FEWEST, NEIGHBOURS, Directions, nearest_distance
from scipy.stats import mannwhitneyu

FEWEST_OF_CLASS = 10
"""Rows that each of two classes must have to be compared."""
MOST_AREA = 0.65
"""The area under the ROC curve of one against the other from which on they are two."""
BOUND = 1.645
"""How many standard errors the area must be below that: 95 % of a normal distribution."""
SECOND = 0.4
"""The least probability of the second class of an image that shows two."""
BOTH = 0.95
"""What both classes' probabilities must sum to."""
FENCE = 3.0
"""How many interquartile ranges beyond the upper quartile a log-distance is far out (Tukey 1977)."""
COPY = 1e-4
"""The distance up to which the nearest images are copies of an image, as a share of the usual length of an image."""
LEAST_RANGE = 0.01
"""What the range between the quartiles counts as at least."""


def alike_classes(probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> list[Finding]:
    """Find pairs of classes whose rows can't be told apart.

    Rows of two classes are ranked by how probable one is beside the other. Where the area under the ROC curve is surely
    near one half, its upper bound (Hanley & McNeil 1982, Radiology 143, 29-36) below `MOST_AREA`, they are one class
    for all that the features say. Of few rows nothing is sure: twenty or so of each are the least.

    Parameters
    ----------
    probabilities : (n, classes) array
        Of held-out rows.
    labels : (n,) int array
    classes : sequence of str
    """
    findings = []
    of_class = [np.flatnonzero(labels == c) for c in range(len(classes))]
    confused = _confusions(probabilities, labels)
    for a, b in combinations(range(len(classes)), 2):
        if min(len(of_class[a]), len(of_class[b])) < FEWEST_OF_CLASS or not confused[a, b]:
            continue
        share = [_share(probabilities[rows], a, b) for rows in (of_class[a], of_class[b])]
        area = max(float(mannwhitneyu(*share).statistic) / (len(share[0]) * len(share[1])), 0.5)
        if area + BOUND * _error(area, len(share[0]), len(share[1])) <= MOST_AREA:
            score = round(1 - 2 * (area - 0.5), 4)
            findings.append(Finding("one class", (), "train", (classes[a], classes[b]), None, score, "merge"))
    return findings


def ambiguous_images(
    probabilities: np.ndarray, labels: np.ndarray, names: Sequence[str], classes: Sequence[str], split: str
) -> list[Finding]:
    """Find images that are probably of two classes: those together are nearly certain, and neither is alone.

    Parameters
    ----------
    probabilities : (n, classes) array
        Of heads that had not seen the images.
    labels : (n,) int array
    names, classes : sequence of str
    split : {"train", "test"}
    """
    if probabilities.shape[1] < 3:  # of two classes every uncertain image would be one
        return []
    order = np.argsort(-probabilities, axis=1)[:, :2]
    first, second = np.take_along_axis(probabilities, order, axis=1).T
    findings = []
    for row in np.flatnonzero((second >= SECOND) & (first + second >= BOTH)).tolist():
        both = [classes[c] for c in order[row]]
        given = classes[labels[row]]
        other = both[1] if given == both[0] else both[0]
        score = round(float(2 * second[row]), 4)
        findings.append(Finding("two classes", (names[row],), split, (given,), other, min(score, 1.0), "look"))
    return findings


def _error(area: float, m: int, n: int) -> float:
    """The standard error of an area under the ROC curve of m and n rows (Hanley & McNeil 1982, equation 2)."""
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (m - 1) * (one - area**2) + (n - 1) * (two - area**2)
    return float((variance / (m * n)) ** 0.5)


def _confusions(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether any row of one of two classes is taken for the other, (classes, classes) bool, symmetric."""
    confused = np.zeros((probabilities.shape[1],) * 2, bool)
    confused[labels, probabilities.argmax(axis=1)] = True
    return confused | confused.T


def _share(probabilities: np.ndarray, a: int, b: int) -> np.ndarray:
    """How probable class a is beside b, (n,)."""
    both = probabilities[:, a] + probabilities[:, b]
    return np.asarray(probabilities[:, a] / np.maximum(both, np.finfo(np.float64).tiny))


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
