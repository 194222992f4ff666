"""Newton-CG for all problems of a stack, each on its support: see `solver/newton.py`, which says what the system is."""

from collections.abc import Iterator

import numpy as np
from head2toe.select.compute.arrays import Array, to_numpy
from head2toe.select.compute.kernels import inner_products, minus_product, plus_product, positive_ratio, row_norms
from head2toe.select.compute.linear_algebra import spd_inverses
from head2toe.select.lockstep.chosen_rows import ChosenRows
from head2toe.select.lockstep.line_search import first_crossing, step_lengths
from head2toe.select.lockstep.rules import DAMPING, FORCING, MOST_CG_STEPS
from head2toe.select.lockstep.stack import PENALTY, Stack, StackedFit


def newton_step(
    stack: Stack, W: Array, Z: Array, b: Array, fit: StackedFit, support: ChosenRows
) -> tuple[Array, Array, Array]:
    """Take one damped Newton step in the nonzero rows of W and in b. A row that would cross zero becomes zero.

    Parameters
    ----------
    stack : Stack
        K problems of p features and n rows.
    W, Z, b : array of float64 (K, p, C), (K, n, C), (K, 1, C)
        Weights, predictions XᵀW and intercepts.
    fit : StackedFit
        The data terms there.
    support : ChosenRows
        The rows of W that are not zero.

    Returns
    -------
    W, Z, b : array of float64
        After the step; of a problem of which no step length lowers the objective, those given.
    """
    xp, small, W_A = stack.xp, support.of_stack(stack), support.take(W)
    system = NewtonSystem(small, W_A, fit, support.real)
    direction, b_direction, decrease = system.solve()
    before = small.penalty(W_A)
    t, lower = xp.ones_like(before), before < 0
    for attempt in _step_lengths(to_numpy(first_crossing(W_A, direction, xp))):
        t = xp.where(lower, t, xp.asarray(attempt, device=W.device))
        trial = PENALTY.cut(W_A + t * direction, W_A, xp)
        dZ = small.predict(trial - W_A)
        dZb = dZ + t * b_direction
        change = inner_products(fit.residual, dZb, xp) + small.bregman(fit, dZb) + small.penalty(trial) - before
        lower = change < -1e-5 * t * decrease
        if bool(xp.all(lower)):
            break
    W = xp.where(lower, support.put_back(trial), W)
    return W, xp.where(lower, Z + dZ, Z), xp.where(lower, b + t * b_direction, b)


def _step_lengths(crossings: np.ndarray) -> Iterator[np.ndarray]:
    """Yield step lengths (K, 1, 1) of K problems, given where each first crosses zero (K,)."""
    of_each = [list(step_lengths(float(crossing))) for crossing in crossings]
    for attempt in range(max(map(len, of_each))):
        yield np.array([own[min(attempt, len(own) - 1)] for own in of_each])[:, None, None]


