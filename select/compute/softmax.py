"""Softmax over one axis of an array, and its logarithm, on any array namespace.

(Plain NumPy arrays have `scipy.special.log_softmax`.)
"""

from typing import Any

import array_api_compat
from head2toe.select.compute.arrays import Array
from head2toe.select.compute.kernels import minus_log, sum_of_exponentials


def softmax(Z: Array, xp: Any, *, axis: int = 1) -> tuple[Array, Array]:
    """Return probabilities, and the log-sum-exp that they are normalised by.

    Parameters
    ----------
    Z : array of float
        Logits. The largest one along the axis is subtracted first, so that nothing overflows.
    xp : namespace
        Array namespace of Z.
    axis : int
        The axis of the classes.

    Returns
    -------
    probabilities : array
        Shape and dtype of Z; they sum to one along `axis`.
    log_sum_exp : array
        Shape of Z without `axis`: log Σ_c exp(z_c).
    """
    top = xp.max(Z, axis=axis, keepdims=True)
    if array_api_compat.is_cupy_namespace(xp):  # fewer launches, one exponential more
        log_sum_exp = top + xp.log(sum_of_exponentials(Z, top, axis, xp))
        return xp.exp(Z - log_sum_exp), xp.squeeze(log_sum_exp, axis=axis)
    E = xp.exp(Z - top)
    total = xp.sum(E, axis=axis, keepdims=True)
    return E / total, xp.squeeze(top + xp.log(total), axis=axis)


def log_softmax(Z: Array, xp: Any, *, axis: int = 1) -> Array:
    """Return the logarithms of the probabilities that `softmax` gives, accurate for those near zero as well.

    Parameters
    ----------
    Z : array of float
        Logits.
    xp : namespace
        Array namespace of Z.
    axis : int
        The axis of the classes.

    Returns
    -------
    array
        Shape and dtype of Z: z_c - log Σ_k exp(z_k).
    """
    if array_api_compat.is_cupy_namespace(xp):
        top = xp.max(Z, axis=axis, keepdims=True)
        return minus_log(Z, top, sum_of_exponentials(Z, top, axis, xp), xp)
    Z = Z - xp.max(Z, axis=axis, keepdims=True)
    return Z - xp.log(xp.sum(xp.exp(Z), axis=axis, keepdims=True))
