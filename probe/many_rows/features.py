"""The columns that the heads of all folds read, once, and products with them: what many rows are read by.

Each fold's head reads its own columns at its own mean and scale. Their union is read once, brought to mean 0 and
variance 1 over all training rows so that float32 does for all of them, and what a fold's own scaling makes of it goes
into the weights: (z - m) s · w is z · (s w) less a constant.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from head2toe.probe.heads.scaling import Columns, Scaling, scaled_rows, standardized_rows, unit_rows
from head2toe.select.compute.arrays import Arrays
from head2toe.store.reading.design_matrix import Design

IN_MEMORY = 1 << 30
"""Bytes up to which features are kept in memory; more are read again for every product."""
AT_ONCE = 1 << 26
"""Bytes of features that are worked on at once."""
SCALINGS: tuple[Scaling, ...] = (standardized_rows, scaled_rows, unit_rows)
"""How columns may be read here; another scaling has no affine form that is known."""


@dataclass(frozen=True)
class FoldScaling:
    """What a fold makes of its columns, whose standardised values are z: (z - shift) * factor + constant.

    Attributes
    ----------
    index : (k,) int array
        Where its columns stand in the union.
    shift, factor : (k,) float32 arrays
    mean, scale : (k,) float32 arrays
        Of the same columns as a `LinearModel` has them: (x - mean) * scale of raw values x.
    constant : (k,) float64 array
        What that is where z is `shift`: 0 where the scaling centres.
    """

    index: np.ndarray
    shift: np.ndarray
    factor: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    constant: np.ndarray


class SharedFeatures:
    """The union of the folds' columns, standardised, as blocks of columns.

    Parameters
    ----------
    design : Design
        n rows, of which the first `n_train` train.
    columns : sequence of (k,) int arrays
        Each fold's.
    scaling : Scaling
        One of `SCALINGS`; `unit_rows` for the same columns in every fold alone.
    n_train : int
    arrays : Arrays
        NumPy's.
    """

    def __init__(
        self, design: Design, columns: Sequence[Columns], scaling: Scaling, n_train: int, arrays: Arrays
    ) -> None:
        self.design, self.columns, self.scaling, self.arrays = design, columns, scaling, arrays
        self.union = np.unique(np.concatenate(columns))
        self.n_rows, self.n_train, size = design.shape[0], n_train, len(self.union)
        self.mean, self.scale = np.zeros(size), np.zeros(size)
        at_once = max(1, AT_ONCE // (4 * self.n_rows))
        self._spans = [slice(start, min(start + at_once, size)) for start in range(0, size, at_once)]
        self._kept: np.ndarray | None = None
        if scaling is unit_rows:  # of whole layers: they are not read in parts
            self._kept = unit_rows(design, self.union, np.ones(self.n_rows, bool), arrays).values
        elif 4 * size * self.n_rows <= IN_MEMORY:
            self._kept = np.empty((size, self.n_rows), np.float32)
            for span in self._spans:
                self._kept[span] = design.columns(self.union[span])
        for span in self._spans:
            X = self._raw(span)
            mean = X[:, :n_train].mean(axis=1, dtype=np.float64)
            deviation = np.sqrt(((X[:, :n_train] - mean[:, None].astype(np.float32)) ** 2).mean(axis=1, dtype=float))
            alive = deviation > 0
            self.mean[span], self.scale[span] = mean, np.where(alive, 1 / np.where(alive, deviation, 1), 0)
        if self._kept is not None:
            for span in self._spans:
                self._standardise(self._kept[span], span)

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield spans of the union and their standardised values (columns, n) float32."""
        if self._kept is not None:
            yield slice(0, len(self.union)), self._kept
            return
        for span in self._spans:
            X = self.design.columns(self.union[span])
            self._standardise(X, span)
            yield span, X

    def forward(self, weights: np.ndarray) -> np.ndarray:
        """Multiply weights (m, columns) float32 with the values: (m, n)."""
        out = None
        for span, Z in self.blocks():
            part = np.ascontiguousarray(weights[:, span]) @ Z
            out = part if out is None else out + part
        return np.asarray(out)

    def back(self, residuals: np.ndarray) -> np.ndarray:
        """Multiply residuals (m, n) float32 with the values of each column: (m, columns)."""
        return np.concatenate([residuals @ Z.T for _, Z in self.blocks()], axis=1)

    def moments(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of each column's standardised values on rows of these weights (m, n): (m, columns) each."""
        shares = (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)
        means, squares = np.zeros((len(rows), len(self.union))), np.zeros((len(rows), len(self.union)))
        for span, Z in self.blocks():
            for start in range(0, Z.shape[0], 256):
                part = slice(start, min(start + 256, Z.shape[0]))
                here = slice(span.start + part.start, span.start + part.stop)
                means[:, here] = shares @ Z[part].T
                squares[:, here] = shares @ (Z[part] ** 2).T
        return means, np.maximum(squares - means**2, 0)

    def fold_scaling(self, fold: int, mean: np.ndarray, variance: np.ndarray) -> FoldScaling:
        """Turn the moments (columns,) of a fold's training rows into how its columns are scaled."""
        index = np.searchsorted(self.union, self.columns[fold])
        deviation = np.where(self.scale > 0, 1 / np.where(self.scale > 0, self.scale, 1), 0)[index]
        raw_mean, raw_variance = self.mean[index] + deviation * mean[index], deviation**2 * variance[index]
        if self.scaling is standardized_rows:
            # The second of these: a difference of two squares in float32 is no variance.
            alive = (raw_variance > 1e-11 * raw_mean**2) & (variance[index] > 1e-5 * mean[index] ** 2)
            scale = np.where(alive, 1 / np.sqrt(np.where(alive, raw_variance * len(index), 1)), 0)
            subtracted = raw_mean
        else:
            total = raw_variance.sum()
            factor = 1 / np.sqrt(total) if total > 0 and self.scaling is scaled_rows else 1.0
            scale, subtracted = np.full(len(index), factor), np.zeros(len(index))
        of_z = (mean[index], deviation * scale, subtracted, scale)
        shift, factors, out_mean, out_scale = (np.asarray(values, np.float32) for values in of_z)
        return FoldScaling(index, shift, factors, out_mean, out_scale, (raw_mean - subtracted) * scale)

    def _raw(self, span: slice) -> np.ndarray:
        return self.design.columns(self.union[span]) if self._kept is None else self._kept[span]

    def _standardise(self, X: np.ndarray, span: slice) -> None:
        """Standardise raw values in place."""
        X -= self.mean[span, None].astype(np.float32)
        X *= self.scale[span, None].astype(np.float32)
