"""Linear systems and eigendecompositions of whichever namespace: by LAPACK on a processor, by cuSOLVER on a GPU.

`scipy.linalg.eigh` holds the interpreter's lock while LAPACK computes, so that candidates that are tried side by side
would wait for each other there. SciPy offers the same routines to compiled code; called through `ctypes`, which lets
go of the lock, they give the same bits.
"""

import contextlib
import ctypes
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import array_api_compat
import numpy as np
from head2toe.select.compute.arrays import Array, scalar
from scipy import linalg  # type: ignore[import-untyped]
from scipy.linalg import cython_lapack

ROUTINES = {np.dtype(np.float32): "ssyevd", np.dtype(np.float64): "dsyevd"}


def spd_solver(matrix: Array, xp: Any) -> Callable[[Array], Array]:
    """Prepare to solve with one symmetric positive definite matrix many times.

    NumPy's arrays are factorised by Cholesky (LAPACK). The array API has no triangular solve, so that other namespaces
    apply the explicit inverse as a product, which on a GPU is one call where two triangular solves are two long ones.

    Parameters
    ----------
    matrix : array (m, m)
        Symmetric and positive definite, float32 or float64. One that rounding has made indefinite is inverted by LU.
    xp : namespace
        Array namespace of the matrix.

    Returns
    -------
    function
        Takes the right-hand sides (m, k) and returns the solutions (m, k) in the same precision.
    """
    if isinstance(matrix, np.ndarray):
        with contextlib.suppress(np.linalg.LinAlgError):  # not positive definite: LU, below, does without that
            factor = linalg.cho_factor(matrix, lower=True, check_finite=False)
            return lambda rhs: linalg.cho_solve(factor, rhs, check_finite=False)
    inverse = _inverse_by_cholesky(matrix, xp) if array_api_compat.is_cupy_array(matrix) else xp.linalg.inv(matrix)
    return lambda rhs: inverse @ rhs


def spd_inverses(matrices: Array, xp: Any) -> Array:
    """Invert symmetric positive definite matrices (K, m, m), each of float32 or float64, where a wait is dear.

    By LU where rounding has made one of them indefinite.
    """
    if not array_api_compat.is_cupy_array(matrices):
        return xp.linalg.inv(matrices)
    eye = xp.eye(matrices.shape[1], dtype=matrices.dtype)
    inverses = xp.stack([_by_cholesky(matrices[k, ...], eye, xp) for k in range(matrices.shape[0])])
    if math.isfinite(scalar(xp.sum(inverses))):
        return inverses
    return xp.stack([_inverse_by_cholesky(matrices[k, ...], xp) for k in range(matrices.shape[0])])


def _inverse_by_cholesky(matrix: Array, xp: Any) -> Array:
    """Invert on a GPU by one factor; by LU where rounding has made the matrix indefinite."""
    inverse = _by_cholesky(matrix, xp.eye(matrix.shape[0], dtype=matrix.dtype), xp)
    return inverse if math.isfinite(scalar(xp.sum(inverse))) else xp.linalg.inv(matrix)


def _by_cholesky(matrix: Array, eye: Array, xp: Any) -> Array:
    """Return L⁻ᵀL⁻¹. Where the matrix is indefinite it is NaN: CuPy's `cholesky`, `inv` and `solve` raise nothing."""
    from cupyx.scipy.linalg import solve_triangular

    half = solve_triangular(xp.linalg.cholesky(matrix), eye, lower=True)
    return half.T @ half


def solve(matrix: Array, rhs: Array, xp: Any) -> Array:
    """Solve a small system (m, m) for right-hand sides (m, k).

    Raises
    ------
    LinAlgError
        The matrix is singular. On a GPU nobody else would say so: CuPy's own `solve` returns NaN.
    """
    solution = xp.linalg.solve(matrix, rhs)
    if array_api_compat.is_cupy_array(solution) and not math.isfinite(scalar(xp.sum(solution))):
        raise np.linalg.LinAlgError("singular matrix")
    return solution


def eigh(matrix: Array, xp: Any) -> tuple[Array, Array]:
    """Return eigenvalues (m,), rising, and eigenvectors (m, m) of a symmetric matrix (m, m), in its own precision.

    NumPy's arrays go to LAPACK's divide and conquer, because `numpy.linalg.eigh` computes in float64 whatever it is
    given, at half the speed.
    """
    if isinstance(matrix, np.ndarray):
        return symmetric_eigen(matrix)
    values, vectors = xp.linalg.eigh(matrix)
    return values, vectors


def symmetric_eigen(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues (m,), rising, and eigenvectors (m, m), one a column, by divide and conquer.

    Parameters
    ----------
    matrix : (m, m) float32 or float64 array
        Its lower triangle is read; it stays as it is.

    Raises
    ------
    LinAlgError
        It did not converge.
    """
    routine = _routine(matrix.dtype)
    if routine is None or not matrix.size:
        values, vectors = linalg.eigh(matrix, driver="evd", check_finite=False)
        return values, vectors
    vectors = np.array(matrix, order="F")
    values = np.empty(len(matrix), matrix.dtype)
    work, iwork = np.empty(1, matrix.dtype), np.empty(1, np.intc)
    _call(routine, vectors, values, work, -1, iwork, -1)  # a query: how much memory it works in
    work, iwork = np.empty(int(work[0]), matrix.dtype), np.empty(int(iwork[0]), np.intc)
    _call(routine, vectors, values, work, len(work), iwork, len(iwork))
    return values, vectors


def _call(
    routine: Callable[..., None],
    vectors: np.ndarray,
    values: np.ndarray,
    work: np.ndarray,
    lwork: int,
    iwork: np.ndarray,
    liwork: int,
) -> None:
    """Call `?syevd`; vectors hold the matrix before, and the eigenvectors after."""
    m, info = ctypes.c_int(len(values)), ctypes.c_int()
    sizes = [ctypes.c_int(lwork), ctypes.c_int(liwork)]
    at = ctypes.addressof
    routine(
        b"V", b"L", at(m), vectors.ctypes.data, at(m), values.ctypes.data,
        work.ctypes.data, at(sizes[0]), iwork.ctypes.data, at(sizes[1]), at(info),
    )  # fmt: skip
    if info.value:
        raise np.linalg.LinAlgError(f"eigenvalues did not converge (LAPACK's info is {info.value})")


@lru_cache
def _routine(dtype: np.dtype[Any]) -> Callable[..., None] | None:
    """Return `?syevd` of the LAPACK that SciPy uses; None if it is not of the form that `_call` knows."""
    capsule = getattr(cython_lapack, "__pyx_capi__", {}).get(ROUTINES.get(dtype, ""))
    if capsule is None:
        return None
    # Prototypes of our own: what is set on `ctypes.pythonapi` is set for all who use it.
    name_of = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))
    pointer_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    signature = name_of(capsule)
    kinds = [part.strip() for part in signature.decode().partition("(")[2].rstrip(")").split(",")]
    # A LAPACK of 64-bit integers would call them something else than int.
    if [i for i, kind in enumerate(kinds) if kind == "int *"] != [2, 4, 7, 8, 9, 10]:
        return None
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(kinds))
    function: Callable[..., None] = prototype(pointer_of(capsule, signature))
    return function
