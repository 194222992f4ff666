"""Newton-CG on a fixed support, intercept included, with one preconditioner for all classes."""

from dataclasses import dataclass, replace
from typing import Any

from head2toe.select.compute.arrays import Array, scalar
from head2toe.select.compute.linear_algebra import spd_solver
from head2toe.select.lockstep.line_search import first_crossing, step_lengths
from head2toe.select.lockstep.rules import DAMPING, FORCING, MOST_CG_STEPS
from head2toe.select.objective.datafits import Fit
from head2toe.select.objective.penalties import LocalModel
from head2toe.select.objective.problem import Problem, scatter_rows

ROWS_TO_PRECONDITION = 2000  # rows, or as many as the support has: of twice as many and more, some stand for all
MOST_COPIED = 1 << 23  # numbers of the part of the support's features that is copied twice


def newton_step(problem: Problem, W: Array, Z: Array, b: Array, fit: Fit) -> tuple[Array, Array, Array]:
    """Take one damped Newton step in the nonzero rows of W and in b. A row that would cross zero becomes zero.

    Parameters
    ----------
    problem : Problem
        p features, n rows.
    W, Z, b : array of float64 (p, C), (n, C), (C,)
        Weights, predictions XᵀW and intercept.
    fit : Fit
        The data term there.

    Returns
    -------
    W, Z, b : array of float64
        After the step; the ones given, if the penalty has no second-order model here or no step length lowers the
        objective.
    """
    xp, lam = problem.xp, problem.lam
    A = problem.support(W)
    W_A = xp.take(W, A, axis=0)
    penalty = problem.penalty.on(A)
    model = penalty.local(problem.low(W_A), lam, xp) if A.shape[0] else None
    if model is None:
        return W, Z, b
    X1 = rows_and_ones(problem.X, A, xp)
    small = replace(problem, X=X1[:-1, :], penalty=penalty)
    direction = NewtonSystem(small, X1, model, fit).solve()
    before = penalty.value(W_A, lam, xp)
    for t in step_lengths(scalar(first_crossing(W_A, direction.W, xp))):
        trial = penalty.cut(W_A + t * direction.W, W_A, xp)
        dZ = small.predict(trial - W_A)
        dZb = dZ + t * direction.b
        change = scalar(xp.sum(fit.residual * dZb)) + problem.datafit.bregman(fit, dZb, xp)
        change += penalty.value(trial, lam, xp) - before
        if change < -1e-5 * t * direction.decrease:
            return scatter_rows(trial, A, W.shape[0], xp), Z + dZ, b + t * direction.b
    return W, Z, b


