"""Linear heads: L2-penalised multinomial logistic regression, exact, for a grid of strengths and all folds at once.

The objective is scikit-learn's, so that its C transfers (one head, n training rows):

    min_{W, b}  C * sum_i CE(softmax(W^T x_i + b), y_i) + 1/2 ||W||_F^2

(With two classes scikit-learn keeps one weight vector instead of two: its C is twice ours.)

Rows are first rotated into the eigenbasis of their Gram matrix. With fewer rows than features that turns d unknowns a
class into at most n, loses nothing (the optimal W lies in the span of the rows), and serves every C. There the Hessian
is close to diagonal, so Newton-CG with a diagonal preconditioner needs few steps. All folds are solved side by side as
one batch.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Array = Any
"""An array of the namespace `xp`."""


@dataclass(frozen=True)
class Basis:
    """Rows of several folds in the eigenbasis of each fold's training rows, padded with zeros to one size.

    Attributes
    ----------
    rows : (folds, n, r) array
        Coordinates of all n rows, training and held out.
    weights : (folds, n) array
        1 for a training row of the fold, 0 for a held-out one.
    eigenvalues : (folds, r) array
        Of the training rows' Gram matrix, 0 where padded.
    """

    rows: Array
    weights: Array
    eigenvalues: Array


@dataclass(frozen=True)
class Eigenbasis:
    """Rows in the eigenbasis of the Gram matrix of the training rows among them.

    Attributes
    ----------
    rows : (n, r) array
        With rows @ rows.T equal to the centred Gram matrix as far as training rows are concerned.
    eigenvalues : (r,) array
        Falling; numerically zero ones are dropped.
    centre : (k,) array
        Mean of the training rows, which was subtracted.
    lift : callable
        Weights on the coordinates (r, classes) to weights on the features (k, classes).
    """

    rows: Array
    eigenvalues: Array
    centre: Array
    lift: Callable[[Array], Array]


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


def eigenbasis(X: Array, train: Array, xp: Any) -> Eigenbasis:
    """Centre on the training rows and rotate.

    Parameters
    ----------
    X : (k, n) array
        Feature-major values of n rows.
    train : (n,) array of bool
    """
    w = xp.astype(train, X.dtype)
    # The intercept is free, so centring changes nothing but the condition of the problem.
    centre = (X @ w) / xp.sum(w)
    X = X - centre[:, None]
    k, n = X.shape
    if k <= n:
        values, vectors = xp.linalg.eigh((X * w) @ X.T)
    else:
        gram = X.T @ X
        values, vectors = xp.linalg.eigh(gram * w[:, None] * w[None, :])
        vectors = vectors * w[:, None]  # combinations of training rows alone
    values, order = xp.flip(values), xp.flip(xp.arange(values.shape[0], device=X.device))
    rank = max(1, int(xp.sum(xp.astype(values > values[0] * (10 * xp.finfo(X.dtype).eps), xp.int64))))
    values, vectors = values[:rank], xp.take(vectors, order[:rank], axis=1)
    if k <= n:
        return Eigenbasis(X.T @ vectors, values, centre, lambda theta: vectors @ theta)
    vectors = vectors / xp.sqrt(xp.where(values > 0, values, xp.ones_like(values)))
    return Eigenbasis(gram @ vectors, values, centre, lambda theta: X @ (vectors @ theta))


def stack(parts: Sequence[Eigenbasis], trains: Sequence[Array], xp: Any) -> Basis:
    """Put the eigenbases of several folds side by side, padded to the largest rank."""
    rank = max(part.eigenvalues.shape[0] for part in parts)

    def padded(a: Array) -> Array:
        missing = rank - a.shape[-1]
        if missing == 0:
            return a
        zeros = xp.zeros((*a.shape[:-1], missing), dtype=a.dtype, device=a.device)
        return xp.concat((a, zeros), axis=-1)

    rows = xp.stack([padded(part.rows) for part in parts])
    values = xp.stack([padded(part.eigenvalues) for part in parts])
    return Basis(rows, xp.stack([xp.astype(train, rows.dtype) for train in trains]), values)


def logistic_path(
    basis: Basis, Y: Array, strengths: Sequence[float], xp: Any, *, tol: float = 1e-5, max_newton: int = 50
) -> Iterator[Heads]:
    """Heads for every C in `strengths`, rising (weak models first, each the start of the next).

    Parameters
    ----------
    Y : (n, classes) array
        One-hot labels of all rows; those of held-out rows are not looked at.
    tol : float
        Stop when the largest entry of the gradient of the mean objective, in preconditioned units, is below it.
    """
    folds, _, r = basis.rows.shape
    theta = xp.zeros((folds, r + 1, Y.shape[1]), dtype=basis.rows.dtype, device=basis.rows.device)
    ones = xp.ones((folds, basis.rows.shape[1], 1), dtype=theta.dtype, device=theta.device)
    problem = _Problem(xp.concat((basis.rows, ones), axis=-1), basis, Y[None, :, :], xp)
    for C in sorted(strengths):
        theta, converged = problem.solve(theta, C, tol, max_newton)
        yield Heads(C, problem.log_softmax(theta), theta, converged)


def least_squares_path(basis: Basis, Y: Array, strengths: Sequence[float], xp: Any) -> Iterator[tuple[float, Array]]:
    """Ridge regression on the labels, for every C: scores (folds, n, classes) of all rows.

    In the eigenbasis the training rows' coordinates are orthogonal, so that every strength costs one product. A
    hundred times cheaper than the logistic heads, it ranks sets of columns as they do; as probabilities its scores are
    of no use.
    """
    w, spread = basis.weights[:, :, None], basis.eigenvalues[:, :, None]
    mean = xp.sum(w * Y[None, :, :], axis=1, keepdims=True) / xp.sum(w, axis=1, keepdims=True)
    correlation = xp.matrix_transpose(basis.rows) @ (w * (Y[None, :, :] - mean))
    for C in strengths:
        # A logistic loss is a tenth as curved as a square where a class has a probability of about .1.
        yield C, basis.rows @ (correlation / (spread + 10 / C)) + mean


class _Problem:
    """min_theta  mean_i w_i CE_i + alpha/2 ||B||^2 per fold, theta = (B, b) stacked, alpha = 1 / (C n)."""

    def __init__(self, A: Array, basis: Basis, Y: Array, xp: Any) -> None:
        self.xp, self.A, self.AT, self.Y = xp, A, xp.matrix_transpose(A), Y
        self.n = xp.sum(basis.weights, axis=1)[:, None, None]  # training rows of each fold
        self.w = basis.weights[:, :, None] / self.n
        spread = basis.eigenvalues[:, :, None] / self.n
        self.curvature = xp.concat((spread, xp.ones_like(spread[:, :1, :])), axis=1)  # of the rows, by coordinate

    def log_softmax(self, theta: Array) -> Array:
        z = self.A @ theta
        z = z - self.xp.max(z, axis=-1, keepdims=True)
        return z - self.xp.log(self.xp.sum(self.xp.exp(z), axis=-1, keepdims=True))

    def objective(self, theta: Array, ridge: Array) -> tuple[Array, Array]:
        """Value per fold (folds, 1, 1) and log-probabilities."""
        xp = self.xp
        logp = self.log_softmax(theta)
        value = -xp.sum(self.w * self.Y * logp, axis=(1, 2), keepdims=True)
        return value + 0.5 * xp.sum(ridge * theta * theta, axis=(1, 2), keepdims=True), logp

    def solve(self, theta: Array, C: float, tol: float, max_newton: int) -> tuple[Array, bool]:
        """Newton-CG with backtracking, all folds in lockstep; a fold that is done takes zero steps."""
        xp = self.xp
        alpha = 1 / (C * self.n)
        ridge = xp.concat((xp.ones_like(self.curvature[:, :-1, :]), xp.zeros_like(self.curvature[:, :1, :])), axis=1)
        ridge = ridge * alpha
        value, logp = self.objective(theta, ridge)
        for _ in range(max_newton):
            P = xp.exp(logp)
            gradient = self.AT @ (self.w * (P - self.Y)) + ridge * theta
            # Mean of p(1-p): how curved the loss is now, for each fold and class.
            bend = xp.sum(self.w * P * (1 - P), axis=1, keepdims=True)
            precondition = self.curvature * bend + ridge + 1e-12
            size = xp.max(xp.abs(gradient) / xp.sqrt(precondition), axis=(1, 2), keepdims=True)
            live = size > tol
            if not bool(xp.any(live)):
                return theta, True
            step = self._newton_step(P, gradient, ridge, precondition, live)
            theta, value, logp, moved = self._backtrack(theta, step, gradient, ridge, value, logp)
            if not moved:
                break
        return theta, False

    def _newton_step(self, P: Array, gradient: Array, ridge: Array, precondition: Array, live: Array) -> Array:
        """Solve H step = -gradient by preconditioned conjugate gradients, to a tenth of the gradient."""
        xp = self.xp

        def hessian(V: Array) -> Array:
            U = self.A @ V
            U = P * (U - xp.sum(P * U, axis=-1, keepdims=True))
            return self.AT @ (self.w * U) + ridge * V

        step, residual = xp.zeros_like(gradient), -gradient * xp.astype(live, gradient.dtype)
        z = residual / precondition
        direction, rz = z, _dot(residual, z, xp)
        goal = 0.01 * rz
        for _ in range(100):
            H = hessian(direction)
            length = _ratio(rz, _dot(direction, H, xp), xp)
            step = step + length * direction
            residual = residual - length * H
            z = residual / precondition
            rz_new = _dot(residual, z, xp)
            if not bool(xp.any(rz_new > goal)):
                break
            direction, rz = z + _ratio(rz_new, rz, xp) * direction, rz_new
        return step

    def _backtrack(
        self, theta: Array, step: Array, gradient: Array, ridge: Array, value: Array, logp: Array
    ) -> tuple[Array, Array, Array, bool]:
        """Halve the step of each fold until it brings a tenth of the decrease that its slope promises."""
        xp = self.xp
        slope = _dot(gradient, step, xp)
        length, rounding = xp.ones_like(value), 4 * xp.finfo(value.dtype).eps
        for _ in range(20):
            trial = theta + length * step
            new_value, new_logp = self.objective(trial, ridge)
            # Rounding of the objective itself must not read as a failure to decrease.
            enough = new_value <= value + 0.1 * length * slope + rounding * xp.abs(value)
            if bool(xp.all(enough)):
                return trial, new_value, new_logp, bool(xp.any(slope < 0))
            length = xp.where(enough, length, 0.5 * length)
        return theta, value, logp, False


def _dot(a: Array, b: Array, xp: Any) -> Array:
    return xp.sum(a * b, axis=(1, 2), keepdims=True)


def _ratio(a: Array, b: Array, xp: Any) -> Array:
    """A / b, and 0 where b is 0 (a fold that is done)."""
    return xp.where(b > 0, a / xp.where(b > 0, b, xp.ones_like(b)), xp.zeros_like(b))
