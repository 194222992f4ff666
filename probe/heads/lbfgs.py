"""Limited-memory BFGS with a diagonal preconditioner, for several problems of one shape side by side.

Scikit-learn and SciPy have L-BFGS without a preconditioner, and one problem at a time. Here a step costs one product
with the data forward and one back, and what was learned of the curvature is kept from one strength of the penalty to
the next: the change of the gradient over a step changes by (new - old ridge) * step, exactly.
"""

from dataclasses import dataclass, field
from typing import Any

from head2toe.select.compute.arrays import Array
from head2toe.select.compute.kernels import (
    inner_products,
    inverse_or_one,
    inverse_root,
    minus_product,
    plus_product,
    positive_ratio,
    transposed,
)

MEMORY = 10
"""How many steps are remembered."""


@dataclass
class Curvature:
    """The last steps s of each problem, what they did to its gradient, y, and 1 / <s, y> (0 where there was no step).

    All arrays are (problems, classes, coordinates); sums over the last two axes are (problems, 1, 1).
    """

    xp: Any
    pairs: list[tuple[Array, Array, Array]] = field(default_factory=list)

    def add(self, step: Array, change: Array) -> None:
        """Learn from a step and the change of the gradient over it; the oldest step is forgotten."""
        sy = dot(step, change, self.xp)
        # Rounding alone makes this negative: the objective is strictly convex but for the intercepts.
        self.pairs = [*self.pairs, (step, change, ratio(self.xp.ones_like(sy), sy, self.xp))][-MEMORY:]

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
            share = rho * dot(step, z, xp)
            z = minus_product(z, share, change, xp)
            shares.append(share)
        z = z / precondition
        if self.pairs:
            _, change, rho = self.pairs[-1]
            inverse = rho * dot(change, change / precondition, xp)
            z = z * xp.where(inverse > 0, 1 / xp.where(inverse > 0, inverse, 1.0), 1.0)
        for (step, change, rho), share in zip(self.pairs, reversed(shares), strict=True):
            z = plus_product(z, minus_product(share, rho, dot(change, z, xp), xp), step, xp)
        return z


class StackedCurvature:
    """The same, in a few large products instead of many small ones, as suits a GPU that solves hundreds of problems.

    The matrix of BFGS is written out for all steps at once (Byrd, Nocedal & Schnabel 1994, theorem 2.2). Every step and
    its change are divided by sqrt(<s, y>). A problem that takes no step, for it is done, forgets none either.

    Attributes
    ----------
    pairs : (2, problems, MEMORY, classes * coordinates) array
        Steps S and changes Y, the latest last; zeros where there were fewer steps.
    """

    def __init__(self, xp: Any) -> None:
        self.xp = xp
        self.pairs: Array | None = None

    def add(self, step: Array, change: Array) -> None:
        """Learn from a step and the change of the gradient over it; the oldest step is forgotten."""
        xp, problems = self.xp, step.shape[0]
        pairs = self._start(step) if self.pairs is None else self.pairs
        sy = dot(step, change, xp)
        latest = xp.reshape(xp.stack((step, change)), (2, problems, 1, -1)) * inverse_root(sy, xp)
        self.pairs = xp.where(sy > 0, xp.concat((pairs[:, :, 1:, :], latest), axis=2), pairs)

    def _start(self, step: Array) -> Array:
        xp, dtype, device = self.xp, step.dtype, step.device
        problems, classes, coordinates = step.shape
        number = xp.arange(MEMORY, device=device)
        self.eye = xp.astype(number[:, None] == number, dtype)
        self.above = xp.astype(number[:, None] < number, dtype)
        return xp.zeros((2, problems, MEMORY, classes * coordinates), dtype=dtype, device=device)

    def shift(self, ridge: Array) -> None:
        """Account for an objective that has got 1/2 <theta, ridge * theta> more (or less) than it had."""
        if self.pairs is None:
            return
        xp, (_, problems, _, size) = self.xp, self.pairs.shape
        classes = size // ridge.shape[2]
        spread = xp.reshape(xp.broadcast_to(ridge, (problems, classes, ridge.shape[2])), (problems, 1, size))
        S = self.pairs[0, ...]
        Y = plus_product(self.pairs[1, ...], spread, S, xp)
        self.pairs = xp.stack((S, Y)) * inverse_root(xp.sum(S * Y, axis=2, keepdims=True), xp)

    def solve(self, gradient: Array, precondition: Array) -> Array:
        """Multiply the gradient by H^-1, with H the BFGS matrix that starts as the diagonal `precondition`."""
        xp, scaled = self.xp, gradient / precondition
        if self.pairs is None:
            return scaled
        problems, S, Y = gradient.shape[0], self.pairs[0, ...], self.pairs[1, ...]
        g, Y_T = xp.reshape(gradient, (problems, -1, 1)), transposed(Y, xp)
        V = Y / xp.reshape(precondition, (problems, 1, -1))
        YV = V @ Y_T
        R_inverse = xp.linalg.inv(plus_product(self.eye, S @ Y_T, self.above, xp))
        gamma = inverse_or_one(YV[:, -1:, -1:], xp)
        u = R_inverse @ (S @ g)
        w = xp.matrix_transpose(R_inverse) @ plus_product(u, gamma, YV @ u - V @ g, xp)
        learned = minus_product(xp.matrix_transpose(w) @ S, gamma, xp.matrix_transpose(u) @ V, xp)
        return plus_product(xp.reshape(learned, gradient.shape), gamma, scaled, xp)


def dot(a: Array, b: Array, xp: Any) -> Array:
    """Inner product of each problem's two arrays, (problems, 1, 1)."""
    return inner_products(a, b, xp)


def ratio(a: Array, b: Array, xp: Any) -> Array:
    """Divide a by b, but give 0 where b is not positive (a problem that is done)."""
    return positive_ratio(a, b, xp)
