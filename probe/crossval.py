"""Cross-validation of a head on chosen columns, and the refit on all training rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from head2toe.probe.heads import Array, Basis, Eigenbasis, eigenbasis, least_squares_path, logistic_path, stack
from head2toe.probe.outcome import LinearModel
from head2toe.probe.rows import Columns, Rows
from head2toe.select.arrays import Arrays, to_numpy
from head2toe.store.design import Design


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


def screen(
    design: Design, columns: Sequence[Columns], labels: Labels, strengths: Sequence[float], rows: Rows, arrays: Arrays
) -> Iterator[tuple[float, np.ndarray]]:
    """The same with least-squares heads: C and scores (n, classes), whose order alone means something."""
    basis = fold_bases(design, columns, labels, rows, arrays)
    for C, scores in least_squares_path(basis, labels.onehot, strengths, arrays.xp):
        yield C, out_of_fold(scores, labels.folds)


def fold_bases(design: Design, columns: Sequence[Columns], labels: Labels, rows: Rows, arrays: Arrays) -> Basis:
    """Every fold's columns, scaled and rotated on its training rows."""
    trains = [~held for held in labels.held_out]

    def of_fold(k: int) -> Eigenbasis:
        return eigenbasis(rows(design, columns[k], trains[k], arrays).values, trains[k], arrays.xp)

    return stack([of_fold(k) for k in range(len(trains))], trains, arrays.xp)


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
    C: float,
    rows: Rows,
    arrays: Arrays,
    target_sizes: tuple[int, ...] = (),
) -> Refit:
    """Train on the first n rows of the design, those of `labels`; predict the m others."""
    xp = arrays.xp
    n_train, n_classes = labels.onehot.shape
    train = xp.arange(design.shape[0], device=arrays.device) < n_train
    scaled = rows(design, columns, train, arrays)
    eigen = eigenbasis(xp.astype(scaled.values, xp.float64), train, xp)
    unknown = xp.zeros((design.shape[0] - n_train, n_classes), dtype=xp.float64, device=arrays.device)
    Y = xp.concat((xp.astype(labels.onehot, xp.float64), unknown))
    (heads,) = logistic_path(stack([eigen], [train], xp), Y, [C], xp, tol=1e-6)
    theta = heads.theta[0, ...]
    coef = eigen.lift(theta[:-1, :])
    return Refit(
        log_probabilities=to_numpy(heads.log_probabilities[0, n_train:, :]),
        model=LinearModel(
            target_sizes=target_sizes,
            columns=columns,
            unit=scaled.unit,
            mean=to_numpy(scaled.mean[:, 0]).astype(np.float32),
            scale=to_numpy(scaled.scale[:, 0]).astype(np.float32),
            coef=to_numpy(coef).astype(np.float32),
            intercept=to_numpy(theta[-1, :] - eigen.centre @ coef).astype(np.float32),
        ),
    )
