"""How a logistic head gets from one strength of the penalty to the next: two ways down its objective.

A processor takes L-BFGS with a diagonal preconditioner. Scikit-learn and SciPy have it without one, and for one problem
at a time. Here a step costs one product with the data forward and one back, and what was learned of the curvature is
kept from one strength to the next: the change of the gradient over a step changes by (new - old ridge) * step, exactly.

A GPU, where every step is asked for by a dozen launches and a wait costs as much as three, takes Newton steps, found by
conjugate gradients with the same preconditioner: such a step is two products, too, but ten launches and no wait, where
one of L-BFGS is sixty launches and one or two waits.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import array_api_compat
from head2toe.probe.heads.objective import Objective
from head2toe.select.compute.arrays import Array, to_numpy_at_once
from head2toe.select.compute.kernels import (
    conjugate_direction,
    conjugate_step,
    inner_products,
    is_at_most,
    largest_in_units,
    minus_product,
    plus_product,
    positive_ratio,
    weighted_squares,
)

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


@dataclass(frozen=True)
class _Point:
    """Weights of all folds, and what a Newton step from there needs.

    Attributes
    ----------
    xp : array namespace
    theta, gradient, precondition : (folds, classes, r + 1) arrays
    P : (folds, classes, rows) array
        Probabilities of the rows.
    value, size : (folds, 1, 1) arrays
        Of the objective, and the largest entry of its gradient in preconditioned units.
    """

    xp: Any
    theta: Array
    value: Array
    P: Array
    gradient: Array
    precondition: Array
    size: Array

    @classmethod
    def of(cls, objective: Objective, theta: Array, ridge: Array) -> "_Point":
        xp = objective.xp
        value, logp = objective.value(theta, ridge)
        P = xp.exp(logp)
        gradient, precondition = objective.gradient(theta, ridge, P), objective.diagonal(P, ridge)
        return cls(xp, theta, value, P, gradient, precondition, largest_in_units(gradient, precondition, xp))

    def is_no_nearer(self, before: "_Point") -> Array:
        """Whether neither the gradient nor the value is less than it was, by more than rounding."""
        rounding = ROUNDING * float(self.xp.finfo(self.value.dtype).eps)
        lower = self.value < before.value - rounding * self.xp.abs(before.value)
        return (self.size > 0.5 * before.size) & ~lower


def _is_enough_below(new: Array, old: Array, slope: Array, xp: Any) -> Array:
    """Whether a step brings a tenth of the decrease that its slope promises, but for rounding of the objective."""
    return is_at_most(new, old, slope, 0.1, ROUNDING * float(xp.finfo(new.dtype).eps), xp)


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
        here = _Point.of(objective, theta, ridge)
        stuck = ~(here.value < math.inf)
        live = (here.size > tol) & ~stuck
        more = bool(xp.any(live))
        for _ in range(min(most_steps, MOST_NEWTON_STEPS)):
            if not more:
                break
            wanted = here.gradient * xp.astype(live, theta.dtype)
            step = newton_direction(objective, wanted, here.P, ridge, here.precondition, tol)
            there = _Point.of(objective, here.theta + step, ridge)
            enough = _is_enough_below(there.value, here.value, inner_products(here.gradient, step, xp), xp)
            stuck_there = stuck | there.is_no_nearer(here)
            live = (there.size > tol) & ~stuck_there
            whole, more = map(bool, to_numpy_at_once([xp.all(enough), xp.any(live)]))  # one wait for both
            if not whole:
                _, theta, _, _, failed = self._backtrack(here.theta, step, here.gradient, ridge, here.value)
                there = _Point.of(objective, theta, ridge)
                stuck_there = stuck | there.is_no_nearer(here)
                stuck_there = stuck_there if failed is None else stuck_there | failed
                live = (there.size > tol) & ~stuck_there
                more = bool(xp.any(live))
            here, stuck = there, stuck_there
        return here.theta, not bool(xp.any(here.size > tol))

    def _backtrack(
        self, theta: Array, step: Array, gradient: Array, ridge: Array, value: Array
    ) -> tuple[Array, Array, Array, Array, Array | None]:
        """Halve the step of each fold until it brings a tenth of the decrease that its slope promises.

        Returns the step, where it leads to, and value and log-probabilities there; then of which folds no step did,
        (folds, 1, 1) bool: they stay. None if there are none.
        """
        xp = self.xp
        slope = inner_products(gradient, step, xp)
        for _ in range(20):
            there = theta + step
            new_value, logp = self.objective.value(there, ridge)
            enough = _is_enough_below(new_value, value, slope, xp)
            if bool(xp.all(enough)):
                return step, there, new_value, logp, None
            shrink = xp.where(enough, xp.ones_like(value), 0.5 * xp.ones_like(value))
            step, slope = step * shrink, slope * shrink
        step = step * xp.astype(enough, step.dtype)
        return step, theta + step, *self.objective.value(theta + step, ridge), ~enough
