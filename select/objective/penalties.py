"""Penalties Ω(W) on the rows of W (one row = one feature), each with its prox, its dual and its model near a point."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from head2toe.select.compute.arrays import Array, scalar
from head2toe.select.compute.kernels import row_norms, shortened


@dataclass(frozen=True)
class LocalModel:
    """λΩ to second order near a W that has no zero rows, with a Hessian of two eigenvalues for each row.

    The Hessian maps V_j to across_j (V_j - u_j (u_j·V_j)) + along_j u_j (u_j·V_j).

    Attributes
    ----------
    gradient : array (m, C)
        Of λΩ at W.
    u : array (m, C)
        The direction W_j / ||W_j|| of every row.
    across : array (m, 1)
        The eigenvalue of all directions across W_j.
    along : float or array (m, 1)
        The eigenvalue along W_j.
    """

    gradient: Array
    u: Array
    across: Array
    along: float | Array

    def hessian(self, V: Array, xp: Any) -> Array:
        """Return the Hessian applied to V (m, C)."""
        return self.across * V + self.u * ((self.along - self.across) * xp.linalg.vecdot(self.u, V)[:, None])


class Penalty(Protocol):
    """What a solver asks of a penalty, for weights W (p, C) of p features; `xp` is the namespace of the arrays."""

    def value(self, W: Array, lam: float, xp: Any) -> float:
        """Return λΩ(W)."""

    def prox(self, V: Array, threshold: float, xp: Any) -> Array:
        """Return argmin_W ½||W - V||² + threshold · Ω(W), in the shape (p, C) and the precision of V."""

    def norms(self, R: Array, xp: Any) -> Array:
        """Return the dual norm (p,) of every row of R = XᵀG (p, C), each by itself."""

    def pooled(self, norms: Array, xp: Any) -> Array:
        """Return the dual norms (d,) that decide, from those of all rows: row j may stay zero where its own is < λ."""

    def dual(self, norms: Array, lam: float, xp: Any) -> tuple[float, float]:
        """Return the factor s that makes s·G dual feasible, and the conjugate (λΩ)*(s XᵀG), from dual norms (d,)."""

    def local(self, W: Array, lam: float, xp: Any) -> LocalModel | None:
        """Return the second-order model near W, which has no zero rows, or None where there is no use in one."""

    def alive(self, W: Array, xp: Any) -> Array:
        """Return a mask (p,) of the rows that are not held at zero."""

    def cut(self, W: Array, before: Array, xp: Any) -> Array:
        """Return W after a Newton step from `before`, with zeros where it left the range of the model."""

    def checked(self, d: int) -> None:
        """Raise BadRequest if this is no penalty for d features."""

    def on(self, rows: Array) -> "Penalty":
        """Return the penalty on the features at these indices, all others being zero."""

    def whole(self, columns: np.ndarray) -> np.ndarray:
        """Return these features and those that cannot be chosen without them, ascending."""


class Separable:
    """The methods that are the same for all penalties that treat every feature by itself. See `Penalty`."""

    def pooled(self, norms: Array, xp: Any) -> Array:  # noqa: ARG002
        """Return the norms as they are: every row decides for itself."""
        return norms

    def alive(self, W: Array, xp: Any) -> Array:
        """Return a mask (p,) of the rows that are not zero."""
        return xp.any(W != 0, axis=1)

    def cut(self, W: Array, before: Array, xp: Any) -> Array:
        """Return W with zeros in the rows that turned by more than a right angle: these crossed zero on the way."""
        return xp.where(xp.linalg.vecdot(W, before)[..., None] > 0, W, 0.0)

    def checked(self, d: int) -> None:
        """Accept any number of features."""

    def on(self, rows: Array) -> Any:  # noqa: ARG002
        """Return the penalty itself, which is the same on any features."""
        return self

    def whole(self, columns: np.ndarray) -> np.ndarray:
        """Return just these features."""
        return columns


class GroupL21(Separable):
    """Ω(W) = Σ_j ||W_j||₂, the paper's group lasso (Evci et al. 2022, section 3.2); relevance s_j = ||W_j||₂."""

    def value(self, W: Array, lam: float, xp: Any) -> float:
        """Return λ Σ_j ||W_j||₂."""
        return lam * scalar(xp.sum(row_norms(W, xp)))

    def prox(self, V: Array, threshold: float | Array, xp: Any) -> Array:
        """Return the block soft threshold: every row is shortened by `threshold`, at most to zero."""
        return shortened(V, row_norms(V, xp), threshold, xp)

    def norms(self, R: Array, xp: Any) -> Array:
        """Return ||R_j||₂: the l2,∞ norm is dual to the l2,1 norm."""
        return row_norms(R, xp)

    def dual(self, norms: Array, lam: float, xp: Any) -> tuple[float, float]:
        """Return the factor that scales all dual norms down to λ. The conjugate is 0 there, and infinite beyond."""
        return into_ball(norms, lam, xp), 0.0

    def local(self, W: Array, lam: float, xp: Any) -> LocalModel:
        """Return the model made of ∇||w|| = u = w / ||w|| and ∇²||w|| = (I - uuᵀ) / ||w||."""
        length = row_norms(W, xp)[:, None]
        u = W / length
        return LocalModel(lam * u, u, lam / length, 0.0)


