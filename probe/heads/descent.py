"""How a logistic head gets from one strength of the penalty to the next: its objective, and two ways down.

A processor takes L-BFGS with a diagonal preconditioner. Scikit-learn and SciPy have it without one, and for one problem
at a time. Here a step costs one product with the data forward and one back, and what was learned of the curvature is
kept from one strength to the next: the change of the gradient over a step changes by (new - old ridge) * step, exactly.

A GPU, where every step is asked for by a dozen launches and a wait costs as much as three, takes Newton steps, found by
conjugate gradients with the same preconditioner: such a step is two products, too, but ten launches and no wait, where
one of L-BFGS is sixty launches and one or two waits.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import array_api_compat
from head2toe.select.compute.arrays import Array
from head2toe.select.compute.kernels import (
    conjugate_direction,
    conjugate_step,
    expectations,
    inner_products,
    is_at_most,
    largest_in_units,
    masked_plus_product,
    minus_product,
    plus_product,
    positive_ratio,
    weighted_difference,
    weighted_squares,
    weighted_variances,
)
from head2toe.select.compute.softmax import log_softmax

MOST_STEPS = 5000
"""Steps after which a strength counts as not converged."""
MEMORY = 10
"""How many steps L-BFGS remembers."""
MOST_CG_STEPS = 500
"""Of conjugate gradients for one Newton step."""
FORCING = 0.2
"""The share of the gradient, in preconditioned units, that conjugate gradients leave of it."""
LEAST = 1e-8
"""The share of a residual's square at which a fold waits for the others: beyond it there is rounding, which grows."""
DAMPING = 100.0
"""Roundings of the preconditioner that are added to H."""
MOST_NEWTON_STEPS = 200
ROUNDING = 4.0
"""Roundings of the objective that are no change of it."""
FAR = 30.0
"""How far below zero, the others' mean, the intercept of a class without a training row is."""


class Objective(ABC):
    """The objective mean_i w_i CE_i + alpha/2 ||B||² of some folds, where theta = (B, b) and alpha = 1 / (C n).

    Inside, classes come before rows and coordinates, (folds, classes, ...): what runs over classes then vectorises.

    Parameters
    ----------
    xp : array namespace
    n : (folds, 1, 1) array
        Number of training rows of each fold.
    w : (folds, 1, rows) array
        Weights of the rows, which sum to 1.
    wY : (folds, classes, rows) array
        The same times one-hot labels.
    eigenvalues : (folds, 1, r) array
        Of the training rows' Gram matrix.
    """

    def __init__(self, xp: Any, n: Array, w: Array, wY: Array, eigenvalues: Array) -> None:
        self.xp, self.n, self.w, self.wY = xp, n, w, wY
        present = xp.sum(wY, axis=2, keepdims=True) > 0
        self.present = xp.astype(present, eigenvalues.dtype)  # (folds, classes, 1)
        one = xp.ones_like(eigenvalues[:, :, :1])
        self.curvature = xp.concat((eigenvalues / n, one), axis=2)  # of the rows, by coordinate
        self.penalised = xp.concat((xp.ones_like(eigenvalues), xp.zeros_like(one)), axis=2)

    @abstractmethod
    def scores(self, theta: Array) -> Array:
        """Scores (folds, classes, rows)."""

    @abstractmethod
    def pull(self, U: Array) -> Array:
        """What residuals U (folds, classes, rows) are to the weights: their gradient (folds, classes, r + 1)."""

    @abstractmethod
    def back(self, P: Array) -> Array:
        """Gradient of the loss (folds, classes, r + 1) where the rows have the probabilities P."""

    def start(self) -> Array:
        """All zero, but for the intercepts of absent classes, whose optimum is -inf: they would run there for ever."""
        return (self.present - 1) * FAR * (1 - self.penalised)

    def ridge(self, C: float | Array) -> Array:
        """Strength of the penalty: alpha for every weight and 0 for the intercept, (folds, 1, r + 1).

        C is one for all, or (folds, 1, 1).
        """
        return self.penalised / (C * self.n)

    def diagonal(self, P: Array, ridge: Array) -> Array:
        """A diagonal like that of the Hessian (folds, classes, r + 1), where the rows have the probabilities P."""
        # Mean of p(1-p): how curved the loss is here, for each fold and class.
        return self.curvature * weighted_variances(self.w, P, self.xp) + ridge + 1e-12

    def value(self, theta: Array, ridge: Array) -> tuple[Array, Array]:
        """Value per fold (folds, 1, 1) and log-probabilities of the rows (folds, classes, rows)."""
        logp = log_softmax(self.scores(theta), self.xp, axis=1)
        return 0.5 * weighted_squares(theta, ridge, self.xp) - inner_products(self.wY, logp, self.xp), logp

    def gradient(self, theta: Array, ridge: Array, P: Array) -> Array:
        """Gradient where the rows have the probabilities P; an absent class stays where it is."""
        return masked_plus_product(self.back(P), ridge, theta, self.present, self.xp)

    def hessian(self, V: Array, P: Array, wP: Array, ridge: Array) -> Array:
        """Hessian applied to V, where the rows have the probabilities P, and wP with their weights."""
        scores = self.scores(V)
        U = weighted_difference(wP, scores, expectations(P, scores, self.xp, axis=1), self.xp)
        return masked_plus_product(self.pull(U), ridge, V, self.present, self.xp)