def rows_and_ones(X: Array, which: Array, xp: Any) -> Array:
    """Return the rows (m, n) of X at some indices, and one of ones below them: with no second copy but of a part."""
    m, n = which.shape[0], X.shape[1]
    X1 = xp.empty((m + 1, n), dtype=X.dtype, device=X.device)
    at_once = max(1, MOST_COPIED // n)
    for start in range(0, m, at_once):
        stop = min(start + at_once, m)
        X1[start:stop, :] = xp.take(X, which[start:stop], axis=0)
    X1[m, :] = 1
    return X1


@dataclass(frozen=True)
class Direction:
    """A Newton direction.

    Attributes
    ----------
    W : array of float64 (m, C)
    b : array of float64 (C,)
    decrease : float
        -<gradient, direction>: by how much the objective falls to first order along the whole of it.
    """

    W: Array
    b: Array
    decrease: float


class NewtonSystem:
    """The Newton system on a support of m rows, solved by preconditioned conjugate gradients (CG).

    The intercept is one more row of X, all ones, without penalty. With u_j = W_j / ||W_j|| the Hessian is

        (H V)_j = Σ_i x_ij [(diag(p_i) - p_i p_iᵀ) (XᵀV)_i] / n + (λ / ||W_j||) (V_j - u_j (u_j·V_j)),

    stiff in all directions of a row but the one along W_j, where a norm is flat. The preconditioner follows that in two
    levels. Across W_j, one matrix serves all classes: K + diag(λ / ||W_j||), where K = X diag(w) Xᵀ and w is the mean
    diagonal of each row's softmax Hessian. Along the W_j, the m × m matrix K ∘ (U Uᵀ) approximates the data term, and
    is added. Without this second level CG needs ten times the steps; with it, about five.

    Parameters
    ----------
    problem : Problem
        On the m features of the support.
    X1 : array (m + 1, n)
        Its features, and a row of ones: that of the intercept.
    model : LocalModel
        The penalty near the current W.
    fit : Fit
        The data term there.
    """

    def __init__(self, problem: Problem, X1: Array, model: LocalModel, fit: Fit) -> None:
        xp = self.xp = problem.xp
        self.problem, self.X1, self.mean = problem, X1, problem.low(fit.mean)
        self.model, self.u = model, model.u
        b_gradient = problem.low(xp.sum(fit.residual, axis=0))[None, :]
        self.gradient = xp.concat([problem.gradient(fit.residual) + model.gradient, b_gradient])
        self._factorise(problem.low(problem.datafit.weights(fit.mean, xp)))

    def _factorise(self, w: Array) -> None:
        xp, weight = self.xp, self.model.across[:, 0]
        half = self._sampled(w)
        K = half @ half.T
        typical = scalar(xp.mean(xp.linalg.diagonal(K)))
        # Along W_j only the data term limits a step, and with more features than rows not even that: damping does.
        damping = typical * DAMPING["float32" if K.dtype == xp.float32 else "float64"]
        self.model = replace(self.model, along=self.model.along + damping)
        eye = xp.eye(K.shape[0], dtype=K.dtype, device=K.device)
        across = xp.concat([weight, xp.zeros_like(weight[:1])]) + 1e-6 * typical
        self.across = spd_solver(K + eye * across[:, None], xp)
        self.along = spd_solver(K[:-1, :-1] * (self.u @ self.u.T) + eye[:-1, :-1] * self.model.along, xp)

    def _sampled(self, w: Array) -> Array:
        """Return X diag(√w) or, of many rows, of some that stand for all: no more are needed to precondition."""
        xp, (m, n) = self.xp, self.X1.shape
        stride = n // max(ROWS_TO_PRECONDITION, m)
        if stride < 2:
            return self.X1 * xp.sqrt(w)
        rows = xp.arange(0, n, stride, device=self.X1.device)
        share = rows.shape[0] / n
        return xp.take(self.X1, rows, axis=1) * xp.sqrt(xp.take(w, rows, axis=0) / share)

    def precondition(self, r: Array) -> Array:
        """Return the sum of both levels of the preconditioner, applied to a residual r (m + 1, C)."""
        z = self.across(r)
        z[:-1, :] += self.u * self.along(self.xp.linalg.vecdot(self.u, r[:-1, :])[:, None])
        return z

    def apply(self, V: Array) -> Array:
        """Return the Hessian of the objective, damped along W_j, applied to V (m + 1, C)."""
        out = self.X1 @ self.problem.datafit.hessian(self.mean, (V.T @ self.X1).T, self.xp)
        out[:-1, :] += self.model.hessian(V[:-1, :], self.xp)
        return out

    def solve(self) -> Direction:
        """Run CG on H d = -g until the decrease of the quadratic model levels off (Nash & Sofer 1990)."""
        xp = self.xp
        r = -self.gradient
        x = xp.zeros_like(r)
        z = self.precondition(r)
        p, rz, total = z, scalar(xp.sum(r * z)), 0.0
        for i in range(1, MOST_CG_STEPS + 1):
            h = self.apply(p)
            curvature = scalar(xp.sum(p * h))
            if curvature <= 0 or rz <= 0:  # only by rounding: no further step can be trusted
                break
            a = rz / curvature
            x = x + a * p
            r = r - a * h
            total += a * rz
            if i * a * rz <= FORCING * total:
                break
            z = self.precondition(r)
            rz, last = scalar(xp.sum(r * z)), rz
            p = z + (rz / last) * p
        decrease = -scalar(xp.sum(self.gradient * x))
        x = xp.astype(x, xp.float64)
        return Direction(x[:-1, :], x[-1, :], decrease)
