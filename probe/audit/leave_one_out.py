"""What a head would say of a training image if it had not been trained on it: leave-one-out, without training again.

For ridge heads it is exact, in closed form. For logistic heads it is a Newton step from the head's weights on the
objective without the image, with a bound on what is left (Rad & Maleki 2020, Journal of the Royal Statistical Society B
82, 965-996); where that is more than a hundredth, more of them, each so short that the objective falls. How an image is
scaled is not fitted again.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax, logsumexp

TOLERANCE = 1e-2
"""Of a Newton system: the residual as a share of the right-hand side."""
BOUND = 0.01
"""The relative error of the weights at which no further Newton step is taken."""
MOST_NEWTON_STEPS = 30
MOST_HALVINGS = 20
SLACK = 1e-12
"""The share of an objective by which it may rise in a step: that of rounding."""
MOST_STEPS = 50
MOST_CG_STEPS = 500
ROWS_AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Predictions for m training rows by heads that were not trained on them.

    Attributes
    ----------
    log_probabilities : (m, classes) float64 array
        In nats.
    fitted : (m, classes) float64 array
        The same by the head that was trained on all rows.
    bound : (m,) float64 array
        By how much the weights can differ from the exact ones at most, as a share of how far they moved; 0 where the
        solution is exact.
    """

    log_probabilities: np.ndarray
    fitted: np.ndarray
    bound: np.ndarray

    def influence(self, labels: np.ndarray) -> np.ndarray:
        """Return how much of each label's log-probability is owed to the row itself, (m,) float64 in nats.

        That is its memorisation (Feldman & Zhang 2020): large where an image's label follows from no other image.
        """
        own = np.arange(len(labels)), labels
        return np.asarray(self.fitted[own] - self.log_probabilities[own])


def ridge_left_out(Z: np.ndarray, labels: np.ndarray, n_classes: int, C: float, scale: float) -> LeftOut:
    """Leave each row out of a ridge head; exact.

    Parameters
    ----------
    Z : (n, k) array
        Scaled features.
    labels : (n,) int array
    n_classes : int
    C : float
        The penalty is 10 / C · ‖W‖², see `probe/heads/ridge.py`; the intercept has none.
    scale : float
        What scores are multiplied by before the softmax.
    """
    n = len(labels)
    Y = np.eye(n_classes)[labels]
    centred = Z - Z.mean(axis=0, dtype=np.float64)
    K, penalty = centred @ centred.T, 10 / C
    # What the hat matrix leaves: in long directions it is tiny, and 1 less the hat matrix would be rounding alone. The
    # intercept's direction, of which nothing is left, is made one of usual length for the same reason.
    usual = max(float(np.trace(K)) / n, np.finfo(np.float64).tiny)
    squares, vectors = np.linalg.eigh(K + usual / n)
    left = (vectors * (penalty / (np.maximum(squares, 0) + penalty))) @ vectors.T - penalty / (usual + penalty) / n
    residuals = left @ Y
    fitted, left_out = Y - residuals, Y - residuals / np.diag(left)[:, None]
    return LeftOut(log_softmax(scale * left_out, axis=1), log_softmax(scale * fitted, axis=1), np.zeros(n))


def logistic_left_out(Z: np.ndarray, labels: np.ndarray, n_classes: int, C: float, rows: np.ndarray) -> LeftOut:
    """Leave each of some rows out of an L2-penalised multinomial logistic head, by a few Newton steps each.

    The objective is ½ ‖V‖² + C Σ cross-entropy, the intercept without a penalty. Without a row it is strongly convex in
    V with modulus 1 once the intercept is at its best, so that the norm of its gradient there bounds the error of V.

    Parameters
    ----------
    Z : (n, k) array
        Scaled features.
    labels : (n,) int array
    n_classes : int
    C : float
    rows : (m,) int array
        Which rows to leave out.

    Returns
    -------
    LeftOut
        Of these rows.
    """
    objective = _Objective.of(Z, labels, n_classes, C)
    theta = objective.minimum()
    fitted = log_softmax(objective.X[rows] @ theta, axis=1)
    parts = [objective.without(rows[i : i + ROWS_AT_ONCE], theta) for i in range(0, len(rows), ROWS_AT_ONCE)]
    logp = np.concatenate([part[0] for part in parts]) if parts else fitted
    return LeftOut(logp, fitted, np.concatenate([part[1] for part in parts]) if parts else np.zeros(0))


