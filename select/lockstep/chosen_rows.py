"""Some rows of the matrices of a stack, of each problem others: taken out into a smaller stack, and put back."""

from dataclasses import dataclass, replace
from typing import Any

from head2toe.select.compute.arrays import Array
from head2toe.select.lockstep.stack import Stack


@dataclass(frozen=True)
class ChosenRows:
    """Which of the p rows of each problem are chosen; q is the largest number of them, and others are filled up.

    Attributes
    ----------
    flat : array of int64 (K * q,)
        Their places among all K * p rows. A row that fills up is one that is not chosen.
    real : array of float32 (K, q, 1)
        1 for a row that is chosen, 0 for one that fills up.
    back : array of int64 (K * p,)
        For each of all rows its place among the K * (q + 1) rows of `put_back`.
    xp : namespace
        Array namespace of these.
    """

    flat: Array
    real: Array
    back: Array
    xp: Any

    @classmethod
    def of(cls, chosen: Array, q: int, xp: Any) -> "ChosenRows":
        """Choose rows by a mask (K, p), of which no problem has more than q."""
        K, p = chosen.shape
        number = xp.astype(chosen, xp.int64)
        problem = xp.arange(K, dtype=xp.int64, device=chosen.device)[:, None]
        order = xp.argsort(1 - number, axis=1, stable=True)[:, :q]  # the chosen first, in their order
        counts = xp.sum(number, axis=1, keepdims=True)
        real = xp.arange(q, dtype=xp.int64, device=chosen.device)[None, :] < counts
        place = xp.where(chosen, xp.cumulative_sum(number, axis=1) - 1, q)
        return cls(
            xp.reshape(xp.astype(order, xp.int64) + p * problem, (-1,)),
            xp.astype(real, xp.float32)[:, :, None],
            xp.reshape(place + (q + 1) * problem, (-1,)),
            xp,
        )

    def take(self, A: Array) -> Array:
        """Return the chosen rows (K, q, …) of A (K, p, …); those that fill up are zero."""
        xp, (K, q, _) = self.xp, self.real.shape
        taken = xp.take(xp.reshape(A, (-1, A.shape[2])), self.flat, axis=0)
        return xp.reshape(taken, (K, q, A.shape[2])) * xp.astype(self.real, A.dtype)

    def put_back(self, A: Array) -> Array:
        """Return a matrix (K, p, …) of zeros with the rows of A (K, q, …) in their places."""
        xp, (K, q, _) = self.xp, self.real.shape
        zero = xp.zeros((K, 1, A.shape[2]), dtype=A.dtype, device=A.device)
        rows = xp.reshape(xp.concat((A, zero), axis=1), (K * (q + 1), A.shape[2]))
        return xp.reshape(xp.take(rows, self.back, axis=0), (K, -1, A.shape[2]))

    def of_stack(self, stack: Stack) -> Stack:
        """Return the stack with these features alone."""
        X = self.take(stack.X)
        return replace(stack, X=X, X_T=self.xp.matrix_transpose(X))
