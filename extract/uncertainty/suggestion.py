"""Which images to label next: those that a model is least sure of, and of these a batch that are unlike each other.

The least certain images, by the margin between the two most probable classes, are ten times as many as are asked for.
They are clustered in a few principal directions of the head's features, weighted by how uncertain they are, and of each
cluster the nearest to its centre is taken (Zhdanov 2019, "Diverse mini-batch active learning", arXiv:1901.05954).
"""

import warnings

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

CANDIDATES = 10
"""How many uncertain images for each that is asked for are clustered."""
SAME = 2e-3
"""The distance to a training image, as a share of the image's own length, up to which it is that image: what is kept of
training images is rounded to half precision."""


def margins(probabilities: np.ndarray) -> np.ndarray:
    """Return by how much the most probable class is more probable than the second, (n,).

    Parameters
    ----------
    probabilities : (n, classes) array
    """
    if probabilities.shape[1] < 2:
        return np.ones(len(probabilities))
    two = np.partition(probabilities, -2, axis=1)[:, -2:]
    return np.asarray(two[:, 1] - two[:, 0])


def diverse_batch(probabilities: np.ndarray, coordinates: np.ndarray | None, k: int, seed: int = 0) -> np.ndarray:
    """Choose a batch of images to label.

    Parameters
    ----------
    probabilities : (n, classes) array
        Of a calibrated model.
    coordinates : (n, r) array, optional
        The images in a few directions of the head's features; without them, uncertainty alone chooses.
    k : int
        How many.
    seed : int
        Begins the clustering.

    Returns
    -------
    (min(k, n),) int64 array
        The images, the least certain first.
    """
    margin = margins(probabilities)
    order = np.argsort(margin, kind="stable")
    k = min(k, len(order))
    if coordinates is None or k == len(order):
        return order[:k]
    candidates = order[: CANDIDATES * k]
    weights = 1 - margin[candidates] + 1e-3
    with warnings.catch_warnings():  # of copies in the pool there are fewer clusters than asked for, which does no harm
        warnings.simplefilter("ignore", ConvergenceWarning)
        clusters = KMeans(k, n_init=1, random_state=seed).fit(coordinates[candidates], sample_weight=weights)
    to_centres = clusters.transform(coordinates[candidates])
    chosen: list[int] = []
    for cluster in range(k):
        nearest = np.argsort(to_centres[:, cluster], kind="stable")
        chosen.append(next(int(candidates[i]) for i in nearest if int(candidates[i]) not in chosen))
    return np.array(sorted(chosen, key=lambda i: (margin[i], i)), np.int64)


def trained_on(coordinates: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Tell which images are training images, (n,) bool: those that lie where one lies.

    Parameters
    ----------
    coordinates : (n, r) array
        Images in the directions of a `Novelty`.
    training : (m, r) array
        Its training images there.
    """
    x, rows = coordinates.astype(np.float64), training.astype(np.float64)
    same = np.zeros(len(x), bool)
    for start in range(0, len(x), 1024):
        part = x[start : start + 1024]
        squares = (part**2).sum(1)[:, None] + (rows**2).sum(1) - 2 * part @ rows.T
        nearest = np.argmin(squares, axis=1)
        apart = np.linalg.norm(part - rows[nearest], axis=1)
        same[start : start + 1024] = apart <= SAME * np.linalg.norm(part, axis=1)
    return same
