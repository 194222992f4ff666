"""The inner solver: one working set of one row set, from a warm start to a duality gap.

FISTA steps find the support, Newton steps solve on it. Neither would do alone: proximal gradient needs hundreds of
steps, because features of one network are strongly correlated; Newton cannot know which rows of W are zero.
"""

import math
from dataclasses import dataclass

from head2toe.select.compute.arrays import Array
from head2toe.select.lockstep.rules import FEW_STEPS, FLOAT32_GAP, MANY_STEPS, MOST_ROUNDS, PATIENCE
from head2toe.select.objective.datafits import Fit
from head2toe.select.objective.problem import DualPoint, Problem, best_dual, scatter_rows
from head2toe.select.solver.fista import FistaResult, fista_steps, smoothness
from head2toe.select.solver.newton import newton_step

MOST_IN_FLOAT64 = 1 << 26  # features times rows that are worth another copy, and of twice the size


@dataclass(frozen=True)
class InnerSolution:
    """The solution of a small problem, with its certificate on the features of the problem.

    Attributes
    ----------
    W : array of float64 (p, C)
    b : array of float64 (C,)
        The exact intercept for W.
    fit : Fit
        The data term there.
    dual : DualPoint
        The best dual point that was met.
    objective : float
        F + λΩ.
    gap : float
        Duality gap / objective.
    iterations : int
        FISTA and Newton steps.
    step : float
        The last step length of FISTA, to begin the next problem with.
    """

    W: Array
    b: Array
    fit: Fit
    dual: DualPoint
    objective: float
    gap: float
    iterations: int
    step: float


def solve(
    problem: Problem, W: Array, b: Array, tol: float, *, residual: Array, step: float | None = None
) -> InnerSolution:
    """Solve a small problem to a relative duality gap of `tol`, or as far as it goes.

    Parameters
    ----------
    problem : Problem
        In float32; it is taken up to float64 where that stalls or `tol` needs it.
    W, b : array of float64 (p, C), (C,)
        The warm start.
    tol : float
        Relative duality gap on the features of the problem.
    residual : array of float64 (n, C)
        A known dual point with zero column sums, which may still be better than that of W.
    step : float, optional
        A step length of FISTA to begin with.

    Returns
    -------
    InnerSolution
    """
    xp = problem.xp
    shortest = 1.0 / smoothness(problem)
    step = max(step or shortest, shortest)
    dual = best_dual(problem, None, residual, problem.gradient(residual))
    Z, iterations, stalled, least = problem.predict(W), 0, 0, math.inf
    for round_ in range(MOST_ROUNDS + 1):
        b, fit = problem.evaluate(Z, b)
        gradient = problem.gradient(fit.residual)
        dual = best_dual(problem, dual, fit.residual, gradient)
        objective = fit.value + problem.penalty.value(W, problem.lam, xp)
        gap = max(objective - dual.value, 0.0) / max(objective, 1e-300)
        if gap <= tol or round_ == MOST_ROUNDS:
            break
        stalled, least = (0, gap) if gap < 0.95 * least else (stalled + 1, least)
        fits = math.prod(problem.X.shape) <= MOST_IN_FLOAT64
        if fits and problem.X.dtype == xp.float32 and (gap <= FLOAT32_GAP or stalled >= PATIENCE):
            problem, stalled = problem.in_float64(), 0
            dual = best_dual(problem, None, dual.residual, problem.gradient(dual.residual))
            Z = problem.predict(W)
            b, fit = problem.evaluate(Z, b)
            gradient = problem.gradient(fit.residual)
        elif stalled >= 3 * PATIENCE:
            break
        if round_ or not problem.support(W).shape[0]:
            # (The first round leaves a warm start's support alone: Newton moves it to the new λ first.)
            result, steps = _find_support(problem, W, Z, b, fit, gradient, step, shortest)
            W, Z, step = result.W, result.Z, result.step
            fit = problem.datafit.evaluate(Z, b, problem.Y, xp)
            iterations += steps
        W, Z, b = newton_step(problem, W, Z, b, fit)
        iterations += 1
    return InnerSolution(W, b, fit, dual, objective, gap, iterations, step)


def _find_support(
    problem: Problem, W: Array, Z: Array, b: Array, fit: Fit, gradient: Array, step: float, shortest: float
) -> tuple[FistaResult, int]:
    """Take FISTA steps on the rows that are not zero or may become so, for all rows of W; and how many they were."""
    xp, penalty = problem.xp, problem.penalty
    near = xp.nonzero(penalty.alive(W, xp) | (problem.norms(gradient) > problem.lam))[0]
    steps = MANY_STEPS if near.shape[0] > 1.1 * problem.support(W).shape[0] else FEW_STEPS
    W_near, gradient_near = xp.take(W, near, axis=0), xp.take(gradient, near, axis=0)
    result = fista_steps(problem.rows(near), W_near, Z, b, fit, gradient_near, step, shortest, steps)
    return FistaResult(scatter_rows(result.W, near, W.shape[0], xp), result.Z, result.step), steps
