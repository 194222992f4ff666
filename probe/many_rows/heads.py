"""Heads on many rows: the same logistic and ridge heads, without any matrix of rows by rows or of rotated rows.

Rows stay as they are read, and once for all folds. Unknowns live in each fold's eigenbasis, where the Hessian is close
to diagonal; for a product with the rows they become weights of the columns, of all folds and classes side by side. So a
step costs one pass over the rows forward and one back for all folds together.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from head2toe.probe.heads.crossval import Labels, Weights, out_of_fold
from head2toe.probe.heads.descent import MOST_STEPS, StrengthPath
from head2toe.probe.heads.kinds import STRENGTHS, ExactHeads, Kind, Logistic, Ridge, best_scale
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.probe.heads.objective import Objective
from head2toe.probe.heads.refit import Refit
from head2toe.probe.heads.scaling import Columns, Scaling, unit_rows
from head2toe.probe.many_rows.features import SCALINGS, SharedFeatures
from head2toe.probe.many_rows.rotation import MOST_COLUMNS, Rotation, rotations
from head2toe.select.compute.arrays import Arrays, numpy_arrays, to_numpy
from head2toe.select.compute.softmax import log_softmax
from head2toe.store.reading.design_matrix import Design

MANY = 4000
"""Training rows above which heads are trained here."""
TOLERANCE = 1e-3
"""Of the gradient over the folds, as everywhere: see `logistic_path`."""
REFIT_TOLERANCE = 1e-4
"""Of the gradient of a refit: as far as float32 goes."""
MOST_STEPS_UNROTATED = 300
"""L-BFGS steps for each strength of a head on so many columns that they are not rotated."""

Predicted = Iterator[tuple[dict[str, Any], np.ndarray]]


def suits(kind: Kind, columns: Sequence[Columns], scaling: Scaling, n_train: int, arrays: Arrays) -> bool:
    """Whether heads of this kind on these columns of each fold are trained here.

    On a GPU they are not: its memory is of another size, and it takes all folds as one batch anyway. Nor is least
    squares on more columns than are rotated, for which there would be no solution in closed form.
    """
    same = all(np.array_equal(columns[0], others) for others in columns[1:])
    rotated = max(len(one) for one in columns) <= MOST_COLUMNS
    return (
        n_train > MANY
        and arrays.xp is numpy_arrays().xp
        and isinstance(kind, (Logistic, ExactHeads) + ((Ridge,) if rotated else ()))
        and scaling in SCALINGS
        and (scaling is not unit_rows or same)
    )


def cross_validate(
    kind: Kind, design: Design, columns: Sequence[Columns], labels: Labels, scaling: Scaling, arrays: Arrays
) -> Predicted:
    """Train heads of every setting on every fold, as `Kind.cross_validate` does; of a kind that `suits`."""
    trains = ~np.stack([to_numpy(held) for held in labels.held_out])
    features = SharedFeatures(design, columns, scaling, design.shape[0], arrays)
    rows = _Rows.of(features, trains, to_numpy(labels.onehot), arrays)
    if not isinstance(kind, Ridge):
        for C, theta in rows.logistic(STRENGTHS, TOLERANCE):
            yield {"C": C}, out_of_fold(log_softmax(rows.scores(theta), arrays.xp, axis=1).swapaxes(1, 2), labels.folds)
    if not isinstance(kind, Logistic) and rows.is_rotated:
        for C in STRENGTHS:
            scores = out_of_fold(rows.scores(rows.ridge(C)).swapaxes(1, 2), labels.folds)
            scale = best_scale(scores, labels)
            yield {"head": "ridge", "C": C, "scale": scale}, log_softmax(scale * scores, arrays.xp, axis=1)


def refit_all(
    kind: Kind,
    design: Design,
    columns: Columns,
    labels: Labels,
    settings: Sequence[Mapping[str, Any]],
    scaling: Scaling,
    arrays: Arrays,
    target_sizes: tuple[int, ...],
) -> list[Refit]:
    """Train heads of these settings on the rows of `labels`, the first; predict the others. As `refit.refit_all`."""
    n_train, n_classes = labels.onehot.shape
    onehot = np.zeros((design.shape[0], n_classes), np.float32)
    onehot[:n_train] = to_numpy(labels.onehot)
    train = np.arange(design.shape[0])[None, :] < n_train
    rows = _Rows.of(SharedFeatures(design, [columns], scaling, n_train, arrays), train, onehot, arrays)
    is_ridge = [isinstance(kind, Ridge) or one.get("head") == "ridge" for one in settings]
    strengths = sorted({one["C"] for one, least_squares in zip(settings, is_ridge, strict=True) if not least_squares})
    logistic = dict(rows.logistic(strengths, REFIT_TOLERANCE))
    refits = []
    for one, least_squares in zip(settings, is_ridge, strict=True):
        theta = one["scale"] * rows.ridge(one["C"]) if least_squares else logistic[one["C"]]
        logp = log_softmax(rows.scores(theta)[0, :, n_train:].astype(np.float64), arrays.xp, axis=0).T
        refits.append(Refit(logp, rows.model(theta, columns, target_sizes), rows.weights(theta)))
    return refits


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows, what of them trains each fold's head, and how its unknowns theta (folds, classes, r + 1) are read.

    Attributes
    ----------
    features : SharedFeatures
    rotations : list of Rotation
        Each fold's; unknowns beyond its rank are 0.
    w : (folds, 1, n) float32 array
        1 over the number of training rows for one of them, 0 for others.
    Y : (classes, n) float32 array
        One-hot.
    """

    features: SharedFeatures
    rotations: list[Rotation]
    w: np.ndarray
    Y: np.ndarray
    xp: Any

    @classmethod
    def of(cls, features: SharedFeatures, trains: np.ndarray, onehot: np.ndarray, arrays: Arrays) -> "_Rows":
        """Rotate; `trains` (folds, n) bool are the rows that train each fold's head, `onehot` is (n, classes)."""
        w = np.asarray(trains / trains.sum(axis=1, keepdims=True), np.float32)[:, None, :]
        return cls(features, rotations(features, trains), w, np.ascontiguousarray(onehot.T), arrays.xp)

    @property
    def is_rotated(self) -> bool:
        """Whether unknowns are those of an eigenbasis."""
        return self.rotations[0].vectors is not None

    @property
    def rank(self) -> int:
        """The largest rank of a fold (r)."""
        return max(len(one.eigenvalues) for one in self.rotations)

    def scores(self, theta: np.ndarray) -> np.ndarray:
        """Scores (folds, classes, n) of all rows."""
        folds, classes, _ = theta.shape
        weights = np.zeros((folds, classes, len(self.features.union)), np.float32)
        intercept = np.array(theta[:, :, -1:])
        for fold, rotation in enumerate(self.rotations):
            own = self.lifted(theta, fold) * rotation.scaling.factor
            weights[fold][:, rotation.scaling.index] = own
            intercept[fold, :, 0] -= own @ rotation.scaling.shift
        flat = self.features.forward(weights.reshape(folds * classes, -1))
        return np.asarray(flat.reshape(folds, classes, -1) + intercept)

    def back(self, residuals: np.ndarray) -> np.ndarray:
        """Multiply residuals (folds, classes, n) with the rows' coordinates and, last, 1: (folds, classes, r + 1)."""
        folds, classes, n = residuals.shape
        by_column = self.features.back(residuals.reshape(folds * classes, n)).reshape(folds, classes, -1)
        out = np.zeros((folds, classes, self.rank + 1), np.float32)
        out[:, :, -1] = residuals.sum(axis=2)
        for fold, rotation in enumerate(self.rotations):
            scaling = rotation.scaling
            own = (by_column[fold][:, scaling.index] - out[fold, :, -1:] * scaling.shift) * scaling.factor
            out[fold, :, : len(rotation.eigenvalues)] = own if rotation.vectors is None else own @ rotation.vectors
        return out

    def lifted(self, theta: np.ndarray, fold: int) -> np.ndarray:
        """Weights (classes, k) of a fold's scaled columns."""
        rotation = self.rotations[fold]
        own = theta[fold, :, : len(rotation.eigenvalues)]
        return own if rotation.vectors is None else np.asarray(own @ rotation.vectors.T)

    def eigenvalues(self) -> np.ndarray:
        """Those of all folds, (folds, 1, r), 0 where a fold has fewer."""
        out = np.zeros((len(self.rotations), 1, self.rank), np.float32)
        for fold, rotation in enumerate(self.rotations):
            out[fold, 0, : len(rotation.eigenvalues)] = rotation.eigenvalues
        return out

    def logistic(self, strengths: Sequence[float], tol: float) -> Iterator[tuple[float, np.ndarray]]:
        """Fit logistic heads for every C, rising: C and theta."""
        most_steps = MOST_STEPS if self.is_rotated else MOST_STEPS_UNROTATED
        path = StrengthPath(_Objective(self)) if strengths else None
        for C in sorted(map(float, strengths)):
            assert path is not None
            path.advance(C, tol, most_steps)
            yield C, path.theta

    def ridge(self, C: float) -> np.ndarray:
        """Fit least squares with a penalty of 10 / C, as `ridge_path` does: theta."""
        theta = np.array(self._correlation)
        theta[:, :, :-1] /= self.eigenvalues() + np.float32(10 / C)
        return theta

    @cached_property
    def _correlation(self) -> np.ndarray:
        """Of the coordinates with the centred labels, for each fold and class; last, the labels' mean."""
        mean = (self.w * self.Y).sum(axis=2)
        correlation = self.back(np.where(self.w > 0, self.Y - mean[:, :, None], np.float32(0)))
        correlation[:, :, -1] = mean
        return correlation

    def weights(self, theta: np.ndarray) -> Weights:
        """Return the only fold's theta as weights of its scaled columns."""
        coef = self.lifted(theta, 0).T
        return Weights(coef, theta[0, :, -1] - self.rotations[0].scaling.constant @ coef)

    def model(self, theta: np.ndarray, columns: Columns, target_sizes: tuple[int, ...]) -> LinearModel:
        """Make the linear model of the only fold's theta, on raw features."""
        scaling, trained = self.rotations[0].scaling, self.weights(theta)
        return LinearModel(
            target_sizes=target_sizes,
            columns=columns,
            unit=self.features.scaling is unit_rows,
            mean=scaling.mean,
            scale=scaling.scale,
            coef=np.ascontiguousarray(trained.coef, np.float32),
            intercept=np.asarray(trained.intercept, np.float32),
        )


class _Objective(Objective):
    """The objective of `logistic_path`, of all folds side by side."""

    def __init__(self, rows: _Rows) -> None:
        super().__init__(rows.xp, 1 / rows.w.max(axis=2, keepdims=True), rows.w, rows.w * rows.Y, rows.eigenvalues())
        self.rows = rows

    def scores(self, theta: np.ndarray) -> np.ndarray:
        """Scores of all rows; see `Objective`."""
        return self.rows.scores(theta)

    def pull(self, U: np.ndarray) -> np.ndarray:
        """Residuals to weights; see `Objective`."""
        return self.rows.back(U)

    def back(self, P: np.ndarray) -> np.ndarray:
        """Gradient of the loss; see `Objective`."""
        return self.pull(self.w * P - self.wY)
