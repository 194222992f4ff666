"""Linear heads: L2-penalised multinomial logistic regression, exact, for a grid of strengths and all folds; ridge.

The objective is scikit-learn's, so that its C transfers (one head, n training rows):

    min_{W, b}  C * sum_i CE(softmax(W^T x_i + b), y_i) + 1/2 ||W||_F^2

(With two classes scikit-learn keeps one weight vector instead of two: its C is twice ours.)

Rows are first rotated into the eigenbasis of their Gram matrix (`basis`). There the Hessian is close to diagonal, so
that L-BFGS with a diagonal preconditioner needs few steps. Strengths are solved from weak to strong models; each starts
where the line through the two before it points, and inherits what they learned of the curvature (`lbfgs`).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import array_api_compat
from head2toe.probe.heads.eigenbasis import Basis
from head2toe.probe.heads.lbfgs import Curvature, dot
from head2toe.select.compute.arrays import Array
from head2toe.select.compute.softmax import log_softmax

MOST_STEPS = 5000
FAR = 30.0
"""How far below zero, the others' mean, the intercept of a class without a training row is."""


@dataclass(frozen=True)
class Heads:
    """Heads of all folds at one C.

    Attributes
    ----------
    C : float
    log_probabilities : (folds, n, classes) array
        Of every row, held-out ones included.
    theta : (folds, r + 1, classes) array
        Weights on the coordinates of the basis and, last, the intercepts.
    converged : bool
        Whether the gradient fell below the tolerance in every fold.
    """

    C: float
    log_probabilities: Array
    theta: Array
    converged: bool


def logistic_path(
    basis: Basis, Y: Array, strengths: Sequence[float], xp: Any, *, tol: float = 1e-5, most_steps: int = MOST_STEPS
) -> Iterator[Heads]:
    """Heads for every C in `strengths`, rising (weak models first, each the start of the next).

    Parameters
    ----------
    Y : (n, classes) array
        One-hot labels of all rows; those of held-out rows are not looked at.
    tol : float
        Stop when the largest entry of the gradient of the mean objective, in preconditioned units, is below it.
    """
    folds = basis.rows.shape[0]
    # A processor takes one fold after the other, each for as long as it needs; a GPU takes them as one batch.
    alone = array_api_compat.is_numpy_namespace(xp)
    parts = [slice(k, k + 1) for k in range(folds)] if alone else [slice(0, folds)]
    paths = [_Path(_Problem(basis, part, Y, xp)) for part in parts]
    for C in sorted(map(float, strengths)):  # a NumPy scalar would make float64 of float32
        converged = [path.advance(C, tol, most_steps) for path in paths]
        yield Heads(
            C,
            xp.concat([path.problem.log_probabilities(path.theta) for path in paths]),
            xp.concat([xp.matrix_transpose(path.theta) for path in paths]),
            all(converged),
        )


class _Problem:
    """min_theta  mean_i w_i CE_i + alpha/2 ||B||^2 of some folds, theta = (B, b) side by side, alpha = 1 / (C n).

    Inside, classes come before rows and coordinates, (folds, classes, ...): what runs over classes then vectorises.
    """

    def __init__(self, basis: Basis, part: slice, Y: Array, xp: Any) -> None:
        rows, weights, spread = basis.rows[part, ...], basis.weights[part, ...], basis.eigenvalues[part, ...]
        self.xp, self.rows = xp, rows
        self.n = xp.sum(weights, axis=1)[:, None, None]  # training rows of each fold
        # Training rows alone; a fold with fewer than the others is filled up with rows of no weight.
        most = int(xp.max(self.n))
        chosen = xp.argsort(weights, axis=1, descending=True)[:, :most]
        each = [chosen[k, :] for k in range(rows.shape[0])]
        training = xp.stack([xp.take(rows[k, ...], one, axis=0) for k, one in enumerate(each)])
        self.w = xp.stack([xp.take(weights[k, :], one, axis=0) for k, one in enumerate(each)])[:, None, :] / self.n
        self.Y = xp.stack([xp.matrix_transpose(xp.take(Y, one, axis=0)) for one in each])
        self.present = xp.astype(xp.sum(self.w * self.Y, axis=2, keepdims=True) > 0, rows.dtype)  # (folds, classes, 1)
        ones = xp.ones((*training.shape[:2], 1), dtype=rows.dtype, device=rows.device)
        self.A = xp.concat((training, ones), axis=2)
        self.AT = xp.matrix_transpose(self.A)
        one = xp.ones_like(spread[:, None, :1])
        self.curvature = xp.concat((spread[:, None, :] / self.n, one), axis=2)  # of the rows, by coordinate
        self.penalised = xp.concat((xp.ones_like(spread[:, None, :]), xp.zeros_like(one)), axis=2)

    def ridge(self, C: float) -> Array:
        """Alpha for every weight, 0 for the intercept: (folds, 1, r + 1)."""
        return self.penalised / (C * self.n)

    def log_probabilities(self, theta: Array) -> Array:
        """Of all rows, held-out ones included: (folds, n, classes)."""
        xp = self.xp
        return xp.matrix_transpose(
            log_softmax(theta[:, :, :-1] @ xp.matrix_transpose(self.rows) + theta[:, :, -1:], xp, axis=1)
        )

    def objective(self, theta: Array, ridge: Array) -> tuple[Array, Array]:
        """Value per fold (folds, 1, 1) and log-probabilities of the training rows (folds, classes, rows)."""
        logp = log_softmax(theta @ self.AT, self.xp, axis=1)
        return 0.5 * dot(theta, ridge * theta, self.xp) - dot(self.w * self.Y, logp, self.xp), logp

    def gradient(self, theta: Array, ridge: Array, P: Array) -> Array:
        """Of the objective, where the training rows have the probabilities P; an absent class stays where it is."""
        return ((self.w * (P - self.Y)) @ self.A + ridge * theta) * self.present

    def start(self) -> Array:
        """Zero, but for the intercepts of absent classes, whose optimum is -inf: they would run there for ever."""
        return (self.present - 1) * FAR * (1 - self.penalised)


