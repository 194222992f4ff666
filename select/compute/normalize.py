"""Normalisation without a copy: unit length per layer and example, centre and scale per feature and row set.

Norms, means and scales are kept beside the design and applied to the blocks that are read; features are never copied.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from head2toe.select.compute.arrays import Array, Arrays, to_numpy
from head2toe.select.compute.stream import Columns, each_block, parts, shifted
from head2toe.select.compute.workers import SharedDesign
from head2toe.store.common.errors import DataError
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design_matrix import DEFAULT_BYTES, Block, Design, Span

HELD = 3
"""Numbers that are held for every value in a pass for moments: itself, centred, squared."""
THIN = 1e-4
"""Variance, as a share of the squared distance from the mean over all rows, below which float32 has lost it."""


class UnitRows:
    """A design in which every layer's vector of every example has unit L2 norm over all columns of that layer.

    The paper normalises in this way before it selects (Evci et al. 2022): layers then count alike, whatever the
    size of their activations. A zero vector stays zero.

    Parameters
    ----------
    design : Design
        n rows, d features, L layers.
    scale : ndarray of float32 (L, n)
        1 / norm of every layer's vector in every row, 0 for a zero vector.

    Attributes
    ----------
    base : Design
    row_scale : ndarray of float32 (L, n)
        What it was made of.
    """

    def __init__(self, design: Design, scale: np.ndarray) -> None:
        self.base = design
        self.row_scale = scale
        self.shape = design.shape
        self.layers: LayerIndex = design.layers

    @classmethod
    def of(cls, design: Design) -> "UnitRows":
        """Measure the norms in one pass over the design."""
        squares = np.zeros((len(design.layers.names), design.shape[0]), np.float64)
        for block in design.stream():
            values = np.asarray(block.values)
            squares[_layer(design, block)] += np.einsum("jn,jn->n", values, values, dtype=np.float64)
        norm = np.sqrt(squares)
        return cls(design, np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > 0).astype(np.float32))

    def stream(self, *, max_bytes: int = DEFAULT_BYTES, within: Span | None = None) -> Iterator[Block]:
        """Read the blocks of the design (see `Design.stream`), each scaled to unit norms."""
        for block in self.base.stream(max_bytes=max_bytes, within=within):
            with np.errstate(invalid="ignore"):  # 0 times infinity: `moments` raises the error
                values = block.values * self.row_scale[_layer(self.base, block)]
            yield replace(block, values=values)

    def columns(self, indices: np.ndarray) -> np.ndarray:
        """Return the features of these columns, scaled: (len(indices), n) float32, in memory of their own."""
        return np.asarray(self.base.columns(indices) * self.row_scale[self.layers.layer_of(np.asarray(indices))])

    def take(self, rows: np.ndarray) -> "UnitRows":
        """Return a view on some rows, each with the norms it has here."""
        return UnitRows(self.base.take(rows), self.row_scale[:, rows])


@dataclass(frozen=True)
class Moments:
    """Centre and scale of every feature in each of K row sets: the standardised value is (x - mean) * scale.

    Attributes
    ----------
    mean : ndarray of float32 (K, d)
        Means over the rows of each set.
    scale : ndarray of float32 (K, d)
        1 / standard deviation over those rows, and 0 for a feature that is constant there.
    """

    mean: np.ndarray
    scale: np.ndarray

    def without_scaling(self) -> "Moments":
        """Return the same means with scale 1, but still 0 for constant features."""
        return Moments(self.mean, (self.scale > 0).astype(np.float32))


def moments(
    design: Design,
    masks: np.ndarray,
    arrays: Arrays,
    weights: np.ndarray | None = None,
    shared: SharedDesign | None = None,
) -> Moments:
    """Compute mean and 1 / standard deviation of every feature over each of K row sets, in one pass over the design.

    Variances are shifted twice, E[(x - c)²] - (E[x - c])² with c the mean over all rows: E[x²] - E[x]² would lose a
    small variance beside a large mean in float32. Where a row outside of a set draws c so far away that this is not
    enough, the variance of the set is computed once more, about its own mean.

    Parameters
    ----------
    design : Design
        n rows, d features.
    masks : ndarray of bool (K, n)
        The rows of every set.
    arrays : Arrays
        Where to compute.
    weights : ndarray of float64 (n,), optional
        What each row counts, positive on the rows of the sets; by default all count alike.
    shared : SharedDesign, optional
        The same design with workers, who share the pass.

    Returns
    -------
    Moments

    Raises
    ------
    DataError
        A feature holds NaN or inf; the message names its layer.
    """
    counts = masks if weights is None else masks * weights
    shares = counts / counts.sum(axis=1, keepdims=True)
    if shared is None:
        return _moments_within(design, (0, design.shape[1]), shares, arrays)
    found = shared.map(_moments_there, shares, parts(design, HELD * design.shape[0], shared.parts))
    return Moments(*(np.concatenate([getattr(one, name) for one in found], axis=1) for name in ("mean", "scale")))


def _moments_there(design: Design, news: Any, span: tuple[int, int]) -> Moments:
    """Compute, in a worker, the moments of a part of the features."""
    where, shares = news
    return _moments_within(design, span, shares, where())


def _moments_within(design: Design, span: tuple[int, int], shares: np.ndarray, arrays: Arrays) -> Moments:
    """Compute the moments of a span of features, given what each row counts in each set (K, n) float64."""
    average = arrays.put(shares.T.astype(np.float32))  # (n, K)
    mean = np.empty((len(shares), span[1] - span[0]), np.float32)
    scale = np.empty_like(mean)

    every = np.arange(design.shape[1])

    def use(columns: Columns, values: Array) -> None:
        own = shifted(columns, span[0])
        mean[:, own], variance = _block_moments(every[columns], values, average, shares, design, arrays)
        bad = every[columns][~np.isfinite(variance).all(axis=0)]
        if len(bad):
            name = design.layers.names[int(design.layers.layer_of(bad[:1])[0])]
            raise DataError(f"layer {name} holds NaN or inf (or overflows float32): extract it again or leave it out")
        deviation = np.sqrt(variance)
        # Features count as constant up to the rounding of their values.
        constant = deviation <= 1e-6 * np.abs(mean[:, own]) + 1e-18
        scale[:, own] = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=~constant)

    each_block(design, arrays, use, width=HELD * design.shape[0], within=span)
    return Moments(mean, scale)


def _block_moments(
    columns: np.ndarray, X: Array, average: Array, shares: np.ndarray, design: Design, arrays: Arrays
) -> tuple[np.ndarray, np.ndarray]:
    """Return means and variances (K, features) float32 of some features X (features, n).

    `shares` (K, n) float64 says what each row counts in each set, and `average` is its transpose on the device.
    """
    xp, given = arrays.xp, X
    with np.errstate(over="ignore", invalid="ignore"):  # `moments` raises an error of one line
        centre = xp.mean(X, axis=1, keepdims=True)
        X = X - centre
        shift, squares = to_numpy(X @ average), to_numpy((X * X) @ average)
        variance = np.clip(squares - shift * shift, 0.0, None)
        thin = variance < THIN * (shift * shift)
        mean = to_numpy(centre) + shift
    some = np.flatnonzero(thin.any(axis=1))
    exact = given[some] if isinstance(given, np.ndarray) else design.columns(columns[some])
    for k in np.flatnonzero(thin.any(axis=0)):
        chosen, rows = thin[some, k], np.flatnonzero(shares[k])
        values = np.asarray(exact[chosen][:, rows], np.float64)
        own = values @ shares[k, rows]
        mean[some[chosen], k], variance[some[chosen], k] = own, (values - own[:, None]) ** 2 @ shares[k, rows]
    return mean.T, variance.T


def _layer(design: Any, block: Block) -> int:
    """Return the index of the layer that a block belongs to: blocks never cross the edge of a layer."""
    return int(design.layers.layer_of(np.asarray([block.start]))[0])
