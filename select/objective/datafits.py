"""Data terms F(Z; Y) of predictions Z = XW + 1bᵀ, each with all that a solver needs of it.

A data term is a mean over the n rows, weighted if the rows have weights. At a point it gives its value and the residual
G = ∂F/∂Z; its Hessian applied to predictions; its Bregman distance; the value of the dual; and the exact intercept,
which is not penalised. It knows neither penalties nor solvers.
"""

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from head2toe.select.compute.arrays import Array, Arrays, scalar, to_numpy
from head2toe.select.compute.linear_algebra import solve
from head2toe.select.compute.softmax import softmax
from head2toe.store.common.errors import BadRequest


@dataclass(frozen=True)
class Fit:
    """A data term at one point.

    Attributes
    ----------
    value : float
        F.
    residual : array of float64 (n, C)
        G = ∂F/∂Z.
    mean : array of float64 (n, C)
        E[Y | Z], such as the probabilities of the classes.
    """

    value: float
    residual: Array
    mean: Array


class Datafit(Protocol):
    """What a solver asks of a data term, for n rows and C outputs (classes).

    Y, Z, V, G and `mean` are float64 arrays (n, C) of the namespace `xp`, b is (C,). In `intercept` and `evaluate`, Z
    is without the intercept b; everywhere else it includes it.
    """

    @property
    def curvature(self) -> float:
        """Upper bound on n times the eigenvalues of the Hessian of F in Z."""

    def checked(self, y: np.ndarray, n: int, n_outputs: int) -> np.ndarray:
        """Return the targets as an array of n rows. Raise BadRequest where they are none for `n_outputs` outputs."""

    def classes(self, y: np.ndarray, n_outputs: int) -> np.ndarray:
        """Return which of the outputs take part (C,), ascending, given the targets y of the training rows."""

    def targets(self, y: np.ndarray, classes: np.ndarray, arrays: Arrays) -> Array:
        """Return the targets y of the training rows as a matrix Y (n, len(classes)), on the device of `arrays`."""

    def intercept(self, Z: Array, Y: Array, b: Array | None, xp: Any) -> Array:
        """Return the b (C,) that minimises F(Z + 1bᵀ), found from the one given."""

    def evaluate(self, Z: Array, b: Array, Y: Array, xp: Any) -> Fit:
        """Return value, residual and mean at Z + 1bᵀ."""

    def bregman(self, fit: Fit, dZ: Array, xp: Any) -> float:
        """Return F(Z + dZ) - F(Z) - <G, dZ>, without the cancellation that the difference of two losses suffers."""

    def hessian(self, mean: Array, V: Array, xp: Any) -> Array:
        """Return the Hessian of F in Z applied to V, in the precision of V."""

    def weights(self, mean: Array, xp: Any) -> Array:
        """Return the mean diagonal of that Hessian in each row (n,): one weighted Gram matrix serves all outputs."""

    def dual(self, G: Array, Y: Array, scale: float, xp: Any) -> float:
        """Return the dual -F*(Θ) at Θ = scale · G, which is feasible where 1ᵀG = 0 and the penalty accepts XᵀΘ."""

    def absent_intercept(self, b: np.ndarray, classes: np.ndarray, n_outputs: int) -> np.ndarray:
        """Return the intercepts of all outputs (n_outputs,), given those of the outputs that took part."""

    def explained(self, fit: Fit, null: Fit) -> float:
        """Return the fraction of the null model's deviance that is explained. Near 1 the path ends."""


class WeightableDatafit(Datafit, Protocol):
    """A data term that can be a weighted mean over the rows."""

    def weighted(self, shares: Array) -> Self:
        """Return the same data term with the rows weighted by positive shares (n,) float64 that sum to 1."""


@dataclass(frozen=True)
class _RowMean:
    """The mean over n rows that both data terms below are made of.

    Attributes
    ----------
    shares : array of float64 (n,), optional
        What each row counts, positive, summing to 1; by default all count alike, 1 / n.
    """

    shares: Array | None = None

    def weighted(self, shares: Array) -> Self:
        """Return the same data term with the rows weighted by positive shares (n,) float64 that sum to 1."""
        return type(self)(shares)

    def _mean(self, values: Array, xp: Any) -> Array:
        """Return the mean of values (n, …) over the rows."""
        return xp.mean(values, axis=0) if self.shares is None else self.shares @ values

    def _counts(self, values: Array, xp: Any) -> Any:
        """Return what each row of values (n,) or (n, C) counts, as what they can be multiplied by."""
        if self.shares is None:
            return 1.0 / values.shape[0]
        shares = xp.astype(self.shares, values.dtype, copy=False)
        return shares if values.ndim == 1 else shares[:, None]

    def _spread(self, values: Array, xp: Any) -> Array:
        """Return values (n,) or (n, C) times what each row counts."""
        return values * self._counts(values, xp)

    def _gathered(self, values: Array) -> Array:
        """Return values (n, C) divided by what each row counts: the opposite of `_spread`."""
        return values * values.shape[0] if self.shares is None else values / self.shares[:, None]

    def _largest(self) -> float:
        """Return n times the largest share."""
        return 1.0 if self.shares is None else float(self.shares.shape[0] * to_numpy(self.shares).max())


