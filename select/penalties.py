"""Penalties Ω(W) on the rows of W (one row = one feature), each with its prox, its dual and its model near a point."""

from dataclasses import dataclass
from typing import Any, Protocol

from head2toe.select.arrays import Array, scalar


@dataclass(frozen=True)
class LocalModel:
    """λΩ near a W without zero rows, to second order: `gradient` (m, C), and Hessian V -> weight · (V - u (u·V)).

    `weight` (m, 1) is the curvature λ / ||W_j||, and `u` (m, C) the direction of W_j, along which a norm is flat.
    """

    gradient: Array
    weight: Array
    u: Array

    def hessian(self, V: Array, xp: Any) -> Array:
        """Apply the Hessian of the penalty."""
        return self.weight * (V - self.u * xp.sum(self.u * V, axis=1, keepdims=True))


class Penalty(Protocol):
    """What a solver asks of a penalty."""

    def value(self, W: Array, lam: float, xp: Any) -> float:
        """λΩ(W)."""

    def prox(self, V: Array, threshold: float, xp: Any) -> Array:
        """argmin_W ½||W - V||² + threshold · Ω(W)."""

    def norms(self, R: Array, xp: Any) -> Array:
        """Dual norm of every row of R = XᵀG: row j may stay zero while its dual norm is below λ."""

    def local(self, W: Array, lam: float, xp: Any) -> LocalModel:
        """Second-order model near W, which has no zero rows."""


def row_norms(A: Array, xp: Any) -> Array:
    """||A_j||₂ of every row (m,)."""
    return xp.sqrt(xp.linalg.vecdot(A, A))


class GroupL21:
    """Ω(W) = Σ_j ||W_j||₂, the paper's group lasso (section 3.2); relevance s_j = ||W_j||₂."""

    def value(self, W: Array, lam: float, xp: Any) -> float:
        """λ Σ_j ||W_j||₂."""
        return lam * scalar(xp.sum(row_norms(W, xp)))

    def prox(self, V: Array, threshold: float, xp: Any) -> Array:
        """Block soft threshold: shorten every row by `threshold`, at most to zero."""
        length = row_norms(V, xp)
        keep = xp.clip(1 - threshold / xp.where(length > 0, length, 1.0), 0.0, None)
        return V * xp.where(length > 0, keep, 0.0)[:, None]

    def norms(self, R: Array, xp: Any) -> Array:
        """||R_j||₂: the l2,∞ norm is dual to the l2,1 norm."""
        return row_norms(R, xp)

    def local(self, W: Array, lam: float, xp: Any) -> LocalModel:
        """∇||w|| = u = w / ||w||, ∇²||w|| = (I - uuᵀ) / ||w||."""
        length = row_norms(W, xp)[:, None]
        u = W / length
        return LocalModel(lam * u, lam / length, u)
