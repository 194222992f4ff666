"""Logistic heads: L2-penalised multinomial logistic regression, exact, for a grid of strengths and all folds.

The objective is scikit-learn's, so that its C transfers (one head, n training rows):

    min_{W, b}  C * sum_i CE(softmax(W^T x_i + b), y_i) + 1/2 ||W||_F^2

(With two classes scikit-learn keeps one weight vector instead of two: its C is twice ours.)

Rows are first rotated into the eigenbasis of their Gram matrix (`eigenbasis`). There the Hessian is close to diagonal,
so that L-BFGS with a diagonal preconditioner needs few steps. Strengths are solved from weak to strong models; each
starts where the line through the two before it points, and inherits what they learned of the curvature (`lbfgs`).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np
from head2toe.probe.heads.eigenbasis import Basis, RotatedRows, joined
from head2toe.probe.heads.lbfgs import Curvature, StackedCurvature, dot
from head2toe.select.compute.arrays import Array
from head2toe.select.compute.kernels import (
    is_at_most,
    largest_in_units,
    masked_plus_product,
    transposed,
    weighted_difference,
    weighted_squares,
)
from head2toe.select.compute.softmax import log_softmax

MOST_STEPS = 5000
"""L-BFGS steps after which a strength counts as not converged."""
LOOK_EVERY = 4
"""After how many steps a GPU is asked whether all folds are done: a wait costs as much as some kernels."""
APPROACH, APPROACH_TOL = (1e-3, 1e-2, 1e-1), 1e-2
"""The shares of a single strength over which it is approached, and the tolerance there: cold, C = 1000 takes twice as
many steps."""
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
    objectives = [_LogisticObjective(basis, part, Y, xp) for part in _parts(basis, xp)]
    paths = [StrengthPath(objective) for objective in objectives]
    for C in sorted(map(float, strengths)):  # a NumPy scalar would make float64 of float32
        converged = [path.advance(C, tol, most_steps) for path in paths]
        yield LogisticHeads(
            C,
            xp.concat([one.log_probabilities(path.theta) for one, path in zip(objectives, paths, strict=True)]),
            xp.concat([xp.matrix_transpose(path.theta) for path in paths]),
            all(converged),
        )


def logistic_heads(
    basis: Basis, Y: Array, strengths: Sequence[float], xp: Any, *, tol: float = 1e-6, most_steps: int = MOST_STEPS
) -> Array:
    """Fit one head on each fold, or problem, of a basis, at a strength of its own, all in lockstep.

    Parameters
    ----------
    strengths : sequence of float
        C of each problem.
    basis, Y, xp, tol, most_steps
        As of `logistic_path`.

    Returns
    -------
    (problems, r + 1, classes) array
        As `LogisticHeads.theta`.
    """
    C = xp.asarray(np.asarray(strengths), dtype=Y.dtype, device=Y.device)[:, None, None]
    path = StrengthPath(_LogisticObjective(basis, slice(None), Y, xp), C)
    for share in APPROACH:
        path.advance(share, APPROACH_TOL, most_steps)
    path.advance(1.0, tol, most_steps)
    return xp.matrix_transpose(path.theta)


def logistic_refits(rows: Sequence[RotatedRows], settings: Sequence[Mapping[str, Any]]) -> list[tuple[Array, Array]]:
    """Fit heads, each on rows and at a `C` of its own: coef (k, classes) and intercept (classes,), in float64.

    On a GPU all of them are solved side by side, and to the least `tolerance` that one of the settings asks for.
    """
    if not rows:
        return []
    xp, bases, strengths = rows[0].xp, [one.basis for one in rows], [one["C"] for one in settings]
    tol = min(one.get("tolerance", 1e-6) for one in settings)
    if array_api_compat.is_numpy_namespace(xp):
        one_by_one = zip(bases, strengths, strict=True)
        thetas = [logistic_heads(basis, rows[0].Y, [C], xp, tol=tol)[0, ...] for basis, C in one_by_one]
    else:
        together = logistic_heads(joined(bases, xp), rows[0].Y, strengths, xp, tol=tol)
        thetas = [together[k, ...] for k in range(len(rows))]
    return [one.lifted(theta, 1.0) for one, theta in zip(rows, thetas, strict=True)]


def _parts(basis: Basis, xp: Any) -> list[slice]:
    """List which problems are solved together.

    A processor takes one after the other, each for as long as it needs; a GPU takes them as one batch.
    """
    problems = basis.coordinates.shape[0]
    if array_api_compat.is_numpy_namespace(xp):
        return [slice(k, k + 1) for k in range(problems)]
    return [slice(0, problems)]


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

    def value(self, theta: Array, ridge: Array) -> tuple[Array, Array]:
        """Value per fold (folds, 1, 1) and log-probabilities of the rows (folds, classes, rows)."""
        logp = log_softmax(self.scores(theta), self.xp, axis=1)
        return 0.5 * weighted_squares(theta, ridge, self.xp) - dot(self.wY, logp, self.xp), logp

    def gradient(self, theta: Array, ridge: Array, P: Array) -> Array:
        """Gradient where the rows have the probabilities P; an absent class stays where it is."""
        return masked_plus_product(self.back(P), ridge, theta, self.present, self.xp)


class _LogisticObjective(Objective):
    """The objective on the coordinates of a basis, of the folds of a part of it."""

    def __init__(self, basis: Basis, part: slice, Y: Array, xp: Any) -> None:
        coordinates, weights = basis.coordinates[part, ...], basis.weights[part, ...]
        n = xp.sum(weights, axis=1)[:, None, None]
        # Training rows alone; a fold with fewer than the others is filled up with rows of no weight.
        most = int(xp.max(n))
        chosen = xp.argsort(weights, axis=1, descending=True)[:, :most]
        folds, n_rows, _ = coordinates.shape
        rows = xp.reshape(chosen, (-1,))
        among_all = xp.reshape(chosen + n_rows * xp.arange(folds, device=coordinates.device)[:, None], (-1,))

        def of_chosen(a: Array, at: Array) -> Array:
            return xp.reshape(xp.take(a, at, axis=0), (folds, most, -1))

        training = of_chosen(xp.reshape(coordinates, (folds * n_rows, -1)), among_all)
        w = xp.matrix_transpose(of_chosen(xp.reshape(weights, (-1, 1)), among_all)) / n
        self.coordinates, self.Y = coordinates, xp.matrix_transpose(of_chosen(Y, rows))
        super().__init__(xp, n, w, w * self.Y, basis.eigenvalues[part, ...][:, None, :])
        ones = xp.ones((*training.shape[:2], 1), dtype=coordinates.dtype, device=coordinates.device)
        self.A = xp.concat((training, ones), axis=2)
        self.AT = transposed(self.A, xp)

    def log_probabilities(self, theta: Array) -> Array:
        """Log-probabilities of all rows, held-out ones included: (folds, n, classes)."""
        xp = self.xp
        scores = theta[:, :, :-1] @ xp.matrix_transpose(self.coordinates) + theta[:, :, -1:]
        return xp.matrix_transpose(log_softmax(scores, xp, axis=1))

    def scores(self, theta: Array) -> Array:
        """Scores of the training rows; see `Objective`."""
        return theta @ self.AT

    def back(self, P: Array) -> Array:
        """Gradient of the loss; see `Objective`."""
        return weighted_difference(self.w, P, self.Y, self.xp) @ self.A


class StrengthPath:
    """The minimisers `theta` of an objective, from one strength to the next.

    C is a share of `unit`, which is 1 or (folds, 1, 1): of each fold another strength.
    """

    def __init__(self, objective: Objective, unit: float | Array = 1.0) -> None:
        self.objective, self.xp, self.unit = objective, objective.xp, unit
        self.theta = objective.start()
        self.known: list[tuple[float, Array]] = []  # log C and theta of the last two strengths
        alone = array_api_compat.is_numpy_namespace(self.xp)
        self.learned: Curvature | StackedCurvature = Curvature(self.xp) if alone else StackedCurvature(self.xp)
        self.last_ridge = objective.ridge(math.inf)
        self.between_looks = 1 if alone else LOOK_EVERY

    def advance(self, C: float, tol: float, most_steps: int) -> bool:
        """Go to the next strength; return whether the tolerance was reached in all folds."""
        ridge = self.objective.ridge(C * self.unit)
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
        stuck = None
        for number in range(most_steps):
            live = largest_in_units(gradient, precondition, xp) > tol
            live = live if stuck is None else live & ~stuck
            if number % self.between_looks == 0 and not bool(xp.any(live)):
                return theta, stuck is None
            step = self.learned.solve(gradient, precondition) * -xp.astype(live, theta.dtype)
            step, theta, value, logp, failed = self._backtrack(theta, step, gradient, ridge, value)
            if failed is not None:
                stuck = failed if stuck is None else stuck | failed
            old, gradient = gradient, objective.gradient(theta, ridge, xp.exp(logp))
            self.learned.add(step, gradient - old)
        return theta, False

    def _backtrack(
        self, theta: Array, step: Array, gradient: Array, ridge: Array, value: Array
    ) -> tuple[Array, Array, Array, Array, Array | None]:
        """Halve the step of each fold until it brings a tenth of the decrease that its slope promises.

        Returns the step, where it leads to, and value and log-probabilities there; then of which folds no step did,
        (folds, 1, 1) bool: they stay. None if there are none.
        """
        xp = self.xp
        slope = dot(gradient, step, xp)
        rounding = 4 * xp.finfo(value.dtype).eps
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
