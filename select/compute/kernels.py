"""What would be several kernels on a GPU, as one: each beside the same by the array API, which everything else uses.

The text of a kernel is written so that it is Python as well as CUDA C++: the tests run it without a GPU.
"""

from functools import lru_cache
from typing import Any

import array_api_compat

Array = Any


def row_norms(A: Array, xp: Any) -> Array:
    """Return ||A_j||₂ over the last dimension: of every row (p,), if A is (p, C)."""
    if array_api_compat.is_cupy_namespace(xp):
        return _reduction("row_norms", "T x", "x * x", "a + b", "y = sqrt(a)", "0")(A, axis=A.ndim - 1)
    return xp.sqrt(xp.sum(A * A, axis=-1))  # (vecdot would be slow where A is stored by columns)


def clip(x: Array, low: float, high: float, xp: Any) -> Array:
    """Return x with what is below `low` or above `high` brought there; NaN stays."""
    if array_api_compat.is_cupy_namespace(xp):  # array_api_compat's takes 21 launches and 4 waits
        import cupy

        return cupy.clip(x, low, high)
    return xp.clip(x, low, high)


def shortened(V: Array, length: Array, threshold: float | Array, xp: Any) -> Array:
    """Return every row of V (…, p, C), of this length (…, p), shortened by `threshold`, at most to zero.

    The threshold is one for all rows, or broadcasts against V and has its dtype.
    """
    length = length[..., None]
    if array_api_compat.is_cupy_namespace(xp):
        text = "y = x * max(T(0), T(1) - threshold / max(length, T(1e-37)))"
        kernel = _elementwise("shortened", "T x, T length, T threshold", text)
        return kernel(V, length, float(threshold) if isinstance(threshold, int | float) else threshold)
    alive = length > threshold
    return V * xp.where(alive, 1 - threshold / xp.where(alive, length, 1.0), 0.0)


def sum_of_exponentials(Z: Array, top: Array, axis: int, xp: Any) -> Array:
    """Return Σ exp(z - top) over an axis, which stays with length 1; `top` broadcasts against Z."""
    if array_api_compat.is_cupy_namespace(xp):
        kernel = _reduction("sum_of_exponentials", "T z, T top", "exp(z - top)", "a + b", "y = a", "0")
        return kernel(Z, top, axis=axis, keepdims=True)
    return xp.sum(xp.exp(Z - top), axis=axis, keepdims=True)


def minus_log(Z: Array, top: Array, total: Array, xp: Any) -> Array:
    """Return z - (top + log(total)), entry by entry; the others broadcast against Z."""
    if array_api_compat.is_cupy_namespace(xp):
        return _elementwise("minus_log", "T z, T top, T total", "y = z - (top + log(total))")(Z, top, total)
    return Z - (top + xp.log(total))


def inner_products(A: Array, B: Array, xp: Any) -> Array:
    """Return Σ a b over all axes but the first, which stay with length 1: of each problem's two arrays."""
    axes = tuple(range(1, A.ndim))
    if array_api_compat.is_cupy_namespace(xp):
        return _reduction("inner_products", "T x, T z", "x * z", "a + b", "y = a", "0")(A, B, axis=axes, keepdims=True)
    return xp.sum(A * B, axis=axes, keepdims=True)


def plus_product(A: Array, B: Array, C: Array, xp: Any) -> Array:
    """Return A + B C, entry by entry; the arrays broadcast against each other."""
    if array_api_compat.is_cupy_namespace(xp):
        return _elementwise("plus_product", "T x, T z, T w", "y = x + z * w")(A, B, C)
    return A + B * C


def minus_product(A: Array, B: Array, C: Array, xp: Any) -> Array:
    """Return A - B C, entry by entry; the arrays broadcast against each other."""
    if array_api_compat.is_cupy_namespace(xp):
        return _elementwise("minus_product", "T x, T z, T w", "y = x - z * w")(A, B, C)
    return A - B * C


def positive_ratio(A: Array, B: Array, xp: Any) -> Array:
    """Return A / B, and 0 where B is not positive; shapes are the same."""
    if array_api_compat.is_cupy_namespace(xp):
        return _elementwise("positive_ratio", "T x, T z", f"y = {_ratio('x', 'z')}")(A, B)
    return xp.where(B > 0, A / xp.where(B > 0, B, xp.ones_like(B)), xp.zeros_like(B))


