"""Cross-validation of a head on chosen columns."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import array_api_compat
import numpy as np
from head2toe.probe.heads.eigenbasis import Basis, Eigenbasis, basis_at_once, eigenbasis, stack
from head2toe.probe.heads.logistic import logistic_path
from head2toe.probe.heads.scaling import Columns, Scaling, standardized, standardized_rows
from head2toe.select.compute.arrays import Array, Arrays, to_numpy
from head2toe.store.reading.design_matrix import Design

AT_ONCE_BYTES = 1 << 29
"""Of the columns of all folds that a GPU scales and rotates at once, in a fifth of the calls; several times as much is
needed meanwhile."""


@dataclass(frozen=True)
class Labels:
    """Labels and folds of the training rows, on the device.

    Attributes
    ----------
    onehot : (n, classes) float32 array
    held_out : tuple of (n,) bool arrays
        The rows that do not train each fold's head: those that it is judged on and, where more folds are left out,
        theirs.
    folds : (n,) int array
        On the host: the fold each row is held out in; -1 for a row that always trains.
    left_out : int
        How many folds train no head of a fold: the fold itself, and those after it.
    """

    onehot: Array
    held_out: tuple[Array, ...]
    folds: np.ndarray
    left_out: int = 1

    @cached_property
    def classes(self) -> np.ndarray:
        """Each row's class (n,) int, on the host."""
        return np.asarray(to_numpy(self.onehot).argmax(axis=1))

    @cached_property
    def trains(self) -> list[Array]:
        """The rows that train each fold's head, (n,) bool."""
        return [~held for held in self.held_out]

    @cached_property
    def trains_together(self) -> Array:
        """The same as one array (folds, n)."""
        return array_api_compat.array_namespace(self.onehot).stack(self.trains)

    @cached_property
    def training(self) -> tuple[Array, Array]:
        """The training rows of each fold, (folds, m) int; one that has fewer than m is filled up, as (folds, m) says.

        The latter is float32: 1 for a training row, 0 for what fills up.
        """
        xp = array_api_compat.array_namespace(self.onehot)
        rows = [np.flatnonzero(~held) for held in _held_out(self.folds, self.left_out)]
        most = max(map(len, rows))
        padded = np.stack([np.pad(of_fold, (0, most - len(of_fold))) for of_fold in rows])
        real = np.stack([np.arange(most) < len(of_fold) for of_fold in rows]).astype(np.float32)
        device = array_api_compat.device(self.onehot)
        return xp.asarray(padded, device=device), xp.asarray(real, device=device)

    @classmethod
    def of(cls, labels: Any, folds: np.ndarray, n_classes: int, arrays: Arrays, left_out: int = 1) -> "Labels":
        """Bring host arrays of labels (n,) and fold numbers (n,) to the device."""
        xp, device = arrays.xp, arrays.device
        y = xp.asarray(labels, device=device)
        onehot = xp.astype(y[:, None] == xp.arange(n_classes, device=device)[None, :], xp.float32)
        held_out = tuple(xp.asarray(held, device=device) for held in _held_out(folds, left_out))
        return cls(onehot, held_out, folds, left_out)


def _held_out(folds: np.ndarray, left_out: int) -> list[np.ndarray]:
    """For each fold, which rows (n,) bool are in it or in one of the `left_out` - 1 folds after it."""
    n_folds = int(folds.max()) + 1
    return [(folds >= 0) & ((folds - fold) % n_folds < left_out) for fold in range(n_folds)]


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
    basis = fold_bases(design, columns, labels, scaling, arrays)
    for C, (logp,) in cross_validated(basis, labels, strengths, arrays):
        yield C, logp


def cross_validated(
    basis: Basis, labels: Labels, strengths: Sequence[float], arrays: Arrays
) -> Iterator[tuple[float, list[np.ndarray]]]:
    """Train logistic heads of every strength on the rows of every fold's basis, of one candidate or of several.

    Parameters
    ----------
    basis : Basis
        All folds of the first candidate, then all of the next.
    labels, strengths, arrays
        As of `cross_validate`.

    Yields
    ------
    C : float
    log_probabilities : list of (n, classes) float32 arrays
        For each candidate, as `cross_validate` yields them.
    """
    # float32 and a loose tolerance rank settings as float64 and a tight one do, in a fifth of the time.
    for heads in logistic_path(basis, labels.onehot, strengths, arrays.xp, tol=1e-3):
        yield heads.C, out_of_folds(heads.log_probabilities, labels.folds)


def fold_bases(design: Design, columns: Sequence[Columns], labels: Labels, scaling: Scaling, arrays: Arrays) -> Basis:
    """Scale and rotate every fold's columns on its training rows; parameters as of `cross_validate`."""
    trains, xp = labels.trains, arrays.xp
    count, n = max(map(len, columns)), len(labels.folds)
    alike = count == min(map(len, columns)) and 4 * count * n * len(columns) <= AT_ONCE_BYTES
    if array_api_compat.is_cupy_namespace(xp) and scaling is standardized_rows and alike:
        values, _, _ = standardized(arrays.columns_of_each(design, columns), labels.trains_together, xp)
        return basis_at_once(values, labels.trains_together, *labels.training, xp)

    def of_fold(k: int) -> Eigenbasis:
        return eigenbasis(scaling(design, columns[k], trains[k], arrays).values, trains[k], xp)

    return stack([of_fold(k) for k in range(len(trains))], trains, xp)


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
    return out_of_folds(xp.reshape(by_head, (-1, *by_head.shape[2:])), labels.folds)


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
    (held_out,) = out_of_folds(predictions, folds)
    return held_out


def out_of_folds(predictions: Any, folds: np.ndarray) -> list[np.ndarray]:
    """Do for several candidates what `out_of_fold` does for one; what each row needs alone leaves the device.

    Parameters
    ----------
    predictions : (candidates * folds, n, classes) array
        All folds of the first candidate, then all of the next.
    folds : (n,) int array
    """
    xp, n_folds = array_api_compat.array_namespace(predictions), int(folds.max()) + 1
    _, n, classes = predictions.shape
    by_candidate = xp.reshape(predictions, (-1, n_folds * n, classes))
    rows = xp.asarray(folds % n_folds * n + np.arange(n), device=array_api_compat.device(predictions))
    held_out = to_numpy(xp.astype(xp.take(by_candidate, rows, axis=1), xp.float32, copy=False))
    held_out[:, folds < 0] = np.nan
    return list(held_out)
