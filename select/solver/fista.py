"""Accelerated proximal gradient (FISTA; Beck & Teboulle 2009), a few steps at a time.

It converges slowly, but quickly finds which rows of W are zero.
"""

import math
from dataclasses import dataclass

from head2toe.select.compute.arrays import Array, scalar
from head2toe.select.lockstep.rules import GROWTH, SHRINKAGE
from head2toe.select.objective.datafits import Fit
from head2toe.select.objective.problem import Problem


@dataclass(frozen=True)
class FistaResult:
    """The iterate after some steps.

    Attributes
    ----------
    W : array of float64 (p, C)
    Z : array of float64 (n, C)
        XᵀW.
    step : float
        The last step length.
    """

    W: Array
    Z: Array
    step: float


def smoothness(problem: Problem) -> float:
    """Estimate the Lipschitz constant of the data term's gradient in W, with ||X||² from eight power iterations.

    Power iterations that begin orthogonal to the leading direction give too small a value. The squared length of the
    longest row of X is a lower bound of it.
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
    squared_norm = max(1.05 * size, longest)
    return max(squared_norm * float(problem.datafit.curvature) / float(n), 1e-30)


def fista_steps(
    problem: Problem, W: Array, Z: Array, b: Array, fit: Fit, gradient: Array, step: float, shortest: float, steps: int
) -> FistaResult:
    """Take some FISTA steps at fixed intercept, with restarts and a step length that follows the local curvature.

    A step is accepted where the Bregman distance of the data term stays below ||D||² / 2t, with D the change of W and t
    the step length: the descent lemma, without the cancellation of two losses.

    Parameters
    ----------
    problem : Problem
        p features, n rows.
    W, Z, b : array (p, C), (n, C), (C,)
        The start, its predictions XᵀW, and the intercept.
    fit : Fit
        The data term there.
    gradient : array (p, C)
        XG there.
    step : float
        The step length to begin with.
    shortest : float
        A step length that is nearly always accepted (1 / `smoothness`); it is tried before any shorter one.
    steps : int
        How many steps to take.

    Returns
    -------
    FistaResult
    """
    xp, datafit, penalty = problem.xp, problem.datafit, problem.penalty
    W = Y = problem.low(W)
    Z_Y, theta = Z, 1.0
    for i in range(steps):
        if i:
            fit = datafit.evaluate(Z_Y, b, problem.Y, xp)
            gradient = problem.gradient(fit.residual)
        step *= GROWTH
        while True:
            V = penalty.prox(Y - step * gradient, step * problem.lam, xp)
            D = V - Y
            dZ = problem.predict(D)
            bound = scalar(xp.sum(D * D)) / (2 * step)
            if not datafit.bregman(fit, dZ, xp) > bound * (1 + 1e-4) + 1e-14:  # (NaN ends the loop, too)
                break
            step = max(step * SHRINKAGE, shortest) if step > shortest else step * SHRINKAGE
        Z_V, moved = Z_Y + dZ, V - W
        if scalar(xp.sum(D * moved)) < 0:  # the momentum points uphill (O'Donoghue & Candès 2015)
            theta, beta = 1.0, 0.0
        else:
            last, theta = theta, (1 + math.sqrt(1 + 4 * theta * theta)) / 2
            beta = (last - 1) / theta
        Y, Z_Y = V + beta * moved, Z_V + beta * (Z_V - Z)
        W, Z = V, Z_V
    return FistaResult(xp.astype(W, xp.float64), Z, step)
