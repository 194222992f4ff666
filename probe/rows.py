"""Reading chosen columns of a design, normalised. What is fitted (a scale, a mean) is fitted on training rows alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
from head2toe.probe.heads import Array
from head2toe.select.arrays import Arrays
from head2toe.store.design import Design

Columns = np.ndarray
"""Column numbers of a design, on the host, ascending."""

Rows = Callable[[Design, Columns, Array, Arrays], Array]
"""(design, columns, train, arrays) to (k, n) float32; `train` (n,) bool says which rows may be learned from."""


def unit_rows(design: Design, columns: Columns, train: Array, arrays: Arrays) -> Array:  # noqa: ARG001
    """The chosen part of every layer of every example at unit norm (the paper's normalisation); a zero vector stays."""
    xp, X = arrays.xp, _read(design, columns, arrays)
    ends = np.cumsum(design.layers.counts(columns))
    layers = [X[start:end, :] for start, end in zip([0, *ends[:-1]], ends, strict=True) if end > start]
    norms = [xp.sqrt(xp.sum(layer * layer, axis=0, keepdims=True)) for layer in layers]
    return xp.concat([a / xp.where(s > 0, s, xp.ones_like(s)) for a, s in zip(layers, norms, strict=True)], axis=0)


def scaled_rows(design: Design, columns: Columns, train: Array, arrays: Arrays) -> Array:
    """As they are, but for one factor: the mean squared norm of the centred training rows becomes 1."""
    xp, X = arrays.xp, _read(design, columns, arrays)
    _, variance = _moments(X, train, xp)
    total = xp.sum(variance)
    return X / xp.sqrt(xp.where(total > 0, total, xp.ones_like(total)))


def standardized_rows(design: Design, columns: Columns, train: Array, arrays: Arrays) -> Array:
    """Every feature at mean 0 and variance 1/k over the training rows (so that a row's squared norm is about 1)."""
    xp, X = arrays.xp, _read(design, columns, arrays)
    mean, variance = _moments(X, train, xp)
    # A feature that hardly varies beside its size is noise of rounding: it is dropped, not blown up.
    alive = variance > 1e-12 * mean * mean
    scale = xp.where(alive, 1 / xp.sqrt(xp.where(alive, variance * X.shape[0], xp.ones_like(mean))), 0 * mean)
    return (X - mean) * scale


def _read(design: Design, columns: Columns, arrays: Arrays) -> Array:
    return arrays.put(design.columns(columns))


def _moments(X: Array, train: Array, xp: Any) -> tuple[Array, Array]:
    """Mean and variance (k, 1) of each feature over the training rows."""
    w = xp.astype(train, X.dtype)[None, :] / xp.sum(xp.astype(train, X.dtype))
    mean = xp.sum(X * w, axis=1, keepdims=True)
    return mean, xp.sum((X - mean) ** 2 * w, axis=1, keepdims=True)