class _Path:
    """The heads of a problem, from one strength to the next."""

    def __init__(self, problem: _Problem) -> None:
        self.problem, self.xp = problem, problem.xp
        self.theta = problem.start()
        self.known: list[tuple[float, Array]] = []  # log C and theta of the last two strengths
        self.learned = Curvature(self.xp)
        self.last_ridge = problem.ridge(math.inf)

    def advance(self, C: float, tol: float, most_steps: int) -> bool:
        """Go to the next strength; tells whether the tolerance was reached in all folds."""
        ridge = self.problem.ridge(C)
        self.learned.shift(ridge - self.last_ridge)
        self.last_ridge, start = ridge, self.theta
        if len(self.known) == 2:
            (before, first), (now, second) = self.known
            # Along log C the solutions lie on a smooth curve.
            start = second + (min(1.0, (math.log(C) - now) / (now - before)) if now > before else 0.0) * (
                second - first
            )
        self.theta, converged = self._descend(start, ridge, tol, most_steps)
        self.known = [*self.known, (math.log(C), self.theta)][-2:]
        return converged

    def _descend(self, theta: Array, ridge: Array, tol: float, most_steps: int) -> tuple[Array, bool]:
        """L-BFGS with backtracking, all folds in lockstep; a fold that is done takes no steps."""
        xp, problem = self.xp, self.problem
        value, logp = problem.objective(theta, ridge)
        P = xp.exp(logp)
        gradient = problem.gradient(theta, ridge, P)
        # Mean of p(1-p): how curved the loss is here, for each fold and class.
        precondition = problem.curvature * xp.sum(problem.w * P * (1 - P), axis=2, keepdims=True) + ridge + 1e-12
        for _ in range(most_steps):
            live = xp.max(xp.abs(gradient) / xp.sqrt(precondition), axis=(1, 2), keepdims=True) > tol
            if not bool(xp.any(live)):
                return theta, True
            step = -self.learned.solve(gradient, precondition) * xp.astype(live, theta.dtype)
            step, value, logp = self._backtrack(theta, step, gradient, ridge, value, logp)
            if not bool(xp.any(step != 0)):
                break
            theta, old = theta + step, gradient
            gradient = problem.gradient(theta, ridge, xp.exp(logp))
            self.learned.add(step, xp.astype(live, theta.dtype) * (gradient - old))
        return theta, False

    def _backtrack(
        self, theta: Array, step: Array, gradient: Array, ridge: Array, value: Array, logp: Array
    ) -> tuple[Array, Array, Array]:
        """Halve the step of each fold until it brings a tenth of the decrease that its slope promises."""
        xp = self.xp
        slope = dot(gradient, step, xp)
        rounding = 4 * xp.finfo(value.dtype).eps
        for _ in range(20):
            new_value, new_logp = self.problem.objective(theta + step, ridge)
            # Rounding of the objective itself must not read as a failure to decrease.
            enough = new_value <= value + 0.1 * slope + rounding * xp.abs(value)
            if bool(xp.all(enough)):
                return step, new_value, new_logp
            shrink = xp.where(enough, xp.ones_like(value), 0.5 * xp.ones_like(value))
            step, slope = step * shrink, slope * shrink
        return xp.zeros_like(step), value, logp
