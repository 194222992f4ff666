"""Problems of one kind side by side, filled up to one shape: what they consist of, and the data term of all of them.

The kind is the default one: cross-entropy after softmax (`Multinomial`) with the group lasso (`GroupL21`). What the
classes of `select/objective` compute for one problem is computed here for K of them in the same number of launches; the
tests hold one against the other.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from head2toe.select.compute.arrays import Array
from head2toe.select.compute.kernels import (
    entropies,
    expectations,
    expected_growth,
    inner_products,
    plus_product,
    positive_ratio,
    row_norms,
    transposed,
    weighted_difference,
)
from head2toe.select.compute.linear_algebra import solve
from head2toe.select.compute.softmax import softmax
from head2toe.select.objective.penalties import GroupL21
from head2toe.select.objective.problem import MIXTURES

PENALTY = GroupL21()
"""Of all problems; what treats each row by itself takes a stack as it takes a matrix."""
LARGEST_EXPONENT = 700.0
"""Of which the exponential is still finite in float64."""


@dataclass(frozen=True)
class StackedFit:
    """The data terms of K problems at one point each.

    Attributes
    ----------
    value : array of float64 (K, 1, 1)
        F.
    residual : array of float64 (K, n, C)
        G = ∂F/∂Z, zero in rows that fill up.
    mean : array of float64 (K, n, C)
        Probabilities of the classes.
    """

    value: Array
    residual: Array
    mean: Array


@dataclass(frozen=True)
class Stack:
    """K problems min F(XᵀW + 1bᵀ; Y) + λ Σ_j ||W_j||₂ over W (p, C) and b (C,).

    A problem with fewer features or rows than the largest has zeros in their place, which stay without effect.

    Attributes
    ----------
    X : array of float32 (K, p, n)
        Features, standardised.
    X_T : array of float32 (K, n, p)
        The same by rows.
    Y : array of float64 (K, n, C)
        One-hot targets, zero in rows that fill up.
    shares : array of float64 (K, n, 1)
        What each row counts; those of a problem sum to 1, and rows that fill up count nothing.
    per_share : array of float64 (K, n, 1)
        Their reciprocals, 0 for rows that fill up.
    low_shares : array of float32 (K, n, 1)
        The shares in the precision of the features.
    lam : array of float64 (K, 1, 1)
        λ.
    xp : namespace
        Array namespace of these.
    """

    X: Array
    X_T: Array
    Y: Array
    shares: Array
    per_share: Array
    low_shares: Array
    lam: Array
    xp: Any

    @classmethod
    def of(cls, X: Array, Y: Array, shares: Array, lam: Array, xp: Any) -> "Stack":
        """Make a stack of the features (K, p, n) of all problems; other parameters as the attributes."""
        per_share = positive_ratio(xp.ones_like(shares), shares, xp)
        return cls(X, transposed(X, xp), Y, shares, per_share, xp.astype(shares, X.dtype), lam, xp)

    def low(self, array: Array) -> Array:
        """Return an array in the precision of the features."""
        return self.xp.astype(array, self.X.dtype, copy=False)

    def predict(self, W: Array) -> Array:
        """Return Z = XᵀW (K, n, C) in float64."""
        return self.xp.astype(self.X_T @ self.low(W), self.xp.float64)

    def gradient(self, G: Array) -> Array:
        """Return XG (K, p, C) in the precision of the features."""
        return self.X @ self.low(G)

    # -- the data term -----------------------------------------------------------------------------------------------

    def evaluate(self, Z: Array, b: Array) -> StackedFit:
        """Return the data terms at Z + 1bᵀ, b being (K, 1, C)."""
        logits = Z + b
        P, log_sum = softmax(logits, self.xp, axis=2)
        value = inner_products(self.shares, log_sum[:, :, None], self.xp) - self._agreement(logits)
        return StackedFit(value, self.shares * (P - self.Y), P)

    def _agreement(self, logits: Array) -> Array:
        return self.xp.sum(self.shares * (logits * self.Y), axis=(1, 2), keepdims=True)

    def with_intercept(self, Z: Array, b: Array) -> tuple[Array, StackedFit]:
        """Return the exact intercepts (K, 1, C) for Z, found from b by Newton's method, and the data terms there.

        The gradient in the intercepts must vanish for the duals to be feasible.
        """
        xp, eye = self.xp, self.xp.eye(b.shape[2], dtype=b.dtype, device=b.device)
        fit = self.evaluate(Z, b)
        for _ in range(50):
            gradient = xp.sum(fit.residual, axis=1, keepdims=True)
            live = xp.max(xp.abs(gradient), axis=2, keepdims=True) > 1e-12
            if not bool(xp.any(live)):
                break
            p = xp.sum(self.shares * fit.mean, axis=1, keepdims=True)
            H = eye * p - xp.matrix_transpose(fit.mean) @ (self.shares * fit.mean)
            # H is singular along 1, because softmax does not see a shift: 11ᵀ/C mends that and leaves the step alone.
            mended = H + xp.mean(p * (1 - p), axis=2, keepdims=True) + 1e-14 * eye
            step = xp.matrix_transpose(solve(mended, xp.matrix_transpose(gradient), xp))
            b, fit = self._backtracked(Z, b, step * xp.astype(live, b.dtype), gradient, fit)
        return b - xp.mean(b, axis=2, keepdims=True), fit

    def _backtracked(
        self, Z: Array, b: Array, step: Array, gradient: Array, fit: StackedFit
    ) -> tuple[Array, StackedFit]:
        """Halve the Newton step of each problem until its loss falls enough."""
        xp, slope = self.xp, inner_products(step, gradient, self.xp)
        t = xp.ones_like(slope)
        for _ in range(30):
            trial = b - t * step
            there = self.evaluate(Z, trial)
            enough = there.value - fit.value <= -1e-4 * t * slope + 1e-14
            if bool(xp.all(enough)):
                break
            t = xp.where(enough, t, t / 2)
        return trial, there

    def bregman(self, fit: StackedFit, dZ: Array) -> Array:
        """Return F(Z + dZ) - F(Z) - <G, dZ> (K, 1, 1), without the cancellation of two losses; see `Multinomial`.

        Where dZ is so large that an exponential would overflow, it is too small, but large all the same.
        """
        xp, expected = self.xp, expectations(fit.mean, dZ, self.xp, axis=2)
        growth = expected_growth(fit.mean, dZ, expected, LARGEST_EXPONENT, xp)
        return inner_products(self.shares, xp.log1p(growth), xp)

    def hessian(self, mean: Array, V: Array) -> Array:
        """Return the Hessians of F in Z applied to V (K, n, C), in the precision of V and `mean`."""
        expected = expectations(mean, V, self.xp, axis=2)
        return weighted_difference(mean * self.low_shares, V, expected, self.xp)

    def weights(self, mean: Array) -> Array:
        """Return the mean diagonals of these Hessians (K, n, 1)."""
        return self.shares * (self.xp.sum(mean * (1 - mean), axis=2, keepdims=True) / (mean.shape[2] - 1))

    # -- the penalty -------------------------------------------------------------------------------------------------

    def penalty(self, W: Array) -> Array:
        """Return λ Σ_j ||W_j||₂ (K, 1, 1)."""
        return self.lam * self.xp.sum(row_norms(W, self.xp), axis=1)[:, None, None]

    def prox(self, V: Array, step: Array) -> Array:
        """Return the block soft threshold of V (K, p, C) for steps (K, 1, 1), in the precision of V."""
        return PENALTY.prox(V, self.xp.astype(step * self.lam, V.dtype), self.xp)

    # -- the dual ----------------------------------------------------------------------------------------------------

    def dual_values(self, G: Array, norms: Array) -> Array:
        """Return the duals (K, 1, 1) at G (K, n, C), scaled to be feasible, given the norms (K, p) of XG."""
        xp = self.xp
        largest = xp.astype(xp.max(norms, axis=1)[:, None, None], xp.float64)
        scale = xp.where(largest > self.lam, self.lam / xp.where(largest > self.lam, largest, 1.0), 1.0)
        return entropies(self.Y, scale, G, self.shares, self.per_share, xp)

    def dual_point(self, G: Array, gradient: Array) -> "StackedDual":
        """Return the dual points of G (K, n, C), given XG (K, p, C)."""
        norms = row_norms(gradient, self.xp)
        return StackedDual(G, gradient, norms, self.dual_values(G, norms))


@dataclass(frozen=True)
class StackedDual:
    """A dual point of each of K problems: see `DualPoint`.

    Attributes
    ----------
    residual : array of float64 (K, n, C)
        G.
    gradient : array (K, p, C)
        XG.
    norms : array (K, p)
        Dual norms of XG.
    value : array of float64 (K, 1, 1)
        Of the dual.
    """

    residual: Array
    gradient: Array
    norms: Array
    value: Array

    def mixed(self, other: "StackedDual", share: float | Array, stack: Stack) -> tuple[Array, Array]:
        """Return G and XG of mixtures with so much of the other."""
        xp, low = stack.xp, share if isinstance(share, float) else stack.low(share)
        return (
            plus_product(self.residual, share, other.residual - self.residual, xp),
            plus_product(self.gradient, low, other.gradient - self.gradient, xp),
        )

    def improved(self, other: "StackedDual", stack: Stack) -> "StackedDual":
        """Return the best dual points among both and mixtures of them: see `best_dual`."""
        xp, values = stack.xp, [self.value]
        for share in MIXTURES:
            residual, gradient = self.mixed(other, share, stack)
            values.append(stack.dual_values(residual, row_norms(gradient, xp)))
        best = xp.argmax(xp.concat((*values, other.value), axis=1), axis=1, keepdims=True)
        shares = xp.asarray(np.array([0.0, *MIXTURES, 1.0]), device=best.device)
        share = xp.reshape(xp.take(shares, xp.reshape(best, (-1,))), self.value.shape)
        return stack.dual_point(*self.mixed(other, share, stack))
