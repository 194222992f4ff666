"""The inner solver: one working set of one row set, from a warm start to a duality gap.

Bursts of proximal gradient find the support, Newton steps solve on it. Neither would do alone: proximal gradient needs
hundreds of steps, because features of one network are strongly correlated; Newton can't know which rows of W are zero.
"""

import math
from dataclasses import dataclass

from head2toe.select.compute.arrays import Array
from head2toe.select.objective.datafits import Fit
from head2toe.select.objective.problem import DualPoint, Problem, best_dual, scatter_rows
from head2toe.select.solver.fista import LONG, SHORT, burst, smoothness
from head2toe.select.solver.newton import newton_step

MOST_ROUNDS = 60
FLOAT32_GAP = 1e-4  # below this relative gap, rounding in float32 products shows
PATIENCE = 6  # rounds without progress before rounding is blamed, too


@dataclass(frozen=True)
class Inner:
    """Where the inner solver ended, with its certificate on the working set."""

    W: Array  # (p, C) float64
    b: Array  # (C,) float64, exact for W
    fit: Fit
    dual: DualPoint
    objective: float
    gap: float  # relative to the objective
    iterations: int
    step: float  # of the proximal gradient, a start for the next problem


def solve(problem: Problem, W: Array, b: Array, tol: float, *, residual: Array, step: float | None = None) -> Inner:
    """Solve a small problem to a relative duality gap of `tol`, or as far as it goes.

    Parameters
    ----------
    problem
        In float32; it is taken up to float64 where that stalls or `tol` needs it.
    W, b
        The warm start (p, C), (C,) in float64.
    tol
        Relative duality gap on the features of the problem.
    residual
        A dual point known from before (n, C), zero column sums, that may still be better than the one of W.
    step
        A step length of the proximal gradient to begin with.
    """
    xp, penalty = problem.xp, problem.penalty
    shortest = 1.0 / smoothness(problem)
    step = max(step or shortest, shortest)
    dual = best_dual(problem, None, residual, problem.gradient(residual))
    Z, iterations, stalled, least = problem.predict(W), 0, 0, math.inf
    for round_ in range(MOST_ROUNDS + 1):
        b, fit = problem.evaluate(Z, b)
        gradient = problem.gradient(fit.residual)
        dual = best_dual(problem, dual, fit.residual, gradient)
        objective = fit.value + penalty.value(W, problem.lam, xp)
        gap = max(objective - dual.value, 0.0) / max(objective, 1e-300)
        if gap <= tol or round_ == MOST_ROUNDS:
            break
        stalled, least = (0, gap) if gap < 0.95 * least else (stalled + 1, least)
        if problem.X.dtype == xp.float32 and (gap <= FLOAT32_GAP or stalled >= PATIENCE):
            problem, stalled = problem.in_float64(), 0
            dual = best_dual(problem, None, dual.residual, problem.gradient(dual.residual))
            Z = problem.predict(W)
            b, fit = problem.evaluate(Z, b)
            gradient = problem.gradient(fit.residual)
        elif stalled >= 3 * PATIENCE:
            break
        if round_ or not problem.support(W).shape[0]:
            # (The first round leaves a warm start's support alone: Newton moves it to the new λ first.)
            near = xp.nonzero(penalty.alive(W, xp) | (problem.norms(gradient) > problem.lam))[0]
            W_near, g_near = xp.take(W, near, axis=0), xp.take(gradient, near, axis=0)
            held = problem.support(W).shape[0]
            steps = LONG if near.shape[0] > 1.1 * held else SHORT  # few rows are left that may enter or leave
            end = burst(problem.rows(near), W_near, Z, b, fit, g_near, step, shortest, steps)
            W, Z, step = scatter_rows(end.W, near, W.shape[0], xp), end.Z, end.step
            fit = problem.datafit.evaluate(Z, b, problem.Y, xp)
            iterations += steps
        W, Z, b = newton_step(problem, W, Z, b, fit)
        iterations += 1
    return Inner(W, b, fit, dual, objective, gap, iterations, step)
