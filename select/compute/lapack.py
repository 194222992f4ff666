"""LAPACK's eigendecomposition of a symmetric matrix, called so that other Python threads run beside it.

`scipy.linalg.eigh` holds the interpreter's lock while LAPACK computes, so that candidates that are tried side by side
would wait for each other there. SciPy offers the same routines to compiled code; called through `ctypes`, which lets
go of the lock, they give the same bits.
"""

import ctypes
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import linalg  # type: ignore[import-untyped]
from scipy.linalg import cython_lapack

ROUTINES = {np.dtype(np.float32): "ssyevd", np.dtype(np.float64): "dsyevd"}


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
