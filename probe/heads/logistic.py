"""Logistic heads: L2-penalised multinomial logistic regression, exact, for a grid of strengths and all folds.

The objective is scikit-learn's, so that its C transfers (one head, n training rows):

    min_{W, b}  C * sum_i CE(softmax(W^T x_i + b), y_i) + 1/2 ||W||_F^2

(With two classes scikit-learn keeps one weight vector instead of two: its C is twice ours.)

Rows are first rotated into the eigenbasis of their Gram matrix (`eigenbasis`). There the Hessian is close to diagonal,
so that L-BFGS with a diagonal preconditioner needs few steps. Strengths are solved from weak to strong models; each
starts where the line through the two before it points, and inherits what they learned of the curvature (`lbfgs`).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import array_api_compat
from head2toe.probe.heads.eigenbasis import Basis
from head2toe.probe.heads.lbfgs import Curvature, dot
from head2toe.select.compute.arrays import Array
from head2toe.select.compute.softmax import log_softmax

MOST_STEPS = 5000
"""L-BFGS steps after which a strength counts as not converged."""
FAR = 30.0
"""How far below zero, the others' mean, the intercept of a class without a training row is."""


@dataclass(frozen=True)
class LogisticHeads:
    """Logistic heads of all folds at one strength C, in the dtype of the basis.

    Attributes
    ----------
    C : float
        Weight of the loss against the penalty, as in scikit-learn.
    log_probabilities : (folds, n, classes) array
        Of every row, held-out ones included, in nats.
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
) -> Iterator[LogisticHeads]:
    """Fit heads for every C in `strengths`, rising (weak models first, each the start of the next).

    Parameters
    ----------
    basis : Basis
    Y : (n, classes) array
        One-hot labels of all rows, of the basis' dtype; those of held-out rows are not looked at.
    strengths : sequence of float
    xp : array namespace
    tol : float
        Stop when the largest entry of the gradient of the mean objective, in preconditioned units, is below it.
    most_steps : int
        Stop after so many steps in any case; `LogisticHeads.converged` says so.
    """
    folds = basis.coordinates.shape[0]
    # A processor takes one fold after the other, each for as long as it needs; a GPU takes them as one batch.
    alone = array_api_compat.is_numpy_namespace(xp)
    parts = [slice(k, k + 1) for k in range(folds)] if alone else [slice(0, folds)]
    objectives = [_LogisticObjective(basis, part, Y, xp) for part in parts]
    paths = [StrengthPath(objective) for objective in objectives]
    for C in sorted(map(float, strengths)):  # a NumPy scalar would make float64 of float32
        converged = [path.advance(C, tol, most_steps) for path in paths]
        yield LogisticHeads(
            C,
            xp.concat([one.log_probabilities(path.theta) for one, path in zip(objectives, paths, strict=True)]),
            xp.concat([xp.matrix_transpose(path.theta) for path in paths]),
            all(converged),
        )


class Objective(Protocol):
    """What a path of minimisers asks of the objective of several folds; theta is (folds, classes, coordinates + 1)."""

    xp: Any
    w: Array
    curvature: Array

    def start(self) -> Array:
        """Where the first strength starts."""

    def ridge(self, C: float) -> Array:
        """Strength of the penalty, which broadcasts against theta."""

    def value(self, theta: Array, ridge: Array) -> tuple[Array, Array]:
        """Value per fold (folds, 1, 1) and log-probabilities (folds, classes, rows)."""

    def gradient(self, theta: Array, ridge: Array, P: Array) -> Array:
        """Gradient where the rows have the probabilities P."""


class _LogisticObjective:
    """The objective mean_i w_i CE_i + alpha/2 ||B||² of some folds, where theta = (B, b) and alpha = 1 / (C n).

    Inside, classes come before rows and coordinates, (folds, classes, ...): what runs over classes then vectorises.
    """

    def __init__(self, basis: Basis, part: slice, Y: Array, xp: Any) -> None:
        coordinates, weights = basis.coordinates[part, ...], basis.weights[part, ...]
        spread = basis.eigenvalues[part, ...][:, None, :]
        self.xp, self.coordinates = xp, coordinates
        self.n = xp.sum(weights, axis=1)[:, None, None]  # training rows of each fold
        # Training rows alone; a fold with fewer than the others is filled up with rows of no weight.
        most = int(xp.max(self.n))
        chosen = xp.argsort(weights, axis=1, descending=True)[:, :most]
        by_fold = [chosen[k, :] for k in range(coordinates.shape[0])]
        training = xp.stack([xp.take(coordinates[k, ...], rows, axis=0) for k, rows in enumerate(by_fold)])
        self.w = xp.stack([xp.take(weights[k, :], rows, axis=0) for k, rows in enumerate(by_fold)])[:, None, :] / self.n
        self.Y = xp.stack([xp.matrix_transpose(xp.take(Y, rows, axis=0)) for rows in by_fold])
        self.wY = self.w * self.Y
        present = xp.sum(self.wY, axis=2, keepdims=True) > 0
        self.present = xp.astype(present, coordinates.dtype)  # (folds, classes, 1)
        ones = xp.ones((*training.shape[:2], 1), dtype=coordinates.dtype, device=coordinates.device)
        self.A = xp.concat((training, ones), axis=2)
        self.AT = xp.matrix_transpose(self.A)
        one = xp.ones_like(spread[:, :, :1])
        self.curvature = xp.concat((spread / self.n, one), axis=2)  # of the rows, by coordinate
        self.penalised = xp.concat((xp.ones_like(spread), xp.zeros_like(one)), axis=2)

    def ridge(self, C: float) -> Array:
        """Strength of the penalty: alpha for every weight and 0 for the intercept, (folds, 1, r + 1)."""
        return self.penalised / (C * self.n)

    def log_probabilities(self, theta: Array) -> Array:
        """Log-probabilities of all rows, held-out ones included: (folds, n, classes)."""
        xp = self.xp
        scores = theta[:, :, :-1] @ xp.matrix_transpose(self.coordinates) + theta[:, :, -1:]
        return xp.matrix_transpose(log_softmax(scores, xp, axis=1))

    def value(self, theta: Array, ridge: Array) -> tuple[Array, Array]:
        """Value per fold (folds, 1, 1) and log-probabilities of the training rows (folds, classes, rows)."""
        logp = log_softmax(theta @ self.AT, self.xp, axis=1)
        return 0.5 * dot(theta, ridge * theta, self.xp) - dot(self.wY, logp, self.xp), logp

    def gradient(self, theta: Array, ridge: Array, P: Array) -> Array:
        """Gradient where the training rows have the probabilities P; an absent class stays where it is."""
        return ((self.w * (P - self.Y)) @ self.A + ridge * theta) * self.present

    def start(self) -> Array:
        """All zero, but for the intercepts of absent classes, whose optimum is -inf: they would run there for ever."""
        return (self.present - 1) * FAR * (1 - self.penalised)


class StrengthPath:
    """The minimisers `theta` of an objective, from one strength to the next."""

    def __init__(self, objective: Objective) -> None:
        self.objective, self.xp = objective, objective.xp
        self.theta = objective.start()
        self.known: list[tuple[float, Array]] = []  # log C and theta of the last two strengths
        self.learned = Curvature(self.xp)
        self.last_ridge = objective.ridge(math.inf)

    def advance(self, C: float, tol: float, most_steps: int) -> bool:
        """Go to the next strength; return whether the tolerance was reached in all folds."""
        ridge = self.objective.ridge(C)
        self.learned.shift(ridge - self.last_ridge)
        self.last_ridge, start = ridge, self.theta
        if len(self.known) == 2:
            (before, first), (now, second) = self.known
            # Along log C the solutions lie on a smooth curve.
            ahead = min(1.0, (math.log(C) - now) / (now - before)) if now > before else 0.0
            start = second + ahead * (second - first)
        self.theta, converged = self._descend(start, ridge, tol, most_steps)
        self.known = [*self.known, (math.log(C), self.theta)][-2:]
        return converged

    def _descend(self, theta: Array, ridge: Array, tol: float, most_steps: int) -> tuple[Array, bool]:
        """L-BFGS with backtracking, all folds in lockstep; a fold that is done takes no steps."""
        xp, objective = self.xp, self.objective
        value, logp = objective.value(theta, ridge)
        P = xp.exp(logp)
        gradient = objective.gradient(theta, ridge, P)
        # Mean of p(1-p): how curved the loss is here, for each fold and class.
        precondition = objective.curvature * xp.sum(objective.w * P * (1 - P), axis=2, keepdims=True) + ridge + 1e-12
        for _ in range(most_steps):
            live = xp.max(xp.abs(gradient) / xp.sqrt(precondition), axis=(1, 2), keepdims=True) > tol
            if not bool(xp.any(live)):
                return theta, True
            step = -self.learned.solve(gradient, precondition) * xp.astype(live, theta.dtype)
            step, value, logp = self._backtrack(theta, step, gradient, ridge, value, logp)
            if not bool(xp.any(step != 0)):
                break
            theta, old = theta + step, gradient
            gradient = objective.gradient(theta, ridge, xp.exp(logp))
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
            new_value, new_logp = self.objective.value(theta + step, ridge)
            # Rounding of the objective itself must not read as a failure to decrease.
            enough = new_value <= value + 0.1 * slope + rounding * xp.abs(value)
            if bool(xp.all(enough)):
                return step, new_value, new_logp
            shrink = xp.where(enough, xp.ones_like(value), 0.5 * xp.ones_like(value))
            step, slope = step * shrink, slope * shrink
        return xp.zeros_like(step), value, logp