@dataclass(frozen=True)
class GroupL21Ridge(Separable):
    """Ω(W) = Σ_j ||W_j||₂ + (ridge / 2) Σ_j ||W_j||₂²: correlated features share their weight instead of competing.

    Attributes
    ----------
    ridge : float
        Strength of the squared norm, relative to λ.
    """

    ridge: float

    def value(self, W: Array, lam: float, xp: Any) -> float:
        """Return λ Σ_j (||W_j|| + ridge ||W_j||² / 2)."""
        length = row_norms(W, xp)
        return lam * scalar(xp.sum(length + self.ridge / 2 * length * length))

    def prox(self, V: Array, threshold: float, xp: Any) -> Array:
        """Return the block soft threshold, shrunk by 1 / (1 + threshold · ridge)."""
        return GroupL21().prox(V, threshold, xp) / (1 + threshold * self.ridge)

    def norms(self, R: Array, xp: Any) -> Array:
        """Return ||R_j||₂: a row may stay zero where this is below λ, whatever the ridge."""
        return row_norms(R, xp)

    def dual(self, norms: Array, lam: float, xp: Any) -> tuple[float, float]:
        """Return 1 and the conjugate Σ_j (||X_jᵀΘ|| - λ)²₊ / (2 λ ridge): every dual point is feasible."""
        excess = xp.clip(norms - lam, 0.0, None)
        return 1.0, scalar(xp.sum(excess * excess)) / (2 * lam * self.ridge)

    def local(self, W: Array, lam: float, xp: Any) -> LocalModel:
        """Return the model of `GroupL21`, with the ridge in all directions."""
        model, rho = GroupL21().local(W, lam, xp), lam * self.ridge
        return LocalModel(model.gradient + rho * W, model.u, model.across + rho, rho)


class L1(Separable):
    """Ω(W) = Σ_jc |W_jc|: single weights, not features, are chosen."""

    def value(self, W: Array, lam: float, xp: Any) -> float:
        """Return λ Σ_jc |W_jc|."""
        return lam * scalar(xp.sum(xp.abs(W)))

    def prox(self, V: Array, threshold: float, xp: Any) -> Array:
        """Return the soft threshold of every entry."""
        return xp.sign(V) * xp.clip(xp.abs(V) - threshold, 0.0, None)

    def norms(self, R: Array, xp: Any) -> Array:
        """Return max_c |R_jc|."""
        return xp.max(xp.abs(R), axis=1)

    def dual(self, norms: Array, lam: float, xp: Any) -> tuple[float, float]:
        """Return the factor that scales all dual norms down to λ, and the conjugate 0."""
        return into_ball(norms, lam, xp), 0.0

    def local(self, W: Array, lam: float, xp: Any) -> None:  # noqa: ARG002
        """Return None: zeros lie inside the rows, where Newton on whole rows cannot hold them."""
        return


def into_ball(norms: Array, lam: float, xp: Any) -> float:
    """Return min(1, λ / largest dual norm), the factor that scales all dual norms (d,) down to λ at most."""
    largest = scalar(xp.max(norms)) if norms.shape[0] else 0.0
    return 1.0 if largest <= lam else lam / largest
