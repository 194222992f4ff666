"""Cross-validation of a head on chosen columns, and the refit on all training rows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from head2toe.probe.heads.eigenbasis import Basis, Eigenbasis, eigenbasis, stack
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.probe.heads.logistic import logistic_path
from head2toe.probe.heads.scaling import Columns, Scaling
from head2toe.select.compute.arrays import Array, Arrays, to_numpy
from head2toe.store.reading.design_matrix import Design
from scipy.special import log_softmax


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
        """Bring host arrays of labels (n,) and fold numbers (n,) to the device."""
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
FitAll = Callable[[Array, Array, Array, Arrays], Sequence[Weights]]
"""The same to several heads, of different settings."""


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
    design: Design,
    columns: Sequence[Columns],
    labels: Labels,
    strengths: Sequence[float],
    scaling: Scaling,
    arrays: Arrays,
) -> Iterator[tuple[float, np.ndarray]]:
    """Train logistic heads of every strength; fold k is trained on `columns[k]`, and predicts the rows it holds out.

    Nothing fitted sees a held-out row: columns were chosen, rows are centred and heads are trained without them.

    Parameters
    ----------
    design : Design
        n rows by d features.
    columns : sequence of (k,) int arrays
        For each fold, the columns that its head reads.
    labels : Labels
        Of the n rows.
    strengths : sequence of float
        C, as in `logistic_path`.
    scaling : callable
        How columns are read: see `Scaling`.
    arrays : Arrays
        Where to compute.

    Yields
    ------
    C : float
    log_probabilities : (n, classes) float32 array
        Of every row by the head of the fold that held it out; NaN for a row that always trains.
    """
    yield from cross_validated(fold_bases(design, columns, labels, scaling, arrays), labels, strengths, arrays)


def cross_validated(
    basis: Basis, labels: Labels, strengths: Sequence[float], arrays: Arrays
) -> Iterator[tuple[float, np.ndarray]]:
    """Train logistic heads of every strength on the rows of every fold's basis; otherwise as `cross_validate`."""
    # float32 and a loose tolerance rank settings as float64 and a tight one do, in a fifth of the time.
    for heads in logistic_path(basis, labels.onehot, strengths, arrays.xp, tol=1e-3):
        yield heads.C, out_of_fold(heads.log_probabilities, labels.folds)


def fold_bases(design: Design, columns: Sequence[Columns], labels: Labels, scaling: Scaling, arrays: Arrays) -> Basis:
    """Scale and rotate every fold's columns on its training rows; parameters as of `cross_validate`."""
    trains = [~held for held in labels.held_out]

    def of_fold(k: int) -> Eigenbasis:
        return eigenbasis(scaling(design, columns[k], trains[k], arrays).values, trains[k], arrays.xp)

    return stack([of_fold(k) for k in range(len(trains))], trains, arrays.xp)


def fold_scores(
    design: Design,
    columns: Sequence[Columns],
    labels: Labels,
    fit_heads: Callable[[Array, Array], Sequence[Weights]],
    scaling: Scaling,
    arrays: Arrays,
) -> list[np.ndarray]:
    """Score every row by the heads of the fold that held it out; other parameters as of `cross_validate`.

    Parameters
    ----------
    fit_heads : callable
        A fold's scaled values (k, n) and its training rows (n,) bool to one or more heads.

    Returns
    -------
    list of (n, classes) float32 arrays
        For each head; NaN for a row that always trains.
    """
    xp, by_fold = arrays.xp, []
    for k, held in enumerate(labels.held_out):
        values = scaling(design, columns[k], ~held, arrays).values
        heads = fit_heads(values, ~held)
        by_fold.append(xp.stack([xp.matrix_transpose(values) @ head.coef + head.intercept for head in heads]))
    by_head = xp.stack(by_fold, axis=1)
    return [out_of_fold(by_head[i, ...], labels.folds) for i in range(by_head.shape[0])]


def out_of_fold(predictions: Any, folds: np.ndarray) -> np.ndarray:
    """Take each row's prediction from the fold that held it out.

    A row that always trains (fold -1) gets NaN: nobody predicted it, and what forgets that shall not go unnoticed.

    Parameters
    ----------
    predictions : (folds, n, classes) array
        Every fold's, of all rows, on any device.
    folds : (n,) int array

    Returns
    -------
    (n, classes) float32 array
    """
    held_out = np.asarray(to_numpy(predictions)[folds, np.arange(len(folds))], np.float32)
    held_out[folds < 0] = np.nan
    return held_out


def refit(
    design: Design,
    columns: Columns,
    labels: Labels,
    fit: Fit,
    scaling: Scaling,
    arrays: Arrays,
    target_sizes: tuple[int, ...] = (),
) -> Refit:
    """Train a head on the first n rows of the design, those of `labels`; predict the m others. See `refit_all`."""
    (trained,) = refit_all(design, columns, labels, lambda *rows: [fit(*rows)], scaling, arrays, target_sizes)
    return trained


def refit_all(
    design: Design,
    columns: Columns,
    labels: Labels,
    fit_all: FitAll,
    scaling: Scaling,
    arrays: Arrays,
    target_sizes: tuple[int, ...] = (),
) -> list[Refit]:
    """Train several heads on the first n rows of the design, those of `labels`; predict the m others.

    Parameters
    ----------
    design : Design
        n + m rows.
    columns : (k,) int array
        What the heads read.
    labels : Labels
        Of the n training rows.
    fit_all, scaling : callable
        How the heads are trained and how columns are read: see `FitAll` and `Scaling`.
    arrays : Arrays
        Where to compute.
    target_sizes : tuple of int
        For the models: which stores the columns count through.
    """
    xp = arrays.xp
    n_train, n_classes = labels.onehot.shape
    train = xp.arange(design.shape[0], device=arrays.device) < n_train
    scaled = scaling(design, columns, train, arrays)
    unlabelled = xp.zeros((design.shape[0] - n_train, n_classes), dtype=labels.onehot.dtype, device=arrays.device)
    heads = fit_all(scaled.values, train, xp.concat((labels.onehot, unlabelled)), arrays)
    held_out = to_numpy(scaled.values[:, n_train:]).T.astype(np.float64)
    mean, scale = (to_numpy(part[:, 0]).astype(np.float32) for part in (scaled.mean, scaled.scale))
    refits = []
    for head in heads:
        coef, intercept = to_numpy(head.coef), to_numpy(head.intercept)
        model = LinearModel(
            target_sizes=target_sizes,
            columns=columns,
            unit=scaled.unit,
            mean=mean,
            scale=scale,
            coef=coef.astype(np.float32),
            intercept=intercept.astype(np.float32),
        )
        refits.append(Refit(log_softmax(held_out @ coef + intercept, axis=1), model))
    return refits