@dataclass(frozen=True, eq=False)
class _Objective:
    """The logistic objective on rows X (n, r + 1), in an orthonormal basis of the features; the last column is ones.

    Several weights stand side by side, (r + 1, m, classes), so that a step for all of them is two products.
    """

    X: np.ndarray
    Y: np.ndarray
    C: float

    @classmethod
    def of(cls, Z: np.ndarray, labels: np.ndarray, n_classes: int, C: float) -> "_Objective":
        """Rotate rows into the eigenbasis of their Gram matrix, where the Hessian is close to diagonal."""
        centred = Z - Z.mean(axis=0, dtype=np.float64)
        wide = centred.shape[1] > len(centred)
        values, vectors = np.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
        kept = values > 1e-12 * max(values[-1], 1e-300)
        X = vectors[:, kept] * np.sqrt(values[kept]) if wide else centred @ vectors[:, kept]
        return cls(np.column_stack([X, np.ones(len(X))]), np.eye(n_classes)[labels], C)

    def minimum(self) -> np.ndarray:
        """Return the weights (r + 1, classes), by damped Newton steps."""
        theta = np.zeros((self.X.shape[1], 1, self.Y.shape[1]))
        counts = np.ones((len(self.X), 1))
        value = self.value(theta[:, 0])
        for _ in range(MOST_STEPS):
            gradient = self.gradients(theta, counts)
            if np.linalg.norm(gradient) <= 1e-7 * self.C * np.sqrt(len(self.X)):
                break
            step = self.newton(theta, counts, -gradient)
            t = 1.0
            while (after := self.value((theta + t * step)[:, 0])) > value and t > 1e-8:
                t /= 2
            theta, value = theta + t * step, after
        return theta[:, 0]

    def without(self, rows: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log-probabilities (m, classes) of rows by the weights after Newton steps without them, and bounds (m,)."""
        counts = np.ones((len(self.X), len(rows)))
        counts[rows, np.arange(len(rows))] = 0
        start = np.repeat(theta[:, None], len(rows), axis=1)
        moved, bounds = start.copy(), np.full(len(rows), np.inf)
        for _ in range(MOST_NEWTON_STEPS):
            far = np.flatnonzero(bounds > BOUND)
            if not len(far):
                break
            moved[:, far] = self.with_best_intercepts(self.lower(moved[:, far], counts[:, far]), counts[:, far])
            gradients = self.gradients(moved[:, far], counts[:, far])
            length = np.linalg.norm((moved - start)[:-1, far], axis=(0, 2))
            bounds[far] = np.linalg.norm(gradients[:-1], axis=(0, 2)) / np.maximum(length, 1e-300)
        scores = np.einsum("mr,rmc->mc", self.X[rows], moved)
        return log_softmax(scores, axis=1), bounds

    def value(self, theta: np.ndarray) -> float:
        """The objective on all rows."""
        return float(self.values(theta[:, None], np.ones((len(self.X), 1)))[0])

    def values(self, theta: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """The objectives (m,) at weights (r + 1, m, classes), each row counting `counts` (n, m) times."""
        losses = _losses(self.scores(theta), self.Y, counts)
        return np.asarray(0.5 * (theta[:-1] ** 2).sum(axis=(0, 2)) + self.C * losses)

    def lower(self, theta: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Take a Newton step from each of some weights (r + 1, m, classes), halved until its objective does not rise.

        A whole step can lead far away: where a head is sure of nearly all rows, the curvature says little of the way.
        """
        step = self.newton(theta, counts, -self.gradients(theta, counts))
        return _halved(theta, step, lambda moved: self.values(moved, counts))

    def scores(self, theta: np.ndarray) -> np.ndarray:
        """Scores (n, m, classes) of all rows."""
        return np.asarray((self.X @ theta.reshape(len(theta), -1)).reshape(len(self.X), *theta.shape[1:]))

    def back(self, residuals: np.ndarray) -> np.ndarray:
        """Return C Xᵀ residuals, (r + 1, m, classes), of residuals (n, m, classes)."""
        product = self.X.T @ residuals.reshape(len(residuals), -1)
        return np.asarray(self.C * product.reshape(len(product), *residuals.shape[1:]))

    def gradients(self, theta: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Gradients at weights (r + 1, m, classes), each row counting `counts` (n, m) times."""
        P = np.exp(log_softmax(self.scores(theta), axis=2))
        gradients = self.back(counts[:, :, None] * (P - self.Y[:, None]))
        gradients[:-1] += theta[:-1]
        return gradients

    def newton(self, theta: np.ndarray, counts: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Solve the Newton systems at weights (r + 1, m, classes), by preconditioned conjugate gradients."""
        P = np.exp(log_softmax(self.scores(theta), axis=2))
        ridge = np.append(np.ones(self.X.shape[1] - 1), 0.0)[:, None, None]
        spread = (P * (1 - P)).reshape(len(P), -1)
        diagonal = self.C * ((self.X**2).T @ spread).reshape(theta.shape) + ridge + 1e-12

        def hessian(V: np.ndarray) -> np.ndarray:
            PV = P * self.scores(V)
            curved = self.back(counts[:, :, None] * (PV - P * PV.sum(axis=2, keepdims=True)))
            return np.asarray(curved + ridge * V)

        return _conjugate_gradients(hessian, right, diagonal)

    def with_best_intercepts(self, theta: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Set the last row of weights (r + 1, m, classes) to its minimum, the others as they are."""
        theta = theta.copy()
        theta[-1] = best_intercepts(self.scores(theta) - theta[-1], theta[-1], self.Y, counts)
        return theta


def best_intercepts(scores: np.ndarray, start: np.ndarray, Y: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Find the intercepts of least logistic loss beside given scores, by Newton steps.

    Parameters
    ----------
    scores : (n, m, classes) float64 array
        Without intercepts, of n rows by m heads.
    start : (m, classes) array
        Where to begin.
    Y : (n, classes) array
        One-hot labels.
    counts : (n, m) array
        How often each row counts.

    Returns
    -------
    (m, classes) float64 array
    """
    intercepts = np.array(start, np.float64)
    for _ in range(MOST_STEPS):
        P = np.exp(log_softmax(scores + intercepts, axis=2))
        gradient = (counts[:, :, None] * (P - Y[:, None])).sum(axis=0)
        if np.abs(gradient).max() <= 1e-9 * len(counts):
            break
        weighted = counts[:, :, None] * P
        curvature = -np.einsum("nmc,nmd->mcd", weighted, P)
        curvature[:, *np.diag_indices(P.shape[2])] += weighted.sum(axis=0)
        steps = [-np.linalg.lstsq(H, g, rcond=None)[0] for H, g in zip(curvature, gradient, strict=True)]
        intercepts = _halved(intercepts[None], np.stack(steps)[None], lambda b: _losses(scores + b[0], Y, counts))[0]
    return intercepts


def _losses(scores: np.ndarray, Y: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Logistic losses (m,) of scores (n, m, classes)."""
    own = np.einsum("nmc,nc->nm", scores, Y)
    return np.asarray((counts * (logsumexp(scores, axis=2) - own)).sum(axis=0))


def _halved(start: np.ndarray, step: np.ndarray, values: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Go along steps (r, m, c), each halved until the value (m,) is no larger than at the start, or do not go."""
    least = values(start)
    length = np.ones(len(least))
    for _ in range(MOST_HALVINGS):
        moved = start + length[:, None] * step
        worse = ~(values(moved) <= least + SLACK * np.abs(least))
        if not worse.any():
            return np.asarray(moved)
        length[worse] /= 2
    return np.asarray(start + np.where(worse, 0.0, length)[:, None] * step)


def _conjugate_gradients(
    operator: Callable[[np.ndarray], np.ndarray], right: np.ndarray, diagonal: np.ndarray
) -> np.ndarray:
    """Solve several positive systems side by side (r, m, c), each to `TOLERANCE`, preconditioned by a diagonal."""

    def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(np.einsum("rmc,rmc->m", a, b)[:, None])

    x, r = np.zeros_like(right), right.copy()
    z = r / diagonal
    p, rz, goal = z, dot(r, z), TOLERANCE**2 * dot(right, right)
    active = dot(r, r) > goal
    for _ in range(MOST_CG_STEPS):
        if not active.any():
            break
        h = operator(p)
        curvature = dot(p, h)
        active &= curvature > 0  # where it is not, rounding has the last word
        a = np.where(active, rz / np.where(active, curvature, 1.0), 0.0)
        x, r = x + a * p, r - a * h
        active &= dot(r, r) > goal
        z = r / diagonal
        last, rz = rz, dot(r, z)
        p = z + np.where(active, rz / np.where(active, last, 1.0), 0.0) * p
    return x