def expectations(P: Array, V: Array, xp: Any, *, axis: int) -> Array:
    """Return Σ p v over an axis, which stays with length 1; the arrays have one shape."""
    if array_api_compat.is_cupy_namespace(xp):
        return _reduction("expectations", "T x, T z", "x * z", "a + b", "y = a", "0")(P, V, axis=axis, keepdims=True)
    return xp.sum(P * V, axis=axis, keepdims=True)


def expected_growth(P: Array, V: Array, shift: Array, most: float, xp: Any) -> Array:
    """Return Σ p (exp(v - shift) - 1) over the last dimension, which stays; of exponents `most` at the most."""
    if array_api_compat.is_cupy_namespace(xp):
        each = f"x * expm1(min(z - shift, T({most!r})))"
        kernel = _reduction("expected_growth", "T x, T z, T shift", each, "a + b", "y = a", "0")
        return kernel(P, V, shift, axis=P.ndim - 1, keepdims=True)
    V = V - shift
    return xp.sum(P * xp.expm1(xp.where(most < V, most, V)), axis=-1, keepdims=True)


def entropies(Y: Array, scale: Array, G: Array, shares: Array, per_share: Array, xp: Any) -> Array:
    """Return -Σ share q log q, q = y + scale g / share, over all axes but the first, which stay with length 1.

    Rounding may give a q of a little less than 0, which counts as 0 does. Everything is float64 and broadcasts
    against Y.
    """
    if array_api_compat.is_cupy_namespace(xp):
        q = "max(z + scale * g * per, T(0))"
        each = f"share * {q} * log(max({q}, T(1e-300)))"
        kernel = _reduction("entropies", "T z, T scale, T g, T share, T per", each, "a + b", "y = -a", "0")
        return kernel(Y, scale, G, shares, per_share, axis=tuple(range(1, Y.ndim)), keepdims=True)
    q = Y + scale * (G * per_share)
    q = xp.where(q > 0, q, 1.0)  # 0 log 0 = 0 = 1 log 1
    return -xp.sum(shares * (q * xp.log(q)), axis=tuple(range(1, Y.ndim)), keepdims=True)


def conjugate_step(
    x: Array, r: Array, p: Array, h: Array, rz: Array, ph: Array, least: Array, xp: Any
) -> tuple[Array, Array]:
    """Return x + a p and r - a h with a = rz / ph, and a = 0 where rz is not above `least` or ph not positive."""
    if array_api_compat.is_cupy_namespace(xp):
        a = f"(rz > least) * {_ratio('rz', 'ph')}"
        inputs = "T x, T r, T p, T h, T rz, T ph, T least"
        kernel = _elementwise("conjugate_step", inputs, f"y = x + {a} * p; v = r - {a} * h", "T y, T v")
        moved: tuple[Array, Array] = kernel(x, r, p, h, rz, ph, least)
        return moved
    a = xp.where(rz > least, positive_ratio(rz, ph, xp), 0.0)
    return x + a * p, r - a * h


def conjugate_direction(inverse: Array, r: Array, rz: Array, last: Array, p: Array, xp: Any) -> Array:
    """Return `inverse` r + (rz / last) p, and 0 for the ratio where `last` is not positive."""
    if array_api_compat.is_cupy_namespace(xp):
        each = f"y = inverse * r + {_ratio('rz', 'last')} * p"
        return _elementwise("conjugate_direction", "T inverse, T r, T rz, T last, T p", each)(inverse, r, rz, last, p)
    return inverse * r + positive_ratio(rz, last, xp) * p


def inverse_deviation(variance: Array, mean: Array, factor: float, share: float, xp: Any) -> Array:
    """Return 1 / sqrt(variance * factor), and 0 where the variance is not above a share of the squared mean."""
    if array_api_compat.is_cupy_namespace(xp):
        text = "y = (v > share * m * m) / sqrt(v * factor + (v <= T(0)))"
        kernel = _elementwise("inverse_deviation", "T v, T m, T factor, T share", text)
        return kernel(variance, mean, float(factor), float(share))
    alive = variance > share * mean * mean
    return xp.where(alive, 1 / xp.sqrt(xp.where(alive, variance * factor, xp.ones_like(mean))), 0 * mean)


