"""Penalties Ω(W) on the rows of W (one row = one feature), each with its prox, its dual and its model near a point."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from head2toe.select.compute.arrays import Array, scalar


@dataclass(frozen=True)
class LocalModel:
    """λΩ near a W without zero rows, to second order: `gradient` (m, C), and a Hessian of two eigenvalues a row.

    The Hessian is V_j -> across_j (V_j - u_j (u_j·V_j)) + along u_j (u_j·V_j) with u_j (m, C) the direction of W_j.
    """

    gradient: Array
    u: Array
    across: Array  # (m, 1)
    along: float | Array  # or (m, 1)

    def hessian(self, V: Array, xp: Any) -> Array:
        """Apply the Hessian of the penalty."""
        return self.across * V + self.u * ((self.along - self.across) * xp.linalg.vecdot(self.u, V)[:, None])


class Penalty(Protocol):
    """What a solver asks of a penalty."""

    def value(self, W: Array, lam: float, xp: Any) -> float:
        """λΩ(W)."""

    def prox(self, V: Array, threshold: float, xp: Any) -> Array:
        """argmin_W ½||W - V||² + threshold · Ω(W)."""

    def norms(self, R: Array, xp: Any) -> Array:
        """Dual norm of every row of R = XᵀG by itself."""

    def pooled(self, norms: Array, xp: Any) -> Array:
        """Dual norms (d,) that count, from those of all rows: row j may stay zero while its own is below λ."""

    def dual(self, norms: Array, lam: float, xp: Any) -> tuple[float, float]:
        """Factor s that makes s·G dual feasible, and the conjugate (λΩ)*(s XᵀG), given all dual norms."""

    def local(self, W: Array, lam: float, xp: Any) -> LocalModel | None:
        """Second-order model near W, which has no zero rows; None where there is no use in one."""

    def alive(self, W: Array, xp: Any) -> Array:
        """Which rows are not held at zero (p,)."""

    def cut(self, W: Array, before: Array, xp: Any) -> Array:
        """W after a Newton step, where what left the range of the model of `before` becomes zero."""

    def checked(self, d: int) -> None:
        """BadRequest, if this isn't a penalty for d features."""

    def on(self, rows: Array) -> "Penalty":
        """The penalty on some features, all others being zero."""

    def whole(self, columns: np.ndarray) -> np.ndarray:
        """These features and those that can't be chosen without them, ascending."""


class Separable:
    """What penalties have in common that treat every feature by itself."""

    def pooled(self, norms: Array, xp: Any) -> Array:  # noqa: ARG002
        """Every row's own."""
        return norms

    def alive(self, W: Array, xp: Any) -> Array:
        """Rows that are not zero."""
        return xp.any(W != 0, axis=1)

    def cut(self, W: Array, before: Array, xp: Any) -> Array:
        """Rows that turned by more than a right angle, crossing zero as it were, become zero."""
        return xp.where(xp.linalg.vecdot(W, before)[:, None] > 0, W, 0.0)

    def checked(self, d: int) -> None:
        """Any number of features will do."""

    def on(self, rows: Array) -> Any:  # noqa: ARG002
        """The same."""
        return self

    def whole(self, columns: np.ndarray) -> np.ndarray:
        """Just these."""
        return columns


def row_norms(A: Array, xp: Any) -> Array:
    """||A_j||₂ of every row: the last dimension goes."""
    return xp.sqrt(xp.sum(A * A, axis=-1))  # (vecdot would be slow where A is stored by columns)


