"""One small convex problem: the working set of one row set, as the inner solver sees it."""

from dataclasses import dataclass, replace
from typing import Any

from head2toe.select.arrays import Array, scalar
from head2toe.select.datafits import Datafit, Fit
from head2toe.select.penalties import Penalty


@dataclass(frozen=True)
class Problem:
    """min over W (p, C) and b (C,) of F(XᵀW + 1bᵀ; Y) + λΩ(W), with features centred on these rows.

    `X` (p, n) is feature-major and in the working precision, which alone decides the cost; W, Z = XᵀW and everything
    that losses are made of is float64.
    """

    X: Array
    Y: Array
    lam: float
    datafit: Datafit
    penalty: Penalty
    xp: Any

    def predict(self, W: Array) -> Array:
        """Z = XᵀW (n, C) in float64."""
        return self.xp.astype(self.X.T @ self.low(W), self.xp.float64)

    def gradient(self, G: Array) -> Array:
        """XG (p, C) in the working precision."""
        return self.X @ self.low(G)

    def low(self, array: Array) -> Array:
        """An array in the working precision."""
        return self.xp.astype(array, self.X.dtype, copy=False)

    def rows(self, which: Array) -> "Problem":
        """The same problem on some of its features."""
        return replace(self, X=self.xp.take(self.X, which, axis=0))

    def in_float64(self) -> "Problem":
        """The same problem in double precision."""
        return replace(self, X=self.xp.astype(self.X, self.xp.float64))

    def evaluate(self, Z: Array, b: Array) -> tuple[Array, Fit]:
        """The exact intercept for Z, and the data term there."""
        b = self.datafit.intercept(Z, self.Y, b, self.xp)
        return b, self.datafit.evaluate(Z, b, self.Y, self.xp)


def duality_gap(problem: Problem, fit: Fit, penalised: float, largest: float) -> tuple[float, float]:
    """Objective, and its gap to the dual at Θ = s·G relative to it.

    Parameters
    ----------
    problem
        Its features don't matter here, only Y, λ and the data term.
    fit
        The data term at the exact intercept: 1ᵀG = 0, else no scaling of G is dual feasible.
    penalised
        λΩ(W).
    largest
        The largest dual norm max_j Ω°(X_jᵀG) over all features that the certificate is to speak for; s = min(1, λ /
        largest) makes Θ feasible.
    """
    s = 1.0 if largest <= problem.lam else problem.lam / largest
    objective = fit.value + penalised
    gap = objective - problem.datafit.dual(fit, problem.Y, s, problem.xp)
    return objective, max(gap, 0.0) / max(objective, 1e-300)


def support(W: Array, xp: Any) -> Array:
    """Indices of the rows of W that are not zero."""
    return xp.nonzero(xp.any(W != 0, axis=1))[0]


def largest(norms: Array, xp: Any) -> float:
    """Maximum of a vector of norms that may be empty."""
    return scalar(xp.max(norms)) if norms.shape[0] else 0.0


def scatter_rows(rows: Array, at: Array, p: int, xp: Any) -> Array:
    """A matrix of p rows that holds `rows` at the ascending indices `at` and zeros elsewhere.

    (The array API can't assign to an index array; taking from the rows and one zero row does the same.)
    """
    m = rows.shape[0]
    if m == 0:
        return xp.zeros((p, rows.shape[1]), dtype=rows.dtype, device=rows.device)
    every = xp.arange(p, dtype=at.dtype, device=at.device)
    slot = xp.clip(xp.searchsorted(at, every), 0, m - 1)
    slot = xp.where(xp.take(at, slot) == every, slot, m)
    zero = xp.zeros((1, rows.shape[1]), dtype=rows.dtype, device=rows.device)
    return xp.take(xp.concat([rows, zero]), slot, axis=0)