def weighted_squares(A: Array, B: Array, xp: Any) -> Array:
    """Return Σ b a² over all axes but the first, which stay with length 1; B broadcasts against A."""
    if array_api_compat.is_cupy_namespace(xp):
        axes = tuple(range(1, A.ndim))
        kernel = _reduction("weighted_squares", "T x, T z", "x * (z * x)", "a + b", "y = a", "0")
        return kernel(A, B, axis=axes, keepdims=True)
    return inner_products(A, B * A, xp)


def weighted_variances(A: Array, P: Array, xp: Any) -> Array:
    """Return Σ a p (1 - p) over the last dimension, which stays with length 1; the arrays broadcast."""
    if array_api_compat.is_cupy_namespace(xp):
        kernel = _reduction("weighted_variances", "T x, T z", "x * z * (T(1) - z)", "a + b", "y = a", "0")
        return kernel(A, P, axis=P.ndim - 1, keepdims=True)
    return xp.sum(A * P * (1 - P), axis=-1, keepdims=True)


def weighted_difference(A: Array, B: Array, C: Array, xp: Any) -> Array:
    """Return A (B - C), entry by entry; the arrays broadcast against each other."""
    if array_api_compat.is_cupy_namespace(xp):
        return _elementwise("weighted_difference", "T x, T z, T w", "y = x * (z - w)")(A, B, C)
    return A * (B - C)


def masked_plus_product(A: Array, B: Array, C: Array, mask: Array, xp: Any) -> Array:
    """Return (A + B C) mask, entry by entry; the arrays broadcast against each other."""
    if array_api_compat.is_cupy_namespace(xp):
        return _elementwise("masked_plus_product", "T x, T z, T w, T m", "y = (x + z * w) * m")(A, B, C, mask)
    return (A + B * C) * mask


def largest_in_units(A: Array, squared_units: Array, xp: Any) -> Array:
    """Return max |a| / sqrt(unit²) over all axes but the first, which stay with length 1."""
    axes = tuple(range(1, A.ndim))
    if array_api_compat.is_cupy_namespace(xp):
        kernel = _reduction("largest_in_units", "T x, T u", "abs(x) / sqrt(u)", "max(a, b)", "y = a", "0")
        return kernel(A, squared_units, axis=axes, keepdims=True)
    return xp.max(xp.abs(A) / xp.sqrt(squared_units), axis=axes, keepdims=True)


def is_at_most(new: Array, old: Array, slope: Array, share: float, rounding: float, xp: Any) -> Array:
    """Return whether new <= old + share * slope + rounding * |old|, of arrays of one shape; no NaN is."""
    if array_api_compat.is_cupy_namespace(xp):
        text = "y = x <= z + share * slope + rounding * abs(z)"
        kernel = _elementwise("is_at_most", "T x, T z, T slope, T share, T rounding", text, "bool y")
        return kernel(new, old, slope, float(share), float(rounding))
    return new <= old + share * slope + rounding * xp.abs(old)


def transposed(A: Array, xp: Any) -> Array:
    """Return the matrices in the last two dimensions transposed: on a GPU copied, elsewhere a view.

    cuBLAS takes five times as long for the product of a few rows with a transposed view as with a copy.
    """
    turned = xp.matrix_transpose(A)
    return turned.copy() if array_api_compat.is_cupy_namespace(xp) else turned


def _ratio(a: str, b: str) -> str:
    """Write a / b, and 0 where b is not positive, as a kernel does."""
    return f"(({b} > T(0)) * ({a} / (max({b}, T(0)) + ({b} <= T(0)))))"


@lru_cache
def _reduction(name: str, inputs: str, each: str, pair: str, after: str, identity: str) -> Any:
    import cupy

    return cupy.ReductionKernel(inputs, "T y", each, pair, after, identity, name)


@lru_cache
def _elementwise(name: str, inputs: str, each: str, output: str = "T y") -> Any:
    import cupy

    return cupy.ElementwiseKernel(inputs, output, each, name)
