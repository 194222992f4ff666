"""Logistic heads: L2-penalised multinomial logistic regression, exact, for a grid of strengths and all folds.

The objective is scikit-learn's, so that its C transfers (one head, n training rows):

    min_{W, b}  C * sum_i CE(softmax(W^T x_i + b), y_i) + 1/2 ||W||_F^2

(With two classes scikit-learn keeps one weight vector instead of two: its C is twice ours.)

Rows are first rotated into the eigenbasis of their Gram matrix (`eigenbasis`). There the Hessian is close to diagonal,
so that a descent with a diagonal preconditioner needs few steps (`descent`). Strengths are solved from weak to strong
models; each starts where the line through the two before it points.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import array_api_compat
import numpy as np
from head2toe.probe.heads.descent import MOST_STEPS, StrengthPath
from head2toe.probe.heads.eigenbasis import Basis, RotatedRows, solved_each
from head2toe.probe.heads.objective import Objective
from head2toe.select.compute.arrays import Array
from head2toe.select.compute.kernels import transposed, weighted_difference
from head2toe.select.compute.softmax import log_softmax

APPROACH, APPROACH_TOL = (1e-3, 1e-2, 1e-1), 1e-2
"""The shares of a single strength over which it is approached, and the tolerance there: cold, C = 1000 takes twice as
many steps."""


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
    tol = min((one.get("tolerance", 1e-6) for one in settings), default=1e-6)
    thetas = solved_each(rows, [one["C"] for one in settings], partial(logistic_heads, tol=tol))
    return [one.lifted(theta, 1.0) for one, theta in zip(rows, thetas, strict=True)]


def _parts(basis: Basis, xp: Any) -> list[slice]:
    """List which problems are solved together.

    A processor takes one after the other, each for as long as it needs; a GPU takes them as one batch.
    """
    problems = basis.coordinates.shape[0]
    if array_api_compat.is_numpy_namespace(xp):
        return [slice(k, k + 1) for k in range(problems)]
    return [slice(0, problems)]


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

    def pull(self, U: Array) -> Array:
        """Residuals to weights; see `Objective`."""
        return U @ self.A

    def back(self, P: Array) -> Array:
        """Gradient of the loss; see `Objective`."""
        return self.pull(weighted_difference(self.w, P, self.Y, self.xp))
