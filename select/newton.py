"""The inner solver: accelerated proximal gradient finds the support, Newton-CG solves on it.

Neither would do alone. Proximal gradient needs hundreds of steps, because features of one network are strongly
correlated; Newton on a fixed support doesn't know which rows of W should be zero. A few steps of the first settle the
support, a few of the second make short work of what remains.
"""

import math
from dataclasses import dataclass

from head2toe.select.arrays import Array, scalar, spd_inverse
from head2toe.select.datafits import Fit
from head2toe.select.penalties import LocalModel
from head2toe.select.problem import Problem, duality_gap, largest, scatter_rows, support

BURST = 6  # proximal steps before each Newton phase
FORCING = 0.3  # CG stops when the preconditioned residual has fallen to this share of its start
FLOAT32_GAP = 1e-4  # below this relative gap, rounding in float32 GEMMs shows


@dataclass(frozen=True)
class Inner:
    """Where the inner solver ended, with its certificate on the working set."""

    W: Array  # (p, C) float64
    b: Array  # (C,) float64, exact for W
    fit: Fit
    norms: Array  # (p,) dual norms of the gradient
    gap: float  # relative
    iterations: int
    step: float  # of the proximal gradient, a start for the next problem


def solve(problem: Problem, W: Array, b: Array, tol: float, step: float | None = None, max_outer: int = 60) -> Inner:
    """Solve a small problem from a warm start, to relative duality gap `tol` on the features it holds."""
    xp = problem.xp
    if tol < FLOAT32_GAP and problem.X.dtype == xp.float32 and problem.X.shape[0]:
        first = solve(problem, W, b, FLOAT32_GAP, step, max_outer)
        W, b, step, problem = first.W, first.b, first.step, problem.in_float64()
    safe = 1.0 / smoothness(problem)
    step = max(step or safe, safe)
    Z, iterations = problem.predict(W), 0
    best = math.inf
    stalled = 0
    for outer in range(max_outer + 1):
        b, fit = problem.evaluate(Z, b)
        gradient = problem.gradient(fit.residual)
        norms = problem.penalty.norms(gradient, xp)
        _, gap = duality_gap(problem, fit, problem.penalty.value(W, problem.lam, xp), largest(norms, xp))
        if gap <= tol or outer == max_outer:
            break
        stalled = stalled + 1 if gap > 0.9 * best else 0
        best = min(best, gap)
        if stalled >= 5 and problem.X.dtype == xp.float32:
            problem, stalled = problem.in_float64(), 0
        W, Z, step, steps = burst(problem, W, Z, b, fit, gradient, step, safe)
        W, b, Z, newton_steps = newton(problem, W, Z, b, tol)
        iterations += steps + newton_steps
    return Inner(W, b, fit, norms, gap, iterations, step)


def smoothness(problem: Problem) -> float:
    """Lipschitz constant of the gradient: ||X||² / 2n for the softmax, by power iteration."""
    xp, X = problem.xp, problem.X
    p, n = X.shape
    if p == 0:
        return 1.0
    v = X @ xp.ones((n,), dtype=X.dtype, device=X.device) + X[:, 0]
    size = 0.0
    for _ in range(8):
        length = scalar(xp.linalg.vector_norm(v))
        if length == 0:
            break
        v = X @ (X.T @ (v / length))
        size = scalar(xp.linalg.vector_norm(v))
    return max(size / (2 * n) * 1.05, 1e-30)


def burst(
    problem: Problem, W: Array, Z: Array, b: Array, fit: Fit, gradient: Array, step: float, safe: float
) -> tuple[Array, Array, float, int]:
    """A few steps of FISTA with fixed intercept; the step length adapts to the local curvature.

    A step is accepted where the Bregman distance of the data term is below that of the quadratic model.
    """
    xp, datafit, penalty = problem.xp, problem.datafit, problem.penalty
    low = problem.low
    W, Y, ZY, theta = low(W), low(W), Z, 1.0
    for i in range(BURST):
        if i:
            fit = datafit.evaluate(ZY, b, problem.Y, xp)
            gradient = problem.gradient(fit.residual)
        step *= 1.2
        while True:
            V = penalty.prox(Y - step * gradient, step * problem.lam, xp)
            D = V - Y
            dZ = problem.predict(D)
            model = scalar(xp.sum(D * D)) / (2 * step)
            if step <= safe or datafit.bregman(fit, dZ, xp) <= model * (1 + 1e-4) + 1e-14:
                break
            step = max(step * 0.6, safe)
        moved, ZV = V - W, ZY + dZ
        if scalar(xp.sum((Y - V) * moved)) > 0:  # momentum points uphill: restart it
            theta, beta = 1.0, 0.0
        else:
            grown = (1 + math.sqrt(1 + 4 * theta * theta)) / 2
            theta, beta = grown, (theta - 1) / grown
        Y, ZY = V + beta * moved, ZV + beta * (ZV - Z)
        W, Z = V, ZV
    return xp.astype(W, xp.float64), Z, step, BURST


