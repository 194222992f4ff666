"""A penalty on groups of features and on the features within them: few layers, and few features of each."""

from collections.abc import Callable
from typing import Any

import numpy as np
from head2toe.select.compute.arrays import Array, scalar, to_numpy
from head2toe.select.compute.kernels import row_norms
from head2toe.select.objective.group_penalty import MOST_BY_NEWTON, GroupNorm
from head2toe.select.objective.penalties import GroupL21, LocalModel
from head2toe.store.common.errors import BadRequest
from head2toe.store.format.layer_index import LayerIndex


class SparseGroupNorm(GroupNorm):
    """Ω(W) = (1 - τ) Σ_j ||W_j||₂ + τ Σ_g √|g| ||W_g||_F: the sparse-group lasso over features j and groups g of them.

    Simon, Friedman, Hastie & Tibshirani (2013, J. Comput. Graph. Stat. 22, 231-245), with rows W_j in place of single
    coefficients. The methods are those of `Penalty`.

    Parameters
    ----------
    group : ndarray of int (d,)
        The group of every feature, in any order.
    share : float
        τ, between 0 (`GroupL21`) and 1 (`GroupNorm`), both excluded.
    weight : ndarray of float64 (d,), optional
        √|g| of every feature's group; by default it is computed from `group`.

    Raises
    ------
    BadRequest
        `group` is not one integer for every feature, or `share` is out of its range.
    """

    def __init__(self, group: np.ndarray, share: float, weight: np.ndarray | None = None) -> None:
        super().__init__(group, weight)
        if not 0 < share < 1:
            raise BadRequest(f"the share of the groups in the penalty is {share}: give one between 0 and 1")
        self.share = float(share)

    @classmethod
    def of_layers(cls, layers: LayerIndex, share: float, group: Callable[[str], str] = str) -> "SparseGroupNorm":
        """Make a group of every layer, or of all layers whose names `group` maps to the same string, their tap, say."""
        return cls(GroupNorm.by_layer(layers, group).group, share)

    def on(self, rows: Array) -> "SparseGroupNorm":
        """Return the penalty on the features at these indices; their groups keep the weights √|g| that they had."""
        chosen = to_numpy(rows)
        return SparseGroupNorm(self.group[chosen], self.share, self.weight[chosen])

    def whole(self, columns: np.ndarray) -> np.ndarray:
        """Return just these features: a group may have weights in some of its rows alone."""
        return columns

    def value(self, W: Array, lam: float, xp: Any) -> float:
        """Return λ ((1 - τ) Σ_j ||W_j||₂ + τ Σ_g √|g| ||W_g||_F)."""
        rows = lam * (1 - self.share) * scalar(xp.sum(row_norms(W, xp)))
        return rows + super().value(W, lam * self.share, xp)

    def prox(self, V: Array, threshold: float, xp: Any) -> Array:
        """Return the prox of the groups at that of the rows.

        The sets are nested, and then the prox of the sum is that composition (Jenatton et al. 2011, JMLR 12, 2297).
        """
        short = GroupL21().prox(V, threshold * (1 - self.share), xp)
        return super().prox(short, threshold * self.share, xp)

    def pooled(self, norms: Array, xp: Any) -> Array:
        """Return for every feature the λ at which it enters: min(ν_g, ||R_j|| / (1 - τ)).

        ν_g is the group's dual norm, the root of ||(r_j - ν (1 - τ))₊||₂ = ν τ √|g| over the lengths r_j of its rows;
        it is exact: sorted by length, the longest k rows of a group take part, and the equation of k rows is quadratic.
        The largest entry of a group is ν_g, because a row that takes part is longer than ν_g (1 - τ).
        """
        own, alone = xp.astype(norms, xp.float64), 1 - self.share
        which = self._put(self._which, own, xp)
        order = xp.argsort(-own, stable=True)
        order = xp.take(order, xp.argsort(xp.take(which, order), stable=True))
        r, group = xp.take(own, order), self._which[self._order]
        first = self._put(self._edges[group], own, xp)
        k = xp.astype(self._put(np.arange(len(group)) - self._edges[group] + 1, own, xp), xp.float64)
        b = self.share * xp.take(self._put(self.weight, own, xp), order)
        sums = [self._within_group(x, first, xp) for x in (r, r * r)]
        # Row k takes part if the equation, at the ν that would just leave it out, is still short of its root.
        takes_part = sums[1] - 2 * r * sums[0] + k * r * r < (r * b / alone) ** 2
        count = self._counted(takes_part, xp)
        last = first + xp.clip(count, 1, None) - 1
        s1, s2, k = (xp.take(x, last) for x in (*sums, k))
        root = xp.sqrt(xp.clip((alone * s1) ** 2 - (k * alone**2 - b * b) * s2, 0.0, None))
        below = alone * s1 + root
        nu = xp.where(below > 0, s2 / xp.where(below > 0, below, 1.0), 0.0)
        # `order` is a permutation: its inverse brings the features back to their places.
        nu = xp.take(nu, xp.argsort(order, stable=True))
        return xp.where(nu < own / alone, nu, own / alone)

    def alive(self, W: Array, xp: Any) -> Array:
        """Return a mask (p,) of the rows that are not zero."""
        return xp.any(W != 0, axis=1)

    def cut(self, W: Array, before: Array, xp: Any) -> Array:
        """Return W with zeros in the rows that turned by more than a right angle."""
        return xp.where(xp.linalg.vecdot(W, before)[:, None] > 0, W, 0.0)

    def local(self, W: Array, lam: float, xp: Any) -> LocalModel | None:
        """Return the sum of the models of `GroupL21` and `GroupNorm`, of which the second is a bound from above."""
        if W.shape[0] > MOST_BY_NEWTON:
            return None
        rows = GroupL21().local(W, lam * (1 - self.share), xp)
        groups = super().local(W, lam * self.share, xp)
        assert groups is not None, "the limit is the same"
        return LocalModel(
            rows.gradient + groups.gradient, rows.u, rows.across + groups.across, rows.along + groups.along
        )

    def _within_group(self, x: Array, first: Array, xp: Any) -> Array:
        """Return the running sums of x (p,), sorted by groups that begin at `first` (p,), from each group's start."""
        total = xp.cumulative_sum(x, include_initial=True)
        return total[1:] - xp.take(total, first)

    def _counted(self, flags: Array, xp: Any) -> Array:
        """Return the number of true flags (p,), sorted by groups, in each one's group (p,)."""
        total = xp.cumulative_sum(xp.astype(flags, xp.int64), include_initial=True)
        group = self._which[self._order]
        first, end = (self._put(self._edges[group + shift], total, xp) for shift in (0, 1))
        return xp.take(total, end) - xp.take(total, first)