@dataclass(frozen=True)
class Multinomial(_RowMean):
    """F = (1/n) Σ_i [log Σ_c exp(z_ic) - z_{i, y_i}]: cross-entropy after softmax. With C = 2: logistic regression."""

    @property
    def curvature(self) -> float:
        """Return that of diag(p) - ppᵀ, reached where two classes share all probability."""
        return 0.5 * self._largest()

    def checked(self, y: np.ndarray, n: int, n_outputs: int) -> np.ndarray:
        """Return labels (n,); raise BadRequest unless each row has an integer in 0 .. n_outputs - 1."""
        y = np.asarray(y)
        if y.shape != (n,):
            raise BadRequest(f"{n} rows need {n} labels, not an array of shape {y.shape}")
        if not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or y.max() >= n_outputs:
            raise BadRequest(f"labels must be integers in 0 .. {n_outputs - 1}")
        return y

    def classes(self, y: np.ndarray, n_outputs: int) -> np.ndarray:
        """Return the classes present: an absent one has its optimum at b_c = -inf, W_c = 0, and is left out."""
        return np.flatnonzero(np.bincount(y, minlength=n_outputs))

    def targets(self, y: np.ndarray, classes: np.ndarray, arrays: Arrays) -> Array:
        """Return one-hot rows over the classes present."""
        return arrays.put((classes[:, None] == y).astype(np.float64)).T

    def intercept(self, Z: Array, Y: Array, b: Array | None, xp: Any) -> Array:
        """Solve for the intercepts by Newton's method, with backtracking.

        The gradient is the mean of P - Y over the rows; it must vanish for the dual to be feasible.
        """
        C = Y.shape[1]
        if b is None:
            b = xp.log(self._mean(Y, xp))
        eye = xp.eye(C, dtype=Y.dtype, device=Y.device)
        P, lse = softmax(Z + b, xp)
        loss, gradient = self._mean(lse, xp) - xp.sum(self._mean((Z + b) * Y, xp)), self._mean(P - Y, xp)
        for _ in range(50):
            if scalar(xp.max(xp.abs(gradient))) <= 1e-12:
                break
            p = self._mean(P, xp)
            H = eye * p - P.T @ self._spread(P, xp)
            # H is singular along 1, because softmax does not see a shift: 11ᵀ/C mends that and leaves the step alone.
            mended = H + (1.0 / C) * scalar(xp.sum(p * (1 - p))) + 1e-14 * eye
            step = solve(mended, gradient[:, None], xp)[:, 0]
            slope, t = scalar(xp.sum(step * gradient)), 1.0
            for _ in range(30):
                trial = b - t * step
                P, lse = softmax(Z + trial, xp)
                value = self._mean(lse, xp) - xp.sum(self._mean((Z + trial) * Y, xp))
                if scalar(value - loss) <= -1e-4 * t * slope + 1e-14:
                    break
                t /= 2
            b, loss, gradient = trial, value, self._mean(P - Y, xp)
        return b - xp.mean(b)

    def evaluate(self, Z: Array, b: Array, Y: Array, xp: Any) -> Fit:
        """Return the loss, the residual (P - Y) / n and the probabilities P."""
        P, lse = softmax(Z + b, xp)
        return Fit(scalar(self._mean(lse - xp.sum((Z + b) * Y, axis=1), xp)), self._spread(P - Y, xp), P)

    def bregman(self, fit: Fit, dZ: Array, xp: Any) -> float:
        """Return the mean over the rows of log Σ_c p_c exp(dz_c) - Σ_c p_c dz_c."""
        dZ = dZ - xp.sum(fit.mean * dZ, axis=1, keepdims=True)  # softmax does not see it, and the second sum is now 0
        if scalar(xp.max(xp.abs(dZ))) > 700.0:  # exp would overflow
            top = xp.max(dZ, axis=1, keepdims=True)
            return scalar(self._mean(top[:, 0] + xp.log(xp.sum(fit.mean * xp.exp(dZ - top), axis=1) + 1e-300), xp))
        return scalar(self._mean(xp.log1p(xp.sum(fit.mean * xp.expm1(dZ), axis=1)), xp))

    def hessian(self, mean: Array, V: Array, xp: Any) -> Array:
        """Return (diag(p_i) - p_i p_iᵀ) v_i / n for every row i."""
        U = mean * V
        U -= mean * xp.sum(U, axis=1, keepdims=True)
        U *= self._counts(U, xp)
        return U

    def weights(self, mean: Array, xp: Any) -> Array:
        """Return Σ_c p_c (1 - p_c) / (C - 1) / n for every row: the trace of its Hessian over its rank."""
        return self._spread(xp.sum(mean * (1 - mean), axis=1) / (mean.shape[1] - 1), xp)

    def dual(self, G: Array, Y: Array, scale: float, xp: Any) -> float:
        """Return the mean entropy of q_i = y_i + scale · n g_i (with weights: g_i / share_i).

        Where G = (P - Y) / n, every q_i is a probability distribution for each scale from 0 to 1.
        """
        q = Y + scale * self._gathered(G)
        q = xp.where(q > 0, q, 1.0)  # 0 log 0 = 0 = 1 log 1, and rounding may give a little less than 0
        return -scalar(self._mean(xp.sum(q * xp.log(q), axis=1), xp))

    def absent_intercept(self, b: np.ndarray, classes: np.ndarray, n_outputs: int) -> np.ndarray:
        """Return the intercepts of all classes; an absent one has e⁻³⁰ of the odds of the rarest (optimum: -inf)."""
        out = np.full(n_outputs, b.min() - 30.0)
        out[classes] = b
        return out

    def explained(self, fit: Fit, null: Fit) -> float:
        """Return 1 - loss / loss of the intercept alone."""
        return 1.0 - fit.value / null.value


