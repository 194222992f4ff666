"""Data terms F(Z; Y) of predictions Z = XW + 1bᵀ, each with what a solver needs and nothing about penalties or solvers.

A data term is an average over the n rows. It gives, at a point, its value and the residual G = ∂F/∂Z; its Hessian
applied in prediction space; its Bregman distance; the value of the dual; and the exact unpenalised intercept.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from head2toe.select.compute.arrays import Array, Arrays, scalar
from head2toe.store.common.errors import BadRequest


@dataclass(frozen=True)
class Fit:
    """A data term at one point: `value` F, `residual` G = ∂F/∂Z (n, C), and `mean` E[Y | Z] (n, C)."""

    value: float
    residual: Array
    mean: Array


class Datafit(Protocol):
    """What a solver asks of a data term. `Z` excludes the intercept `b` only in `intercept` and `evaluate`."""

    @property
    def curvature(self) -> float:
        """Upper bound on n times the eigenvalues of the Hessian in prediction space."""

    def checked(self, y: np.ndarray, n: int, n_outputs: int) -> np.ndarray:
        """Targets as an array of n rows, or BadRequest."""

    def classes(self, y: np.ndarray, n_outputs: int) -> np.ndarray:
        """Which of the outputs take part, given the targets of the training rows."""

    def targets(self, y: np.ndarray, classes: np.ndarray, arrays: Arrays) -> Array:
        """Targets as a matrix Y (n, len(classes)) in float64."""

    def intercept(self, Z: Array, Y: Array, b: Array | None, xp: Any) -> Array:
        """Minimise F(Z + 1bᵀ) over b, from the given one."""

    def evaluate(self, Z: Array, b: Array, Y: Array, xp: Any) -> Fit:
        """Value, residual and mean at Z + 1bᵀ."""

    def bregman(self, fit: Fit, dZ: Array, xp: Any) -> float:
        """F(Z + dZ) - F(Z) - <G, dZ>, without the cancellation that the difference of two losses suffers."""

    def hessian(self, mean: Array, V: Array, xp: Any) -> Array:
        """Hessian of F in prediction space applied to V (n, C)."""

    def weights(self, mean: Array, xp: Any) -> Array:
        """Average diagonal of that Hessian per row (n,): the same weighted Gram matrix then serves all outputs."""

    def dual(self, G: Array, Y: Array, scale: float, xp: Any) -> float:
        """The dual -F*(Θ) at Θ = scale · G, which is feasible where 1ᵀG = 0 and the penalty accepts X ᵀΘ."""

    def absent_intercept(self, b: np.ndarray, classes: np.ndarray, n_outputs: int) -> np.ndarray:
        """Intercepts of all outputs (n_outputs,), given those of the outputs that took part."""

    def explained(self, fit: Fit, null: Fit) -> float:
        """Fraction of the null model's deviance explained; the path has nothing left to say near 1."""


def softmax(Z: Array, xp: Any) -> tuple[Array, Array]:
    """Softmax of the rows of Z, and their log-sum-exp."""
    top = xp.max(Z, axis=1, keepdims=True)
    E = xp.exp(Z - top)
    total = xp.sum(E, axis=1, keepdims=True)
    return E / total, (top + xp.log(total))[:, 0]


