"""Accelerated proximal gradient (FISTA) in short bursts: slow to converge, quick to find which rows of W are zero."""

import math
from dataclasses import dataclass

from head2toe.select.compute.arrays import Array, scalar
from head2toe.select.objective.datafits import Fit
from head2toe.select.objective.problem import Problem

LONG, SHORT = 10, 3  # steps of a burst while the support still moves, and once it hardly does
LONGER, SHORTER = 1.2, 0.6  # the step length is tried so much longer every time, and shortened so where refused


@dataclass(frozen=True)
class Burst:
    """Where a burst ended: W, its predictions Z = XᵀW, and the step length it found."""

    W: Array
    Z: Array
    step: float


def smoothness(problem: Problem) -> float:
    """Lipschitz constant of the data term's gradient in W, with ||X||² from eight power iterations.

    Where they begin across the leading direction, they find too little: no less than the longest row counts.
    """
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
    longest = scalar(xp.max(xp.linalg.vecdot(X, X)))
    return max(max(1.05 * size, longest) * problem.datafit.curvature / n, 1e-30)


def burst(
    problem: Problem, W: Array, Z: Array, b: Array, fit: Fit, gradient: Array, step: float, shortest: float, steps: int
) -> Burst:
    """Take a few FISTA steps at fixed intercept, with restarts and a step length that follows the local curvature.

    A step is accepted where the Bregman distance of the data term stays below ||D||² / 2t, D the change of W: that is
    the descent lemma without the cancellation of two losses. `shortest` nearly always is, and is tried before any
    shorter one.
    """
    xp, datafit, penalty = problem.xp, problem.datafit, problem.penalty
    W = Y = problem.low(W)
    Z_Y, theta = Z, 1.0
    for i in range(steps):
        if i:
            fit = datafit.evaluate(Z_Y, b, problem.Y, xp)
            gradient = problem.gradient(fit.residual)
        step *= LONGER
        while True:
            V = penalty.prox(Y - step * gradient, step * problem.lam, xp)
            D = V - Y
            dZ = problem.predict(D)
            bound = scalar(xp.sum(D * D)) / (2 * step)
            if not datafit.bregman(fit, dZ, xp) > bound * (1 + 1e-4) + 1e-14:  # (so that NaN ends it, too)
                break
            step = max(step * SHORTER, shortest) if step > shortest else step * SHORTER
        Z_V, moved = Z_Y + dZ, V - W
        if scalar(xp.sum(D * moved)) < 0:  # the momentum points uphill (O'Donoghue & Candès 2015)
            theta, beta = 1.0, 0.0
        else:
            last, theta = theta, (1 + math.sqrt(1 + 4 * theta * theta)) / 2
            beta = (last - 1) / theta
        Y, Z_Y = V + beta * moved, Z_V + beta * (Z_V - Z)
        W, Z = V, Z_V
    return Burst(xp.astype(W, xp.float64), Z, step)
