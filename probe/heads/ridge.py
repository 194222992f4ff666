"""Ridge heads: least squares on class indicators, exact for every strength from one decomposition."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from head2toe.probe.heads.eigenbasis import Basis, RotatedRows, solved_each
from head2toe.select.compute.arrays import Array


@dataclass(frozen=True)
class RidgeHeads:
    """Ridge regressions of all folds on one-hot labels, at one strength C.

    Attributes
    ----------
    C : float
        The penalty is 10 / C * ||W||².
    scores : (folds, n, classes) array
        Predicted labels of every row; they are no log-probabilities.
    theta : (folds, r + 1, classes) array
        Weights on the coordinates of the basis and, last, the intercepts.
    """

    C: float
    scores: Array
    theta: Array


def ridge_path(basis: Basis, Y: Array, strengths: Sequence[float], xp: Any) -> Iterator[RidgeHeads]:
    """Fit ridge regressions on the labels for every C in `strengths`.

    In the eigenbasis the training rows' coordinates are orthogonal, so that every strength costs one product. Far
    cheaper than the logistic heads, it ranks sets of columns as they do.

    Parameters
    ----------
    basis : Basis
    Y : (n, classes) array
        One-hot labels of all rows, of the basis' dtype; those of held-out rows are not looked at.
    strengths : sequence of float
    xp : array namespace
    """
    mean, correlation = _moments(basis, Y, xp)
    for C in map(float, strengths):
        weights = _weights(correlation, basis, C)
        yield RidgeHeads(C, basis.coordinates @ weights + mean, xp.concat((weights, mean), axis=1))


def ridge_heads(basis: Basis, Y: Array, strengths: Sequence[float], xp: Any) -> Array:
    """Fit one regression on each fold, or problem, of a basis, at a strength of its own.

    Parameters
    ----------
    strengths : sequence of float
        C of each problem.
    basis, Y, xp
        As of `ridge_path`.

    Returns
    -------
    (problems, r + 1, classes) array
        As `RidgeHeads.theta`.
    """
    mean, correlation = _moments(basis, Y, xp)
    C = xp.asarray(np.asarray(strengths), dtype=Y.dtype, device=Y.device)[:, None, None]
    return xp.concat((_weights(correlation, basis, C), mean), axis=1)


def ridge_refits(rows: Sequence[RotatedRows], settings: Sequence[Mapping[str, Any]]) -> list[tuple[Array, Array]]:
    """Fit heads, each on rows, at a `C` and with a `scale` of its own: coef (k, classes) and intercept (classes,)."""
    thetas = solved_each(rows, [one["C"] for one in settings], ridge_heads)
    return [one.lifted(theta, head["scale"]) for one, theta, head in zip(rows, thetas, settings, strict=True)]


def _moments(basis: Basis, Y: Array, xp: Any) -> tuple[Array, Array]:
    """Mean label of each fold's training rows, (folds, 1, classes), and what coordinates have in common with labels."""
    w = basis.weights[:, :, None]
    mean = xp.sum(w * Y[None, :, :], axis=1, keepdims=True) / xp.sum(w, axis=1, keepdims=True)
    return mean, xp.matrix_transpose(basis.coordinates) @ (w * (Y[None, :, :] - mean))


def _weights(correlation: Array, basis: Basis, C: "float | Array") -> Array:
    # A logistic loss is a tenth as curved as a square where a class has a probability of about .1.
    return correlation / (basis.eigenvalues[:, :, None] + 10 / C)