class Multinomial:
    """F = (1/n) Σ_i [logsumexp(z_i) - z_{i, y_i}]: cross-entropy after softmax; with C = 2, logistic regression."""

    curvature = 0.5  # of diag(p) - ppᵀ, reached where two classes share all probability

    def checked(self, y: np.ndarray, n: int, n_outputs: int) -> np.ndarray:
        """One integer in 0 .. n_outputs - 1 for every row."""
        y = np.asarray(y)
        if y.shape != (n,):
            raise BadRequest(f"{n} rows need {n} labels, not an array of shape {y.shape}")
        if not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or y.max() >= n_outputs:
            raise BadRequest(f"labels must be integers in 0 .. {n_outputs - 1}")
        return y

    def classes(self, y: np.ndarray, n_outputs: int) -> np.ndarray:
        """Return the classes present: an absent one has its optimum at b_c = -inf, W_c = 0, and is dropped."""
        return np.flatnonzero(np.bincount(y, minlength=n_outputs))

    def targets(self, y: np.ndarray, classes: np.ndarray, arrays: Arrays) -> Array:
        """One-hot rows over the classes present."""
        return arrays.put((classes[:, None] == y).astype(np.float64)).T

    def intercept(self, Z: Array, Y: Array, b: Array | None, xp: Any) -> Array:
        """Newton on the C intercepts: the gradient is the mean of P - Y and must vanish for the dual to be feasible."""
        n, C = Y.shape
        if b is None:
            b = xp.log(xp.mean(Y, axis=0))
        eye = xp.eye(C, dtype=Y.dtype, device=Y.device)
        P, lse = softmax(Z + b, xp)
        loss, gradient = xp.sum(lse) / n - xp.sum(xp.mean((Z + b) * Y, axis=0)), xp.mean(P - Y, axis=0)
        for _ in range(50):
            if scalar(xp.max(xp.abs(gradient))) <= 1e-12:
                break
            p = xp.mean(P, axis=0)
            H = eye * p - P.T @ P / n
            # H is singular along 1 (softmax does not see a shift): 11ᵀ/C mends that without changing the step.
            step = xp.linalg.solve(H + (1.0 / C) * scalar(xp.sum(p * (1 - p))) + 1e-14 * eye, gradient[:, None])[:, 0]
            slope, t = scalar(xp.sum(step * gradient)), 1.0
            for _ in range(30):
                trial = b - t * step
                P, lse = softmax(Z + trial, xp)
                value = xp.sum(lse) / n - xp.sum(xp.mean((Z + trial) * Y, axis=0))
                if scalar(value - loss) <= -1e-4 * t * slope + 1e-14:
                    break
                t /= 2
            b, loss, gradient = trial, value, xp.mean(P - Y, axis=0)
        return b - xp.mean(b)

    def evaluate(self, Z: Array, b: Array, Y: Array, xp: Any) -> Fit:
        """Loss, (P - Y) / n and P."""
        P, lse = softmax(Z + b, xp)
        n = Y.shape[0]
        return Fit(scalar(xp.sum(lse - xp.sum((Z + b) * Y, axis=1))) / n, (P - Y) / n, P)

    def bregman(self, fit: Fit, dZ: Array, xp: Any) -> float:
        """Mean of log Σ_c p_c e^{dz_c} - Σ_c p_c dz_c."""
        dZ = dZ - xp.sum(fit.mean * dZ, axis=1, keepdims=True)  # softmax can't see it; the second sum is now 0
        if scalar(xp.max(xp.abs(dZ))) > 700.0:  # exp would overflow
            top = xp.max(dZ, axis=1, keepdims=True)
            return scalar(xp.mean(top[:, 0] + xp.log(xp.sum(fit.mean * xp.exp(dZ - top), axis=1) + 1e-300)))
        return scalar(xp.mean(xp.log1p(xp.sum(fit.mean * xp.expm1(dZ), axis=1))))

    def hessian(self, mean: Array, V: Array, xp: Any) -> Array:
        """(diag(p_i) - p_i p_iᵀ) v_i / n for every row i."""
        U = mean * V
        U -= mean * xp.sum(U, axis=1, keepdims=True)
        U *= 1.0 / mean.shape[0]
        return U

    def weights(self, mean: Array, xp: Any) -> Array:
        """Σ_c p_c (1 - p_c) / (C - 1) / n: the trace of the Hessian over its rank."""
        n, C = mean.shape
        return xp.sum(mean * (1 - mean), axis=1) / (n * (C - 1))

    def dual(self, G: Array, Y: Array, scale: float, xp: Any) -> float:
        """Mean entropy of q = y + scale · n G, for a residual G = (p - y) / n: a distribution for every scale <= 1."""
        q = Y + (scale * Y.shape[0]) * G
        q = xp.where(q > 0, q, 1.0)  # 0 log 0 = 0 = 1 log 1, and rounding may give a little less than 0
        return -scalar(xp.sum(q * xp.log(q))) / Y.shape[0]

    def absent_intercept(self, b: np.ndarray, classes: np.ndarray, n_outputs: int) -> np.ndarray:
        """Intercepts of all outputs: an absent class gets e^-30 of the odds of the rarest (the optimum is -inf)."""
        out = np.full(n_outputs, b.min() - 30.0)
        out[classes] = b
        return out

    def explained(self, fit: Fit, null: Fit) -> float:
        """1 - loss / loss of the intercept alone."""
        return 1.0 - fit.value / null.value


class Quadratic:
    """F = ||Z - Y||² / 2n: multi-task least squares on real targets (n, C)."""

    curvature = 1.0

    def checked(self, y: np.ndarray, n: int, n_outputs: int) -> np.ndarray:
        """Real targets (n, n_outputs); (n,) for one output."""
        y = np.asarray(y, dtype=np.float64)
        y = y[:, None] if y.ndim == 1 else y
        if y.shape != (n, n_outputs) or not np.isfinite(y).all():
            raise BadRequest(f"{n} rows and {n_outputs} outputs need finite targets of that shape, not {y.shape}")
        return y

    def classes(self, y: np.ndarray, n_outputs: int) -> np.ndarray:  # noqa: ARG002
        """All outputs take part."""
        return np.arange(n_outputs)

    def targets(self, y: np.ndarray, classes: np.ndarray, arrays: Arrays) -> Array:
        """Y as it is."""
        return arrays.put(np.ascontiguousarray(y[:, classes]))

    def intercept(self, Z: Array, Y: Array, b: Array | None, xp: Any) -> Array:  # noqa: ARG002
        """Mean of Y - Z."""
        return xp.mean(Y - Z, axis=0)

    def evaluate(self, Z: Array, b: Array, Y: Array, xp: Any) -> Fit:
        """Half the mean squared error, (Z + 1bᵀ - Y) / n, and Z + 1bᵀ."""
        n, residual = Y.shape[0], Z + b - Y
        return Fit(scalar(xp.sum(residual * residual)) / (2 * n), residual / n, Z + b)

    def bregman(self, fit: Fit, dZ: Array, xp: Any) -> float:
        """||dZ||² / 2n."""
        return scalar(xp.sum(dZ * dZ)) / (2 * fit.mean.shape[0])

    def hessian(self, mean: Array, V: Array, xp: Any) -> Array:  # noqa: ARG002
        """V / n."""
        return V / mean.shape[0]

    def weights(self, mean: Array, xp: Any) -> Array:
        """1 / n."""
        return xp.ones_like(mean[:, 0]) / mean.shape[0]

    def dual(self, G: Array, Y: Array, scale: float, xp: Any) -> float:
        """-<Θ, Y> - n ||Θ||² / 2."""
        return -scale * scalar(xp.sum(G * Y)) - Y.shape[0] * scale**2 * scalar(xp.sum(G * G)) / 2

    def absent_intercept(self, b: np.ndarray, classes: np.ndarray, n_outputs: int) -> np.ndarray:  # noqa: ARG002
        """No output is ever absent."""
        return b

    def explained(self, fit: Fit, null: Fit) -> float:
        """R²."""
        return 1.0 - fit.value / null.value
