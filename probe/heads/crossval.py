"""Cross-validation of a head on chosen columns, and the refit on all training rows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from head2toe.probe.heads.eigenbasis import Basis, Eigenbasis, eigenbasis, stack
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.probe.heads.logistic import logistic_path
from head2toe.probe.heads.scaling import Columns, Rows
from head2toe.select.compute.arrays import Array, Arrays, to_numpy
from head2toe.store.reading.design_matrix import Design


@dataclass(frozen=True)
class Labels:
    """Labels and folds of the training rows, on the device.

    Attributes
    ----------
    onehot : (n, classes) float32 array
    held_out : tuple of (n,) bool arrays
        The rows each fold is judged on; the others of the fold train its head.
    folds : (n,) int array
        On the host: the fold each row is held out in; -1 for a row that always trains.
    """

    onehot: Array
    held_out: tuple[Array, ...]
    folds: np.ndarray

    @classmethod
    def of(cls, labels: Any, folds: np.ndarray, n_classes: int, arrays: Arrays) -> "Labels":
        """From host arrays of labels (n,) and fold numbers (n,)."""
        xp, device = arrays.xp, arrays.device
        y = xp.asarray(labels, device=device)
        onehot = xp.astype(y[:, None] == xp.arange(n_classes, device=device)[None, :], xp.float32)
        held_out = tuple(xp.asarray(folds == fold, device=device) for fold in range(int(folds.max()) + 1))
        return cls(onehot, held_out, folds)


@dataclass(frozen=True)
class Weights:
    """A linear head on scaled features.

    Attributes
    ----------
    coef : (k, classes) array
    intercept : (classes,) array
    """

    coef: Array
    intercept: Array


Fit = Callable[[Array, Array, Array, Arrays], Weights]
"""(values (k, n), train (n,) bool, Y (n, classes) one-hot, arrays) to a head trained on the training rows alone."""


@dataclass(frozen=True, eq=False)
class Refit:
    """A head trained on all training rows.

    Attributes
    ----------
    log_probabilities : (m, classes) float64 array
        Of the m rows that did not train it.
    model : LinearModel
    """

    log_probabilities: np.ndarray
    model: LinearModel


def cross_validate(
    design: Design, columns: Sequence[Columns], labels: Labels, strengths: Sequence[float], rows: Rows, arrays: Arrays
) -> Iterator[tuple[float, np.ndarray]]:
    """Heads of every strength; fold k is trained on `columns[k]`, and predicts the rows it holds out.

    Nothing fitted sees a held-out row: columns were chosen, rows are centred and heads are trained without them.

    Yields
    ------
    C : float
    log_probabilities : (n, classes) float32 array
        Of every row by the head of the fold that held it out; NaN for a row that always trains.
    """
    basis = fold_bases(design, columns, labels, rows, arrays)
    # float32 and a loose tolerance rank settings as float64 and a tight one do, in a fifth of the time.
    for heads in logistic_path(basis, labels.onehot, strengths, arrays.xp, tol=1e-3):
        yield heads.C, out_of_fold(heads.log_probabilities, labels.folds)


def fold_bases(design: Design, columns: Sequence[Columns], labels: Labels, rows: Rows, arrays: Arrays) -> Basis:
    """Every fold's columns, scaled and rotated on its training rows."""
    trains = [~held for held in labels.held_out]

    def of_fold(k: int) -> Eigenbasis:
        return eigenbasis(rows(design, columns[k], trains[k], arrays).values, trains[k], arrays.xp)

    return stack([of_fold(k) for k in range(len(trains))], trains, arrays.xp)


def of_each_fold(
    design: Design,
    columns: Sequence[Columns],
    labels: Labels,
    train: Callable[[Array, Array], Sequence[Weights]],
    rows: Rows,
    arrays: Arrays,
) -> list[np.ndarray]:
    """Scores (n, classes) by each of the heads that `train` makes of a fold's values (k, n) and training rows (n,)."""
    xp, found = arrays.xp, []
    for k, held in enumerate(labels.held_out):
        values = rows(design, columns[k], ~held, arrays).values
        heads = train(values, ~held)
        found.append(xp.stack([xp.matrix_transpose(values) @ head.coef + head.intercept for head in heads]))
    by_head = xp.stack(found, axis=1)
    return [out_of_fold(by_head[i, ...], labels.folds) for i in range(by_head.shape[0])]


def out_of_fold(of_folds: Any, folds: np.ndarray) -> np.ndarray:
    """Each row from the fold that held it out, given every fold's predictions (folds, n, classes) of all rows.

    A row that always trains (fold -1) gets NaN: nobody predicted it, and what forgets that shall not go unnoticed.
    """
    found = np.asarray(to_numpy(of_folds)[folds, np.arange(len(folds))], np.float32)
    found[folds < 0] = np.nan
    return found


def refit(
    design: Design,
    columns: Columns,
    labels: Labels,
    fit: Fit,
    rows: Rows,
    arrays: Arrays,
    target_sizes: tuple[int, ...] = (),
) -> Refit:
    """Train on the first n rows of the design, those of `labels`; predict the m others."""
    xp = arrays.xp
    n_train, n_classes = labels.onehot.shape
    train = xp.arange(design.shape[0], device=arrays.device) < n_train
    scaled = rows(design, columns, train, arrays)
    unknown = xp.zeros((design.shape[0] - n_train, n_classes), dtype=labels.onehot.dtype, device=arrays.device)
    head = fit(scaled.values, train, xp.concat((labels.onehot, unknown)), arrays)
    coef, intercept = to_numpy(head.coef), to_numpy(head.intercept)
    scores = to_numpy(scaled.values[:, n_train:]).T.astype(np.float64) @ coef + intercept
    return Refit(
        log_probabilities=log_softmax(scores),
        model=LinearModel(
            target_sizes=target_sizes,
            columns=columns,
            unit=scaled.unit,
            mean=to_numpy(scaled.mean[:, 0]).astype(np.float32),
            scale=to_numpy(scaled.scale[:, 0]).astype(np.float32),
            coef=coef.astype(np.float32),
            intercept=intercept.astype(np.float32),
        ),
    )


def log_softmax(Z: np.ndarray) -> np.ndarray:
    """Of the rows of Z (n, classes)."""
    Z = Z - Z.max(axis=1, keepdims=True)
    return Z - np.log(np.exp(Z).sum(axis=1, keepdims=True))