@dataclass
class Curvature:
    """The last steps s of each problem, what they did to its gradient, y, and 1 / <s, y> (0 where there was no step).

    All arrays are (problems, classes, coordinates); sums over the last two axes are (problems, 1, 1).
    """

    xp: Any
    pairs: list[tuple[Array, Array, Array]] = field(default_factory=list)

    def add(self, step: Array, change: Array) -> None:
        """Learn from a step and the change of the gradient over it; the oldest step is forgotten."""
        sy = inner_products(step, change, self.xp)
        # Rounding alone makes this negative: the objective is strictly convex but for the intercepts.
        self.pairs = [*self.pairs, (step, change, positive_ratio(self.xp.ones_like(sy), sy, self.xp))][-MEMORY:]

    def shift(self, ridge: Array) -> None:
        """Account for an objective that has got 1/2 <theta, ridge * theta> more (or less) than it had."""
        pairs, self.pairs = self.pairs, []
        for step, change, _ in pairs:
            self.add(step, change + ridge * step)

    def solve(self, gradient: Array, precondition: Array) -> Array:
        """Multiply the gradient by H^-1, with H the BFGS matrix that starts as the diagonal `precondition`.

        Nocedal & Wright, Numerical Optimization (2006), algorithm 7.4 and eq. 7.20.
        """
        xp, z, shares = self.xp, gradient, []
        for step, change, rho in reversed(self.pairs):
            share = rho * inner_products(step, z, xp)
            z = minus_product(z, share, change, xp)
            shares.append(share)
        z = z / precondition
        if self.pairs:
            _, change, rho = self.pairs[-1]
            inverse = rho * inner_products(change, change / precondition, xp)
            z = z * xp.where(inverse > 0, 1 / xp.where(inverse > 0, inverse, 1.0), 1.0)
        for (step, change, rho), share in zip(self.pairs, reversed(shares), strict=True):
            z = plus_product(z, minus_product(share, rho, inner_products(change, z, xp), xp), step, xp)
        return z