class NewtonSystem:
    """The Newton systems of a stack on supports of up to m rows, solved by preconditioned conjugate gradients.

    The preconditioner and its two levels are those of `solver/newton.py`; rows that fill up have a one on the diagonal.

    Parameters
    ----------
    stack : Stack
        On the features of the supports.
    W : array of float64 (K, m, C)
        Their weights.
    fit : StackedFit
        The data terms there.
    real : array of float32 (K, m, 1)
        1 for a row of the support, 0 for one that fills up.
    """

    def __init__(self, stack: Stack, W: Array, fit: StackedFit, real: Array) -> None:
        xp = self.xp = stack.xp
        self.stack, self.mean, self.lam = stack, stack.low(fit.mean), stack.low(stack.lam)
        low = stack.low(W)
        length = row_norms(low, xp)[:, :, None]
        length = xp.where(real > 0, length, 1.0)
        self.u, self.real = low / length, real
        self.across = real * (self.lam / length)
        K, _, n = stack.X.shape
        self.X1 = xp.concat((stack.X, xp.ones((K, 1, n), dtype=low.dtype, device=low.device)), axis=1)
        self.X1_T = xp.matrix_transpose(self.X1)
        b_gradient = stack.low(xp.sum(fit.residual, axis=1, keepdims=True))
        gradient = plus_product(stack.gradient(fit.residual), self.lam, self.u, xp)
        self.gradient = xp.concat((gradient * real, b_gradient), axis=1)
        self._invert(stack.low(stack.weights(fit.mean)))

    def _invert(self, w: Array) -> None:
        """Prepare both levels of the preconditioner, given the rows' weights (K, n, 1)."""
        xp, real = self.xp, self.real
        half = self.X1 * xp.matrix_transpose(xp.sqrt(w))
        K = half @ xp.matrix_transpose(half)
        eye = xp.eye(K.shape[1], dtype=K.dtype, device=K.device)
        typical = xp.sum(K * eye, axis=(1, 2), keepdims=True) / (xp.sum(real, axis=1, keepdims=True) + 1)
        self.damping = DAMPING["float32"] * typical
        one = xp.ones_like(typical)
        # (The intercept, which is last, has no penalty; and a row that fills up has nothing but the one.)
        diagonal = xp.concat((self.across + (1 - real), 0 * one), axis=1) + 1e-6 * typical
        self.across_inverse = spd_inverses(K + eye * diagonal, xp)
        turned = self.u @ xp.matrix_transpose(self.u)
        along = K[:, :-1, :-1] * turned + eye[:-1, :-1] * (self.damping * real + (1 - real))
        self.along_inverse = spd_inverses(along, xp)

    def precondition(self, r: Array) -> Array:
        """Return the sum of both levels of the preconditioner, applied to residuals r (K, m + 1, C)."""
        xp = self.xp
        along = self.along_inverse @ self._along(r)
        return self.across_inverse @ r + xp.concat((self.u * along, xp.zeros_like(r[:, :1, :])), axis=1)

    def _along(self, V: Array) -> Array:
        """Return u_j · V_j (K, m, 1) of V (K, m + 1, C)."""
        return self.xp.sum(self.u * V[:, :-1, :], axis=2, keepdims=True)

    def apply(self, V: Array) -> Array:
        """Return the Hessians of the objectives, damped along W_j, applied to V (K, m + 1, C)."""
        xp = self.xp
        out = self.X1 @ self.stack.hessian(self.mean, self.X1_T @ V)
        rows = plus_product(self.across * V[:, :-1, :], self.u, (self.damping - self.across) * self._along(V), xp)
        return out + xp.concat((rows, xp.zeros_like(V[:, :1, :])), axis=1)

    def solve(self) -> tuple[Array, Array, Array]:
        """Run CG on H d = -g until the decrease of each quadratic model levels off (Nash & Sofer 1990).

        Returns
        -------
        W, b : array of float64 (K, m, C), (K, 1, C)
            The directions.
        decrease : array of float64 (K, 1, 1)
            -<gradient, direction>.
        """
        xp = self.xp
        r = -self.gradient
        x = xp.zeros_like(r)
        p = z = self.precondition(r)
        rz = inner_products(r, z, xp)
        live, total = rz > 0, xp.zeros_like(rz)
        for i in range(1, MOST_CG_STEPS + 1):
            h = self.apply(p)
            curvature = inner_products(p, h, xp)
            live = live & (curvature > 0)  # (only by rounding it is not: no further step can be trusted)
            a = positive_ratio(rz, curvature, xp) * xp.astype(live, rz.dtype)
            x, r = plus_product(x, a, p, xp), minus_product(r, a, h, xp)
            gain = a * rz
            total = total + gain
            live = live & (i * gain > FORCING * total)
            if not bool(xp.any(live)):
                break
            z = self.precondition(r)
            rz, last = inner_products(r, z, xp), rz
            live = live & (rz > 0)
            p = plus_product(z, positive_ratio(rz, last, xp), p, xp)
        decrease = -inner_products(self.gradient, x, xp)
        x = xp.astype(x, xp.float64)
        return x[:, :-1, :], x[:, -1:, :], xp.astype(decrease, xp.float64)
