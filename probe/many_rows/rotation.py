"""The eigenbasis of each fold's columns, from one Gram matrix of the columns for all folds.

With more rows than columns the columns' Gram matrix is the small one. It is a sum over rows: the matrix of the rows
that a fold holds out is computed once for each fold, all of them added up, and a fold's training rows have the sum less
their own fold's. That is one product with the rows for all folds instead of one for each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from head2toe.probe.many_rows.features import FoldScaling, SharedFeatures
from head2toe.select.compute.linear_algebra import eigh

MOST_COLUMNS = 4096
"""Columns of a fold's head up to which they are rotated. Beyond, the eigenvectors cost more than they save."""


@dataclass(frozen=True)
class Rotation:
    """How a fold's unknowns become weights of its scaled columns.

    Attributes
    ----------
    scaling : FoldScaling
    vectors : (k, r) float32 array, optional
        Eigenvectors of the training rows' Gram matrix; None for the columns as they are.
    eigenvalues : (r,) float32 array
        Of that matrix or, without a rotation, its diagonal.
    """

    scaling: FoldScaling
    vectors: np.ndarray | None
    eigenvalues: np.ndarray


def rotations(features: SharedFeatures, trains: np.ndarray) -> list[Rotation]:
    """Find every fold's rotation.

    Parameters
    ----------
    features : SharedFeatures
    trains : (folds, n) bool array
        The rows that train each fold's head.
    """
    means, variances = features.moments(trains.astype(np.float32))
    scalings = [features.fold_scaling(fold, means[fold], variances[fold]) for fold in range(len(trains))]
    counts = trains.sum(axis=1)
    if max(len(one.index) for one in scalings) > MOST_COLUMNS or len(features.union) > 2 * MOST_COLUMNS:
        diagonals = [
            np.asarray(count * variance[one.index] * one.factor**2, np.float32)
            for one, variance, count in zip(scalings, variances, counts, strict=True)
        ]
        return [Rotation(one, None, diagonal) for one, diagonal in zip(scalings, diagonals, strict=True)]
    return [
        _rotated(one, gram, count)
        for one, gram, count in zip(scalings, _grams(features, trains, scalings), counts, strict=True)
    ]


def _grams(features: SharedFeatures, trains: np.ndarray, scalings: Sequence[FoldScaling]) -> list[np.ndarray]:
    """The Gram matrices (k, k) of the folds' columns on their training rows, neither centred nor scaled."""
    ((_, Z),) = features.blocks()
    shared = trains.all(axis=0)
    total = _gram(Z, np.flatnonzero(shared))
    parts = []
    for train, scaling in zip(trains, scalings, strict=True):
        held = ~train
        held[features.n_train :] = False  # rows to be predicted are no part of any sum
        gram = _gram(Z, np.flatnonzero(held))
        total += gram
        parts.append(gram[np.ix_(scaling.index, scaling.index)])
    for part, scaling in zip(parts, scalings, strict=True):
        np.subtract(total[np.ix_(scaling.index, scaling.index)], part, out=part)
    return parts


def _gram(Z: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Z Zᵀ over some rows, which are copied piece by piece."""
    total = np.zeros((len(Z), len(Z)), np.float32)
    for start in range(0, len(rows), 2048):
        part = np.take(Z, rows[start : start + 2048], axis=1)
        total += part @ part.T
    return total


def _rotated(scaling: FoldScaling, gram: np.ndarray, count: int) -> Rotation:
    """Centre and scale a fold's Gram matrix, and find its eigenvectors; numerically zero ones are dropped."""
    gram -= count * np.outer(scaling.shift, scaling.shift)
    gram *= scaling.factor
    gram *= scaling.factor[:, None]
    values, vectors = eigh(gram, np)
    values, vectors = values[::-1], vectors[:, ::-1]
    rank = max(1, int((values > values[0] * 10 * np.finfo(np.float32).eps).sum()))
    return Rotation(scaling, np.ascontiguousarray(vectors[:, :rank]), np.ascontiguousarray(values[:rank]))
