"""The small convex problem of one working set of one row set, and its dual points, as the inner solver sees them."""

from dataclasses import dataclass, replace
from typing import Any

from head2toe.select.compute.arrays import Array
from head2toe.select.compute.kernels import clip
from head2toe.select.objective.datafits import Datafit, Fit
from head2toe.select.objective.penalties import Penalty

MIXTURES = (0.25, 0.5, 0.75)  # shares of the newest residual in the mixtures that are tried as dual points


@dataclass(frozen=True)
class Problem:
    """min over W (p, C) and b (C,) of F(XᵀW + 1bᵀ; Y) + λΩ(W), with features centred on these rows.

    Only X is in the working precision, which alone decides the cost. W, Z = XᵀW and all that losses are computed from
    is float64.

    Attributes
    ----------
    X : array of float32 or float64 (p, n)
        Features, standardised: one feature a row.
    Y : array of float64 (n, C)
        Targets, as `Datafit.targets` makes them.
    lam : float
        λ.
    datafit : Datafit
        F.
    penalty : Penalty
        Ω on these p features.
    xp : namespace
        Array namespace of X and Y.
    """

    X: Array
    Y: Array
    lam: float
    datafit: Datafit
    penalty: Penalty
    xp: Any

    def predict(self, W: Array) -> Array:
        """Return Z = XᵀW (n, C) in float64, stored by classes, which makes sums and maxima over classes fast."""
        return self.xp.astype((self.low(W).T @ self.X).T, self.xp.float64)

    def gradient(self, G: Array) -> Array:
        """Return XG (p, C) in the working precision."""
        return self.X @ self.low(G)

    def low(self, array: Array) -> Array:
        """Return an array in the working precision."""
        return self.xp.astype(array, self.X.dtype, copy=False)

    def rows(self, which: Array) -> "Problem":
        """Return the same problem on the features at these indices."""
        return replace(self, X=self.xp.take(self.X, which, axis=0), penalty=self.penalty.on(which))

    def norms(self, gradient: Array) -> Array:
        """Return the dual norms (p,) of XG (p, C)."""
        return self.penalty.pooled(self.penalty.norms(gradient, self.xp), self.xp)

    def support(self, W: Array) -> Array:
        """Return the indices of the rows of W that are not held at zero, ascending."""
        return self.xp.nonzero(self.penalty.alive(W, self.xp))[0]

    def in_float64(self) -> "Problem":
        """Return the same problem in double precision."""
        return replace(self, X=self.xp.astype(self.X, self.xp.float64))

    def evaluate(self, Z: Array, b: Array) -> tuple[Array, Fit]:
        """Return the exact intercept (C,) for Z, found from b, and the data term there."""
        b = self.datafit.intercept(Z, self.Y, b, self.xp)
        return b, self.datafit.evaluate(Z, b, self.Y, self.xp)


@dataclass(frozen=True)
class DualPoint:
    """A dual point Θ = s·G, scaled as the penalty needs it, and the value of the dual there.

    G need not be the residual of the primal iterate: any G will do whose columns sum to zero.

    Attributes
    ----------
    residual : array of float64 (n, C)
        G.
    gradient : array (p, C)
        XG, in the working precision.
    norms : array (p,)
        Dual norms of XG.
    value : float
        -F*(Θ) - (λΩ)*(XᵀΘ).
    """

    residual: Array
    gradient: Array
    norms: Array
    value: float

    @classmethod
    def of(cls, problem: Problem, G: Array, gradient: Array) -> "DualPoint":
        """Scale G (n, C), given XG (p, C), to be feasible for the features of the problem."""
        norms = problem.norms(gradient)
        scale, conjugate = problem.penalty.dual(norms, problem.lam, problem.xp)
        return cls(G, gradient, norms, problem.datafit.dual(G, problem.Y, scale, problem.xp) - conjugate)


def best_dual(problem: Problem, known: DualPoint | None, G: Array, gradient: Array) -> DualPoint:
    """Return the best dual point among the one known, the residual G, and a few mixtures of both.

    The largest of thousands of norms decides how far G must be scaled down, and it jumps from iterate to iterate; the
    primal is usually a hundred times closer to the optimum than a gap at the newest residual alone would prove. The
    dual is concave and its constraints are convex, so that a mixture is no worse than its worse part, and often better
    than both: two iterates rarely violate the same constraint.

    Parameters
    ----------
    problem : Problem
    known : DualPoint or None
        The best one so far.
    G : array of float64 (n, C)
        A residual whose columns sum to zero.
    gradient : array (p, C)
        XG.

    Returns
    -------
    DualPoint
    """
    best = DualPoint.of(problem, G, gradient)
    if known is None:
        return best
    best = max(best, known, key=_value)
    for t in MIXTURES:
        mixed = DualPoint.of(problem, t * G + (1 - t) * known.residual, t * gradient + (1 - t) * known.gradient)
        best = max(best, mixed, key=_value)
    return best


def _value(point: DualPoint) -> float:
    return point.value


def scatter_rows(rows: Array, at: Array, p: int, xp: Any) -> Array:
    """Return a matrix (p, C) that holds `rows` (m, C) at the ascending indices `at` (m,) and zeros elsewhere.

    (The array API cannot assign to an index array; taking from the rows and one zero row does the same.)
    """
    m = rows.shape[0]
    if m == 0:
        return xp.zeros((p, rows.shape[1]), dtype=rows.dtype, device=rows.device)
    every = xp.arange(p, dtype=at.dtype, device=at.device)
    slot = clip(xp.searchsorted(at, every), 0, m - 1, xp)
    slot = xp.where(xp.take(at, slot) == every, slot, m)
    zero = xp.zeros((1, rows.shape[1]), dtype=rows.dtype, device=rows.device)
    return xp.take(xp.concat([rows, zero]), slot, axis=0)
