"""FISTA for all problems of a stack: see `solver/fista.py`, which says what a step is.

No step waits for the device: a problem whose step is refused stays where it is, and tries a shorter one in the next.
"""

from head2toe.select.compute.arrays import Array
from head2toe.select.compute.kernels import inner_products, minus_product, plus_product
from head2toe.select.lockstep.rules import GROWTH, SHRINKAGE
from head2toe.select.lockstep.stack import Stack, StackedFit


def smoothness(stack: Stack) -> Array:
    """Estimate the Lipschitz constants (K, 1, 1) of the data terms' gradients in W by eight power iterations."""
    xp, X = stack.xp, stack.X
    v = xp.sum(X, axis=2, keepdims=True) + X[:, :, :1]
    size = inner_products(v, v, xp)
    for _ in range(8):
        v = v / xp.sqrt(xp.where(size > 0, size, 1.0))
        v = X @ (stack.X_T @ v)
        size = inner_products(v, v, xp)
    longest = xp.max(xp.sum(X * X, axis=2, keepdims=True), axis=1, keepdims=True)
    squared_norm = xp.astype(xp.maximum(1.05 * xp.sqrt(size), longest), xp.float64)
    constant = squared_norm * (0.5 * xp.max(stack.shares, axis=1, keepdims=True))
    return xp.where(constant > 1e-30, constant, 1e-30)


def fista_steps(
    stack: Stack,
    W: Array,
    Z: Array,
    b: Array,
    fit: StackedFit,
    gradient: Array,
    step: Array,
    shortest: Array,
    steps: int,
) -> tuple[Array, Array, Array]:
    """Take up to so many FISTA steps at fixed intercepts, with restarts.

    Parameters
    ----------
    stack : Stack
        K problems of p features and n rows.
    W, Z, b : array (K, p, C), (K, n, C), (K, 1, C)
        Where they start, the predictions XᵀW, and the intercepts.
    fit : StackedFit
        The data terms there.
    gradient : array (K, p, C)
        XG there.
    step, shortest : array of float64 (K, 1, 1)
        Step lengths to begin with, and those that are nearly always accepted.
    steps : int

    Returns
    -------
    W, Z, step
        As they were given, after the steps; W in float64.
    """
    xp = stack.xp
    W = Y = stack.low(W)
    Z_Y, theta, last = Z, xp.ones_like(step), xp.ones_like(step) > 0
    for i in range(steps):
        if i:
            fit = stack.evaluate(Z_Y, b)
            gradient = stack.gradient(fit.residual)
        step = xp.where(last, step * GROWTH, step)
        V = stack.prox(minus_product(Y, stack.low(step), gradient, xp), step)
        D = V - Y
        dZ = stack.predict(D)
        bound = xp.astype(inner_products(D, D, xp), xp.float64) / (2 * step)
        taken = ~(stack.bregman(fit, dZ) > bound * (1 + 1e-4) + 1e-14)
        Z_V, moved = Z_Y + dZ, V - W
        uphill = inner_products(D, moved, xp) < 0  # the momentum points there (O'Donoghue & Candès 2015)
        following = (1 + xp.sqrt(1 + 4 * theta * theta)) / 2
        beta = xp.where(uphill, 0.0, (theta - 1) / following)
        Y = xp.where(taken, plus_product(V, stack.low(beta), moved, xp), Y)
        Z_Y = xp.where(taken, plus_product(Z_V, beta, Z_V - Z, xp), Z_Y)
        W, Z = xp.where(taken, V, W), xp.where(taken, Z_V, Z)
        theta = xp.where(taken, xp.where(uphill, 1.0, following), theta)
        shorter = step * SHRINKAGE
        step = xp.where(taken, step, xp.where(step > shortest, xp.maximum(shorter, shortest), shorter))
        last = taken
    return xp.astype(W, xp.float64), Z, step