def newton_direction(
    objective: Objective, gradient: Array, P: Array, ridge: Array, precondition: Array, tol: float
) -> Array:
    """Solve H d = -g of all folds by conjugate gradients, down to `FORCING` of the gradient or a third of `tol`.

    Parameters
    ----------
    objective : Objective
    gradient : (folds, classes, r + 1) array
        g; zero for a fold that is done, whose direction is zero then.
    P : (folds, classes, rows) array
        Probabilities of the rows.
    ridge : (folds, 1, r + 1) array
        Of the penalty.
    precondition : (folds, classes, r + 1) array
        A diagonal like that of H.
    tol : float
        What the largest entry of the gradient has to reach in preconditioned units.
    """
    xp, wP, inverse = objective.xp, objective.w * P, 1 / precondition
    goal = FORCING * largest_in_units(gradient, precondition, xp)
    goal = xp.where(goal > tol / 3, goal, tol / 3)
    r, x = -gradient, xp.zeros_like(gradient)
    p, rz, next_look = inverse * r, weighted_squares(r, inverse, xp), 4
    least = LEAST * rz
    # Softmax does not see a shift of the intercepts: along it H is zero, and what rounding makes of it may be anything.
    ridge = ridge + DAMPING * float(xp.finfo(gradient.dtype).eps) * precondition
    for number in range(1, MOST_CG_STEPS + 1):
        h = objective.hessian(p, P, wP, ridge)
        x, r = conjugate_step(x, r, p, h, rz, inner_products(p, h, xp), least, xp)
        if number == next_look:  # a wait: the longer it took, the less does it matter to take some steps more
            if bool(xp.all(largest_in_units(r, precondition, xp) <= goal)):
                break
            next_look += max(4, number // 4)
        rz, last = weighted_squares(r, inverse, xp), rz
        p = conjugate_direction(inverse, r, rz, last, p, xp)
    return x


class StrengthPath:
    """The minimisers `theta` of an objective, from one strength to the next.

    C is a share of `unit`, which is 1 or (folds, 1, 1): of each fold another strength.
    """

    def __init__(self, objective: Objective, unit: float | Array = 1.0) -> None:
        self.objective, self.xp, self.unit = objective, objective.xp, unit
        self.theta = objective.start()
        self.known: list[tuple[float, Array]] = []  # log C and theta of the last two strengths
        self.learned, self.last_ridge = Curvature(self.xp), objective.ridge(math.inf)

    def advance(self, C: float, tol: float, most_steps: int) -> bool:
        """Go to the next strength; return whether the tolerance was reached in all folds."""
        ridge, start = self.objective.ridge(C * self.unit), self.theta
        if len(self.known) == 2:
            (before, first), (now, second) = self.known
            # Along log C the solutions lie on a smooth curve.
            ahead = min(1.0, (math.log(C) - now) / (now - before)) if now > before else 0.0
            start = second + ahead * (second - first)
        by_lbfgs = array_api_compat.is_numpy_namespace(self.xp)
        descend = self._by_lbfgs if by_lbfgs else self._by_newton
        self.theta, converged = descend(start, ridge, tol, most_steps)
        self.known = [*self.known, (math.log(C), self.theta)][-2:]
        return converged

    def _by_lbfgs(self, theta: Array, ridge: Array, tol: float, most_steps: int) -> tuple[Array, bool]:
        """L-BFGS with backtracking, all folds in lockstep; a fold that is done takes no steps."""
        xp, objective = self.xp, self.objective
        self.learned.shift(ridge - self.last_ridge)
        self.last_ridge = ridge
        value, logp = objective.value(theta, ridge)
        P = xp.exp(logp)
        gradient = objective.gradient(theta, ridge, P)
        precondition = objective.diagonal(P, ridge)
        stuck = None
        for _ in range(most_steps):
            live = largest_in_units(gradient, precondition, xp) > tol
            live = live if stuck is None else live & ~stuck
            if not bool(xp.any(live)):
                return theta, stuck is None
            step = self.learned.solve(gradient, precondition) * -xp.astype(live, theta.dtype)
            step, theta, value, logp, failed = self._backtrack(theta, step, gradient, ridge, value)
            if failed is not None:
                stuck = failed if stuck is None else stuck | failed
            old, gradient = gradient, objective.gradient(theta, ridge, xp.exp(logp))
            self.learned.add(step, gradient - old)
        return theta, False

    def _by_newton(self, theta: Array, ridge: Array, tol: float, most_steps: int) -> tuple[Array, bool]:
        """Newton steps with backtracking, all folds in lockstep; a fold that is done takes no steps."""
        xp, objective = self.xp, self.objective
        value, logp = objective.value(theta, ridge)
        rounding = ROUNDING * float(xp.finfo(value.dtype).eps)
        size, lower = xp.full_like(value, xp.inf), value < xp.inf
        stuck = ~lower
        for _ in range(min(most_steps, MOST_NEWTON_STEPS)):
            P = xp.exp(logp)
            gradient = objective.gradient(theta, ridge, P)
            precondition = objective.diagonal(P, ridge)
            size, before = largest_in_units(gradient, precondition, xp), size
            stuck = stuck | ((size > 0.5 * before) & ~lower)
            live = (size > tol) & ~stuck
            if not bool(xp.any(live)):
                break
            wanted = gradient * xp.astype(live, theta.dtype)
            step = newton_direction(objective, wanted, P, ridge, precondition, tol)
            old = value
            _, theta, value, logp, failed = self._backtrack(theta, step, gradient, ridge, value)
            lower = value < old - rounding * xp.abs(old)
            stuck = stuck if failed is None else stuck | failed
        return theta, not bool(xp.any(size > tol))

    def _backtrack(
        self, theta: Array, step: Array, gradient: Array, ridge: Array, value: Array
    ) -> tuple[Array, Array, Array, Array, Array | None]:
        """Halve the step of each fold until it brings a tenth of the decrease that its slope promises.

        Returns the step, where it leads to, and value and log-probabilities there; then of which folds no step did,
        (folds, 1, 1) bool: they stay. None if there are none.
        """
        xp = self.xp
        slope = inner_products(gradient, step, xp)
        rounding = ROUNDING * xp.finfo(value.dtype).eps
        for _ in range(20):
            there = theta + step
            new_value, logp = self.objective.value(there, ridge)
            # Rounding of the objective itself must not read as a failure to decrease.
            enough = is_at_most(new_value, value, slope, 0.1, rounding, xp)
            if bool(xp.all(enough)):
                return step, there, new_value, logp, None
            shrink = xp.where(enough, xp.ones_like(value), 0.5 * xp.ones_like(value))
            step, slope = step * shrink, slope * shrink
        step = step * xp.astype(enough, step.dtype)
        return step, theta + step, *self.objective.value(theta + step, ridge), ~enough