def newton(problem: Problem, W: Array, Z: Array, b: Array, tol: float) -> tuple[Array, Array, Array, int]:
    """A few damped Newton steps on the rows of W that are not zero, and b; a row that crosses 0 is dropped."""
    xp, penalty, lam = problem.xp, problem.penalty, problem.lam
    A = support(W, xp)
    if A.shape[0] == 0:
        return W, b, Z, 0
    small, WA, steps = problem.rows(A), xp.take(W, A, axis=0), 0
    for _ in range(3):
        fit = problem.datafit.evaluate(Z, b, problem.Y, xp)
        direction = NewtonSystem(small, WA, fit).direction()
        steps += 1
        before = penalty.value(WA, lam, xp)
        t, accepted = 1.0, False
        for _ in range(12):
            trial = WA + t * direction.W
            crossed = xp.linalg.vecdot(trial, WA) <= 0
            trial = xp.where(crossed[:, None], 0.0, trial)
            dZ = small.predict(trial - WA) + t * direction.b
            change = scalar(xp.sum(fit.residual * dZ)) + problem.datafit.bregman(fit, dZ, xp)
            change += penalty.value(trial, lam, xp) - before
            if change < -1e-5 * t * direction.decrease:
                accepted = True
                break
            t /= 2
        if not accepted:
            break
        b = b + t * direction.b
        Z, WA = Z + dZ - t * direction.b, trial
        alive = xp.nonzero(~crossed)[0]
        any_crossed = alive.shape[0] < A.shape[0]
        if any_crossed:
            A, WA, small = xp.take(A, alive), xp.take(WA, alive, axis=0), small.rows(alive)
        if any_crossed or A.shape[0] == 0 or direction.decrease < 0.05 * tol * (fit.value + before):
            break
    return scatter_rows(WA, A, W.shape[0], xp), b, Z, steps


@dataclass(frozen=True)
class Direction:
    """A Newton direction in W and b, and the decrease -<gradient, direction> it promises to first order."""

    W: Array
    b: Array
    decrease: float


class NewtonSystem:
    """The Newton system on a support, intercept included, solved by preconditioned CG.

    The intercept is one more row of X, all ones, and has no penalty. The preconditioner is one matrix shared by all
    classes, X diag(w) Xᵀ + diag(λ / ||W_j||), with w the mean diagonal of each row's Hessian.
    """

    def __init__(self, problem: Problem, W: Array, fit: Fit) -> None:
        xp = self.xp = problem.xp
        X = problem.X
        self.problem = problem
        self.X1 = xp.concat([X, xp.ones((1, X.shape[1]), dtype=X.dtype, device=X.device)])
        self.mean = problem.low(fit.mean)
        local = problem.penalty.local(problem.low(W), problem.lam, xp)
        self.local = local
        self.gradient = self._with_b(
            problem.gradient(fit.residual) + local.gradient, problem.low(xp.sum(fit.residual, axis=0))
        )
        self.inverse = self._preconditioner(fit, local)

    def _with_b(self, top: Array, bottom: Array) -> Array:
        return self.xp.concat([top, bottom[None, :]])

    def _preconditioner(self, fit: Fit, local: LocalModel) -> Array:
        xp = self.xp
        w = self.problem.low(self.problem.datafit.weights(fit.mean, xp))
        H = (self.X1 * w) @ self.X1.T
        C = fit.mean.shape[1]
        diagonal = self.xp.concat([local.weight[:, 0] * (1 - 1 / C), xp.zeros_like(local.weight[:1, 0])])
        ridge = 1e-6 * scalar(xp.mean(xp.linalg.diagonal(H)))
        H = H + xp.eye(H.shape[0], dtype=H.dtype, device=H.device) * (diagonal + ridge)[:, None]
        return spd_inverse(H, xp)

    def apply(self, V: Array) -> Array:
        """Hessian of the objective times V (m + 1, C)."""
        out = self.X1 @ self.problem.datafit.hessian(self.mean, self.X1.T @ V, self.xp)
        out[:-1, :] += self.local.hessian(V[:-1, :], self.xp)
        return out

    def direction(self, max_iterations: int = 150) -> Direction:
        """Solve H d = -g until the residual has fallen by FORCING in the preconditioner's norm."""
        xp = self.xp
        r = -self.gradient
        x = xp.zeros_like(r)
        z = self.inverse @ r
        p = z
        rz = start = scalar(xp.sum(r * z))
        for _ in range(max_iterations):
            h = self.apply(p)
            curvature = scalar(xp.sum(p * h))
            if curvature <= 0:
                break
            a = rz / curvature
            x = x + a * p
            r = r - a * h
            z = self.inverse @ r
            rz, last = scalar(xp.sum(r * z)), rz
            if rz <= FORCING**2 * start:
                break
            p = z + (rz / last) * p
        decrease = -scalar(xp.sum(self.gradient * x))
        x = xp.astype(x, xp.float64)
        return Direction(x[:-1, :], x[-1, :], decrease)
