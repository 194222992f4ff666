"""The inner solver for all problems of a stack, from warm starts to duality gaps: see `solver/inner_solver.py`.

Forty small operations are asked of a GPU for a step of one problem, and as many for a step of all of them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from head2toe.select.compute.arrays import Array, to_numpy
from head2toe.select.lockstep.chosen_rows import ChosenRows
from head2toe.select.lockstep.newton import newton_step
from head2toe.select.lockstep.proximal import fista_steps, smoothness
from head2toe.select.lockstep.rules import FEW_STEPS, FLOAT32_GAP, MANY_STEPS, MOST_ROUNDS, PATIENCE
from head2toe.select.lockstep.stack import Stack, StackedDual, StackedFit


@dataclass(frozen=True)
class StackedSolution:
    """The solutions of K problems, with their certificates on their own features.

    Attributes
    ----------
    W, b : array of float64 (K, p, C), (K, 1, C)
        Weights, and the exact intercepts for them.
    fit : StackedFit
        The data terms there.
    dual : StackedDual
        The best dual points that were met.
    objective, gap : ndarray of float64 (K,)
        F + λΩ, and the duality gap as a share of it.
    iterations : int
        FISTA and Newton steps.
    step : ndarray of float64 (K,)
        The last step lengths of FISTA.
    """

    W: Array
    b: Array
    fit: StackedFit
    dual: StackedDual
    objective: np.ndarray
    gap: np.ndarray
    iterations: int
    step: np.ndarray


@dataclass(frozen=True)
class _Round:
    """What is known of all problems at the beginning of a round."""

    gradient: Array
    dual: StackedDual
    near: Array
    alive: Array


def solve(stack: Stack, W: Array, b: Array, tol: np.ndarray, *, residual: Array, step: np.ndarray) -> StackedSolution:
    """Solve K small problems to relative duality gaps of `tol`, as far as float32 goes.

    Parameters
    ----------
    stack : Stack
    W, b : array of float64 (K, p, C), (K, 1, C)
        The warm starts.
    tol : ndarray of float64 (K,)
        Relative duality gaps on the features of each problem.
    residual : array of float64 (K, n, C)
        Known dual points with zero column sums, which may still be better than those of W.
    step : ndarray of float64 (K,)
        Step lengths of FISTA to begin with; 0 where none is known.

    Returns
    -------
    StackedSolution
        Of a problem whose gap is above its tolerance float64 would be needed, or more rounds.
    """
    xp = stack.xp
    shortest = 1 / smoothness(stack)
    length = xp.maximum(xp.asarray(step[:, None, None], device=W.device), shortest)
    dual = stack.dual_point(residual, stack.gradient(residual))
    Z, iterations, progress = stack.predict(W), 0, _Progress(tol)
    for number in range(MOST_ROUNDS + 1):
        b, fit = stack.with_intercept(Z, b)
        now = _looked_at(stack, W, fit, dual)
        dual, objective = now.dual, fit.value + stack.penalty(W)
        values = to_numpy(xp.concat((objective, objective - dual.value, *_counts(now, xp)), axis=1))[:, :, 0]
        live = progress.judge(values[:, 0], values[:, 1])
        if not live.any() or number == MOST_ROUNDS:
            break
        going = xp.asarray(live[:, None, None], device=W.device)
        near, support = int(values[:, 2].max()), int(values[:, 3].max())
        before = W, Z, b
        if near and (number or not support):
            # (The first round leaves a warm start's support alone: Newton moves it to the new λ first.)
            steps = MANY_STEPS if (values[:, 2] > 1.1 * values[:, 3])[live].any() else FEW_STEPS
            rows = ChosenRows.of(now.near, near, xp)
            start = rows.take(W), Z, b, fit, rows.take(now.gradient)
            found, Z, length = fista_steps(rows.of_stack(stack), *start, length, shortest, steps)
            W, fit, iterations = rows.put_back(found), stack.evaluate(Z, b), iterations + steps
        W, Z, b = _newton(stack, W, Z, b, fit)
        W, Z, b = (xp.where(going, new, old) for new, old in zip((W, Z, b), before, strict=True))
        iterations += 1
    return StackedSolution(W, b, fit, dual, values[:, 0], progress.gap, iterations, to_numpy(length)[:, 0, 0])


def _looked_at(stack: Stack, W: Array, fit: StackedFit, known: StackedDual) -> _Round:
    """Find the best dual points among those known, the residuals and mixtures of both, and the rows that may matter."""
    xp, gradient = stack.xp, stack.gradient(fit.residual)
    newest = stack.dual_point(fit.residual, gradient)
    alive = xp.any(W != 0, axis=2)
    near = alive | (newest.norms > stack.low(stack.lam)[:, :, 0])
    return _Round(gradient, known.improved(newest, stack), near, alive)


def _counts(now: _Round, xp: Any) -> tuple[Array, Array]:
    """Return how many rows are near, and how many are not zero: (K, 1, 1) float64 each."""
    near, alive = (xp.sum(xp.astype(mask, xp.float64), axis=1) for mask in (now.near, now.alive))
    return near[:, None, None], alive[:, None, None]


def _newton(stack: Stack, W: Array, Z: Array, b: Array, fit: StackedFit) -> tuple[Array, Array, Array]:
    """Take a Newton step on the supports, if there are any."""
    xp = stack.xp
    alive = xp.any(W != 0, axis=2)
    most = int(xp.max(xp.sum(xp.astype(alive, xp.int64), axis=1)))
    return newton_step(stack, W, Z, b, fit, ChosenRows.of(alive, most, xp)) if most else (W, Z, b)


class _Progress:
    """Which problems go on, and how near each has come.

    Parameters
    ----------
    tol : ndarray of float64 (K,)
        Relative duality gaps to reach.

    Attributes
    ----------
    gap : ndarray of float64 (K,)
        The gaps reached.
    """

    def __init__(self, tol: np.ndarray) -> None:
        self._tol = tol
        self._least, self._stalled = np.full(len(tol), np.inf), np.zeros(len(tol), int)
        self.gap = self._least

    def judge(self, objective: np.ndarray, difference: np.ndarray) -> np.ndarray:
        """Take in the objectives, and by how much they are above the duals; return which problems go on (K,) bool."""
        self.gap = np.maximum(difference, 0) / np.maximum(objective, 1e-300)
        better = self.gap < 0.95 * self._least
        self._least = np.where(better, self.gap, self._least)
        self._stalled = np.where(better, 0, self._stalled + 1)
        goes_on: np.ndarray = (self.gap > np.maximum(self._tol, FLOAT32_GAP)) & (self._stalled < PATIENCE)
        return goes_on