class GroupL21(Separable):
    """Ω(W) = Σ_j ||W_j||₂, the paper's group lasso (section 3.2); relevance s_j = ||W_j||₂."""

    def value(self, W: Array, lam: float, xp: Any) -> float:
        """λ Σ_j ||W_j||₂."""
        return lam * scalar(xp.sum(row_norms(W, xp)))

    def prox(self, V: Array, threshold: float, xp: Any) -> Array:
        """Block soft threshold: shorten every row by `threshold`, at most to zero."""
        length = row_norms(V, xp)
        alive = length > threshold
        return V * xp.where(alive, 1 - threshold / xp.where(alive, length, 1.0), 0.0)[:, None]

    def norms(self, R: Array, xp: Any) -> Array:
        """||R_j||₂: the l2,∞ norm is dual to the l2,1 norm."""
        return row_norms(R, xp)

    def dual(self, norms: Array, lam: float, xp: Any) -> tuple[float, float]:
        """The conjugate of a norm is 0 where no dual norm exceeds λ, else infinite: scale down to there."""
        return into_ball(norms, lam, xp), 0.0

    def local(self, W: Array, lam: float, xp: Any) -> LocalModel:
        """∇||w|| = u = w / ||w||, ∇²||w|| = (I - uuᵀ) / ||w||."""
        length = row_norms(W, xp)[:, None]
        u = W / length
        return LocalModel(lam * u, u, lam / length, 0.0)


@dataclass(frozen=True)
class GroupL21Ridge(Separable):
    """Ω(W) = Σ_j ||W_j||₂ + (ridge / 2) Σ_j ||W_j||₂²: correlated features share their weight instead of competing."""

    ridge: float

    def value(self, W: Array, lam: float, xp: Any) -> float:
        """λ Σ_j (||W_j|| + ridge ||W_j||² / 2)."""
        length = row_norms(W, xp)
        return lam * scalar(xp.sum(length + self.ridge / 2 * length * length))

    def prox(self, V: Array, threshold: float, xp: Any) -> Array:
        """The block soft threshold, shrunk by 1 / (1 + threshold · ridge)."""
        return GroupL21().prox(V, threshold, xp) / (1 + threshold * self.ridge)

    def norms(self, R: Array, xp: Any) -> Array:
        """||R_j||₂: a row may stay zero while this is below λ, ridge or not."""
        return row_norms(R, xp)

    def dual(self, norms: Array, lam: float, xp: Any) -> tuple[float, float]:
        """Everything is feasible: the conjugate is Σ_j (||X_jᵀΘ|| - λ)²₊ / (2 λ ridge)."""
        excess = xp.clip(norms - lam, 0.0, None)
        return 1.0, scalar(xp.sum(excess * excess)) / (2 * lam * self.ridge)

    def local(self, W: Array, lam: float, xp: Any) -> LocalModel:
        """The model of `GroupL21`, with the ridge in all directions."""
        model, rho = GroupL21().local(W, lam, xp), lam * self.ridge
        return LocalModel(model.gradient + rho * W, model.u, model.across + rho, rho)


class L1(Separable):
    """Ω(W) = Σ_jc |W_jc|: single weights, not features, are chosen."""

    def value(self, W: Array, lam: float, xp: Any) -> float:
        """λ Σ |W_jc|."""
        return lam * scalar(xp.sum(xp.abs(W)))

    def prox(self, V: Array, threshold: float, xp: Any) -> Array:
        """Soft threshold."""
        return xp.sign(V) * xp.clip(xp.abs(V) - threshold, 0.0, None)

    def norms(self, R: Array, xp: Any) -> Array:
        """max_c |R_jc|."""
        return xp.max(xp.abs(R), axis=1)

    def dual(self, norms: Array, lam: float, xp: Any) -> tuple[float, float]:
        """As for every norm."""
        return into_ball(norms, lam, xp), 0.0

    def local(self, W: Array, lam: float, xp: Any) -> None:  # noqa: ARG002
        """Zeros lie inside the rows, where Newton on whole rows can't hold them: proximal gradient does it alone."""
        return


def into_ball(norms: Array, lam: float, xp: Any) -> float:
    """S = min(1, λ / largest dual norm)."""
    largest = scalar(xp.max(norms)) if norms.shape[0] else 0.0
    return 1.0 if largest <= lam else lam / largest
