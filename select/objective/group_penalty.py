"""A penalty on groups of features, so that whole layers, taps or spatial cells are chosen."""

from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import device
from head2toe.select.compute.arrays import Array, scalar, to_numpy
from head2toe.select.compute.kernels import row_norms
from head2toe.select.objective.penalties import LocalModel, into_ball
from head2toe.store.common.errors import BadRequest
from head2toe.store.format.layer_index import LayerIndex

MOST_BY_NEWTON = 3000  # rows: with more, the square matrices of Newton's preconditioner cost more than they save


class GroupNorm:
    """Ω(W) = Σ_g √|g| ||W_g||_F over groups g of features: all features of a group enter together, or none does.

    Yuan & Lin (2006, JRSS B 68, 49-67). With one feature in every group it is `GroupL21`. A constant feature has a
    group, but gets no weight. The methods are those of `Penalty`.

    Parameters
    ----------
    group : ndarray of int (d,)
        The group of every feature, in any order: the features of a spatial cell lie apart, say.
    weight : ndarray of float64 (d,), optional
        √|g| of every feature's group; by default it is computed from `group`.

    Attributes
    ----------
    group, weight : ndarray (d,)
        The group of every feature, and its √|g|.

    Raises
    ------
    BadRequest
        `group` is not one integer for every feature.
    """

    def __init__(self, group: np.ndarray, weight: np.ndarray | None = None) -> None:
        group = np.asarray(group)
        if group.ndim != 1 or group.dtype.kind not in "iu":
            raise BadRequest(f"groups are one integer for every feature, not {group.dtype} of shape {group.shape}")
        _, self._which, sizes = np.unique(group, return_inverse=True, return_counts=True)
        self._order = np.argsort(self._which, kind="stable")
        self._edges = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.group, self.weight = group, np.sqrt(sizes)[self._which] if weight is None else weight

    @classmethod
    def by_layer(cls, layers: LayerIndex, group: Callable[[str], str] = str) -> "GroupNorm":
        """Make a group of every layer, or of all layers whose names `group` maps to the same string, their tap, say."""
        names = [group(name) for name in layers.names]
        return cls(np.repeat([names.index(name) for name in names], layers.widths))

    def checked(self, d: int) -> None:
        """Raise BadRequest unless each of the d features has a group."""
        if len(self.group) != d:
            raise BadRequest(f"the penalty has groups for {len(self.group)} features, the design has {d}")

    def on(self, rows: Array) -> "GroupNorm":
        """Return the penalty on the features at these indices; their groups keep the weights √|g| that they had."""
        chosen = to_numpy(rows)
        return GroupNorm(self.group[chosen], self.weight[chosen])

    def whole(self, columns: np.ndarray) -> np.ndarray:
        """Return these features and all others of their groups, ascending."""
        chosen = np.zeros(len(self._edges) - 1, bool)
        chosen[self._which[columns]] = True
        return np.flatnonzero(chosen[self._which])

    def value(self, W: Array, lam: float, xp: Any) -> float:
        """Return λ Σ_g √|g| ||W_g||_F."""
        first = self._order[self._edges[:-1]]
        length = self._lengths(row_norms(W, xp), xp) * self._put(self.weight, W, xp)
        return lam * scalar(xp.sum(xp.take(length, self._put(first, W, xp))))

    def prox(self, V: Array, threshold: float, xp: Any) -> Array:
        """Return V with every group shortened by `threshold` √|g|, at most to zero."""
        length, weight = self._lengths(row_norms(V, xp), xp), self._put(self.weight, V, xp)
        keep = xp.clip(1 - threshold * weight / xp.where(length > 0, length, 1.0), 0.0, None)
        return V * xp.astype(xp.where(length > 0, keep, 0.0), V.dtype)[:, None]

    def norms(self, R: Array, xp: Any) -> Array:
        """Return ||R_j||₂ of every row, which `pooled` collects by groups."""
        return row_norms(R, xp)

    def pooled(self, norms: Array, xp: Any) -> Array:
        """Return ||R_g||_F / √|g| for every feature of every group g."""
        return self._lengths(norms, xp) / self._put(self.weight, norms, xp)

    def dual(self, norms: Array, lam: float, xp: Any) -> tuple[float, float]:
        """Return the factor that scales all dual norms down to λ, and the conjugate 0."""
        return into_ball(norms, lam, xp), 0.0

    def alive(self, W: Array, xp: Any) -> Array:
        """Return a mask (p,) of the rows whose group is not zero."""
        return self._lengths(row_norms(W, xp), xp) > 0

    def cut(self, W: Array, before: Array, xp: Any) -> Array:
        """Return W with zeros in the groups that turned by more than a right angle."""
        forward = self._sums(xp.linalg.vecdot(W, before), xp) > 0
        return xp.where(forward[:, None], W, 0.0)

    def local(self, W: Array, lam: float, xp: Any) -> LocalModel | None:
        """Return the gradient λ√|g| W_j / ||W_g||, and λ√|g| / ||W_g|| for all eigenvalues of the Hessian.

        The norm of a group is curved in all directions but W_g itself, where it is flat. A model of single rows cannot
        express that direction, which is therefore taken as curved, too: the model bounds the norm from above.
        """
        if W.shape[0] > MOST_BY_NEWTON:
            return None
        length, weight = self._lengths(row_norms(W, xp), xp), self._put(self.weight, W, xp)
        curvature = xp.astype(lam * weight / length, W.dtype)[:, None]
        own = row_norms(W, xp)[:, None]
        return LocalModel(curvature * W, W / xp.where(own > 0, own, 1.0), curvature, curvature)

    def _lengths(self, norms: Array, xp: Any) -> Array:
        """Return ||W_g||_F for every feature (p,) in float64, from the lengths of all rows (p,)."""
        norms = xp.astype(norms, xp.float64)
        return xp.sqrt(self._sums(norms * norms, xp))

    def _sums(self, x: Array, xp: Any) -> Array:
        """Return the sum of x (p,) over each feature's group (p,) in float64.

        (The array API has no segmented sum, but a cumulative one.)
        """
        x = xp.take(xp.astype(x, xp.float64), self._put(self._order, x, xp))
        total = xp.cumulative_sum(x, include_initial=True)
        edges = self._put(self._edges, x, xp)
        sums = xp.take(total, edges[1:]) - xp.take(total, edges[:-1])
        return xp.take(sums, self._put(self._which, x, xp))

    @staticmethod
    def _put(host: np.ndarray, like: Array, xp: Any) -> Array:
        return xp.asarray(host, device=device(like))