@dataclass(frozen=True)
class Quadratic(_RowMean):
    """F = ||Z - Y||² / 2n: multi-task least squares on real targets (n, C)."""

    @property
    def curvature(self) -> float:
        """Return that of the square, which is the same everywhere."""
        return self._largest()

    def checked(self, y: np.ndarray, n: int, n_outputs: int) -> np.ndarray:
        """Return targets (n, n_outputs) in float64, from (n,) for one output; raise BadRequest for anything else."""
        y = np.asarray(y, dtype=np.float64)
        y = y[:, None] if y.ndim == 1 else y
        if y.shape != (n, n_outputs) or not np.isfinite(y).all():
            raise BadRequest(f"{n} rows and {n_outputs} outputs need finite targets of that shape, not {y.shape}")
        return y

    def classes(self, y: np.ndarray, n_outputs: int) -> np.ndarray:  # noqa: ARG002
        """Return all outputs: every one takes part."""
        return np.arange(n_outputs)

    def targets(self, y: np.ndarray, classes: np.ndarray, arrays: Arrays) -> Array:
        """Return y as it is."""
        return arrays.put(np.ascontiguousarray(y[:, classes]))

    def intercept(self, Z: Array, Y: Array, b: Array | None, xp: Any) -> Array:  # noqa: ARG002
        """Return the mean of Y - Z over the rows."""
        return self._mean(Y - Z, xp)

    def evaluate(self, Z: Array, b: Array, Y: Array, xp: Any) -> Fit:
        """Return half the mean squared error, the residual (Z + 1bᵀ - Y) / n, and Z + 1bᵀ."""
        residual = Z + b - Y
        return Fit(self._half_square(residual, xp), self._spread(residual, xp), Z + b)

    def bregman(self, fit: Fit, dZ: Array, xp: Any) -> float:  # noqa: ARG002
        """Return ||dZ||² / 2n."""
        return self._half_square(dZ, xp)

    def hessian(self, mean: Array, V: Array, xp: Any) -> Array:  # noqa: ARG002
        """Return V / n."""
        return self._spread(V, xp)

    def weights(self, mean: Array, xp: Any) -> Array:
        """Return 1 / n for every row."""
        return self._spread(xp.ones_like(mean[:, 0]), xp)

    def dual(self, G: Array, Y: Array, scale: float, xp: Any) -> float:
        """Return -<Θ, Y> - n ||Θ||² / 2 at Θ = scale · G."""
        return -scale * scalar(xp.sum(G * Y)) - scale**2 * scalar(xp.sum(self._gathered(G) * G)) / 2

    def _half_square(self, values: Array, xp: Any) -> float:
        return scalar(self._mean(xp.sum(values * values, axis=1), xp)) / 2

    def absent_intercept(self, b: np.ndarray, classes: np.ndarray, n_outputs: int) -> np.ndarray:  # noqa: ARG002
        """Return b: no output is ever absent."""
        return b

    def explained(self, fit: Fit, null: Fit) -> float:
        """Return R²."""
        return 1.0 - fit.value / null.value
