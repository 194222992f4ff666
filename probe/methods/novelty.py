"""How unlike the training images an image is, by the features of a head: distances in a few principal directions.

The distance of an image is the mean over its nearest training images (Sun, Ming, Zhu & Li, ICML 2022). Of a training
image it is measured to those of the other folds, in directions found on these alone, as that of any new image is: the
shares of training images that are nearer are then the same for both.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.probe.heads.scaling import unit_rows
from head2toe.select.compute.arrays import numpy_arrays
from head2toe.store.reading.design_matrix import Design
from scipy.linalg import eigh

FEATURES = 2048
"""How many of the head's features are looked at: every so many-th, and so as many of every layer as the head reads."""
DIRECTIONS = 64
NEIGHBOURS = 5
ROWS = 2048
"""How many training images there are to compare with at most."""
FEWEST = 10
"""How many training images there must be without any fold."""


@dataclass(frozen=True, eq=False)
class TrainingImages:
    """Training images to compare with.

    Attributes
    ----------
    positions : (q,) int64 array
        Which of the head's columns are looked at.
    mean, scale : (q,) float32 arrays
        What is subtracted from them, and what they are multiplied with then.
    axes : (q, r) float32 array
        The principal directions.
    rows : (m, r) float32 array
        The training images in these directions.
    distances : (n,) float64 array
        Of those that a fold holds out to those that it doesn't, ascending.
    neighbours : int
        How many nearest images a distance is the mean over.
    """

    positions: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    axes: np.ndarray
    rows: np.ndarray
    distances: np.ndarray
    neighbours: int


def training_images(features: np.ndarray, folds: np.ndarray, positions: np.ndarray) -> TrainingImages | None:
    """Find directions and distances of training images.

    Parameters
    ----------
    features : (n, q) float32 array
        Of the training images.
    folds : (n,) int array
        The fold that holds each out; -1 for one that always trains.
    positions : (q,) int array
        Which of the head's columns they are.

    Returns
    -------
    TrainingImages, optional
        None where there is no feature, where a fold leaves fewer than `FEWEST` images, or where all are alike.
    """
    chosen = np.unique(np.linspace(0, len(folds) - 1, min(len(folds), ROWS)).astype(np.int64))
    features, folds = features[chosen], folds[chosen]
    held_out = [folds == fold for fold in np.unique(folds[folds >= 0])]
    fewest = min((int((~held).sum()) for held in held_out), default=0)
    if features.shape[1] == 0 or fewest < FEWEST:
        return None
    everything = Directions.of(features, DIRECTIONS)
    if everything.axes.shape[1] == 0:
        return None
    distances = []
    for held in held_out:
        others = Directions.of(features[~held], DIRECTIONS)
        distances.append(nearest_distance(others(features[held]), others(features[~held]), NEIGHBOURS))
    return TrainingImages(
        positions=positions,
        mean=everything.mean,
        scale=everything.scale,
        axes=everything.axes,
        rows=everything(features),
        distances=np.sort(np.concatenate(distances)),
        neighbours=NEIGHBOURS,
    )


def nearest_distance(images: np.ndarray, others: np.ndarray, neighbours: int) -> np.ndarray:
    """Return the mean distance (n,) of images (n, r) to so many nearest ones of others (m, r)."""
    images, others = images.astype(np.float64), others.astype(np.float64)
    squares = (images**2).sum(1)[:, None] + (others**2).sum(1) - 2 * images @ others.T
    nearest = np.partition(squares, neighbours - 1, axis=1)[:, :neighbours]
    return np.asarray(np.sqrt(np.maximum(nearest, 0)).mean(axis=1))


@dataclass(frozen=True, eq=False)
class Directions:
    """Principal directions of standardised features.

    Attributes
    ----------
    mean, scale : (q,) float32 arrays
        What is subtracted from the features, and what they are multiplied with then.
    axes : (q, r) float32 array
    """

    mean: np.ndarray
    scale: np.ndarray
    axes: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray, most: int) -> "Directions":
        """Find at most so many directions of features (n, q)."""
        mean, spread = features.mean(axis=0), features.std(axis=0)
        varies = spread > 1e-6 * np.abs(mean)
        scale = np.where(varies, 1 / np.where(varies, spread, 1), 0).astype(np.float32)
        z = ((features - mean) * scale).astype(np.float64)
        # By the smaller of the two products that have these eigenvalues.
        wide = z.shape[1] > z.shape[0]
        gram = z @ z.T if wide else z.T @ z
        size = len(gram)
        values, vectors = eigh(gram, subset_by_index=[max(0, size - most), size - 1])
        kept = values > 1e-9 * max(values[-1], 1e-300)
        axes = z.T @ vectors[:, kept] / np.sqrt(values[kept]) if wide else vectors[:, kept]
        return cls(mean, scale, np.asarray(axes[:, ::-1], np.float32))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return the coordinates (n, r) of features (n, q) in these directions."""
        return np.asarray(((features - self.mean) * self.scale) @ self.axes)


def some_features(model: LinearModel, designs: Mapping[int, Design], n_train: int) -> tuple[np.ndarray, np.ndarray]:
    """Read some of a model's features of the training rows, as the model reads them before it centres them.

    Parameters
    ----------
    model : LinearModel
    designs : dict
        Target size to its design, whose first `n_train` rows train.
    n_train : int

    Returns
    -------
    positions : (q,) int64 array
        Which of the model's columns they are.
    features : (n_train, q) float32 array
    """
    k = len(model.columns)
    positions = np.unique(np.linspace(0, k - 1, min(k, FEATURES)).astype(np.int64))
    if model.unit:  # of one target size; the norm of a layer takes all of its columns
        (size,) = model.target_sizes
        train = np.arange(designs[size].shape[0]) < n_train
        return positions, unit_rows(designs[size], model.columns, train, numpy_arrays()).values[positions, :n_train].T
    parts, start = [], 0
    for size in model.target_sizes:
        design = designs[size]
        columns = model.columns[positions] - start
        own = columns[(columns >= 0) & (columns < design.shape[1])]
        parts.append(design.columns(own)[:, :n_train])
        start += design.shape[1]
    return positions, np.concatenate(parts).T
