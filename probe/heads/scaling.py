"""Reading chosen columns of a design, scaled. What is fitted (a mean, a scale) is fitted on training rows alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from head2toe.select.compute.arrays import Array, Arrays
from head2toe.select.compute.kernels import inverse_deviation
from head2toe.store.reading.design_matrix import Design

Columns = np.ndarray
"""Column numbers of a design, on the host, ascending."""


@dataclass(frozen=True)
class Scaled:
    """Chosen features of all rows, and how they came from the raw ones: (x - mean) * scale, x of unit norm or not.

    Attributes
    ----------
    values : (k, n) float32 array
    unit : bool
        Whether the chosen part of every layer was brought to unit norm first.
    mean, scale : (k, 1) float32 arrays
    """

    values: Array
    unit: bool
    mean: Array
    scale: Array


Scaling = Callable[[Design, Columns, Array, Arrays], Scaled]
"""(design, columns, train, arrays) to scaled values; `train` (n,) bool says which rows may be learned from."""


def unit_rows(design: Design, columns: Columns, train: Array, arrays: Arrays) -> Scaled:  # noqa: ARG001
    """Bring the chosen part of every layer of every example to unit norm; a zero vector stays.

    This is the normalisation of Evci et al. (2022). Nothing is fitted: mean and scale are 0 and 1.
    """
    xp, X = arrays.xp, arrays.columns(design, columns)
    ends = np.cumsum(design.layers.counts(columns))
    layers = [X[start:end, :] for start, end in zip([0, *ends[:-1]], ends, strict=True) if end > start]
    norms = [xp.sqrt(xp.sum(layer * layer, axis=0, keepdims=True)) for layer in layers]
    X = xp.concat([a / xp.where(s > 0, s, xp.ones_like(s)) for a, s in zip(layers, norms, strict=True)], axis=0)
    return Scaled(X, True, xp.zeros_like(X[:, :1]), xp.ones_like(X[:, :1]))


def scaled_rows(design: Design, columns: Columns, train: Array, arrays: Arrays) -> Scaled:
    """Multiply all features by one factor, by which the mean squared norm of the centred training rows becomes 1."""
    xp, X = arrays.xp, arrays.columns(design, columns)
    mean, _, variance = _centred(X, train, xp)
    total = xp.sum(variance)
    factor = 1 / xp.sqrt(xp.where(total > 0, total, xp.ones_like(total)))
    return Scaled(X * factor, False, 0 * mean, 0 * mean + factor)


def standardized_rows(design: Design, columns: Columns, train: Array, arrays: Arrays) -> Scaled:
    """Bring every feature to mean 0 and variance 1/k over the training rows, so that a squared norm is about 1."""
    values, mean, scale = standardized(arrays.columns(design, columns), train, arrays.xp)
    return Scaled(values, False, mean, scale)


def standardized(X: Array, train: Array, xp: Any) -> tuple[Array, Array, Array]:
    """Do for values (k, n) what `standardized_rows` does, or for those of several folds (folds, k, n) at once.

    Returns
    -------
    values, mean, scale : arrays (..., k, n), (..., k, 1), (..., k, 1)
    """
    mean, centred, variance = _centred(X, train, xp)
    # A feature that hardly varies beside its size is noise of rounding: it is dropped, not blown up.
    scale = inverse_deviation(variance, mean, X.shape[-2], 1e-11, xp)
    return centred * scale, mean, scale


def _centred(X: Array, train: Array, xp: Any) -> tuple[Array, Array, Array]:
    """Mean (..., k, 1) of each feature over the training rows, X without it, and the variance (..., k, 1)."""
    w = xp.astype(train, X.dtype)[..., None]
    w = w / xp.sum(w, axis=-2, keepdims=True)
    mean = X @ w
    X = X - mean
    return mean, X, (X * X) @ w
