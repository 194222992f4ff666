"""cuSOLVER's factorisations: a singular or indefinite matrix gives NaN, without a word."""

from typing import Any

import numpy as np
from scipy.linalg import eigh as _eigh  # type: ignore[import-untyped]

from ._array import ndarray, raw, wrap
from ._counting import count, launch
from ._routines import missing

LinAlgError = np.linalg.LinAlgError


def _factorised(flops: float, matrix: np.ndarray, launches: int) -> None:
    count(launches=launches, library=2, hbm_bytes=4 * matrix.nbytes, flops=flops, handle="cusolver")


def inv(a: ndarray) -> ndarray:
    matrix = raw(a, scalars=False)
    _factorised(2.0 * matrix.shape[-1] ** 3, matrix, launches=3)
    try:
        return wrap(np.linalg.inv(matrix))
    except LinAlgError:
        return wrap(np.full_like(matrix, np.nan))


def solve(a: ndarray, b: ndarray) -> ndarray:
    matrix, rhs = raw(a, scalars=False), raw(b, scalars=False)
    _factorised(2.0 / 3 * matrix.shape[-1] ** 3 + 2.0 * matrix.shape[-1] * rhs.size, matrix, launches=2)
    try:
        return wrap(np.linalg.solve(matrix, rhs))
    except LinAlgError:
        return wrap(np.full_like(rhs, np.nan))


def cholesky(a: ndarray) -> ndarray:
    matrix = raw(a, scalars=False)
    _factorised(matrix.shape[-1] ** 3 / 3, matrix, launches=2)
    try:
        return wrap(np.linalg.cholesky(matrix))
    except LinAlgError:
        return wrap(np.full_like(matrix, np.nan))


def eigh(a: ndarray, UPLO: str = "L") -> tuple[ndarray, ndarray]:
    """Of one matrix: divide and conquer, for which the host waits."""
    matrix = raw(a, scalars=False)
    if matrix.ndim != 2:
        raise NotImplementedError("the double has no batched eigh")
    values, vectors = _eigh(matrix, driver="evd", check_finite=False)
    flops = 9.0 * matrix.shape[0] ** 3
    count(launches=1, library=1, syncs=1, hbm_bytes=8 * matrix.nbytes, flops=flops, handle="cusolver")
    return wrap(values), wrap(np.asarray(vectors, order="F"))


def norm(x: ndarray, ord: Any = None, axis: Any = None, keepdims: bool = False) -> ndarray:
    values = raw(x, scalars=False)
    found = np.asarray(np.linalg.norm(values, ord, axis, keepdims))
    launch(values, found, launches=2)
    return wrap(found)


lstsq, qr, svd, slogdet, pinv, det, matrix_power = map(
    missing, ("lstsq", "qr", "svd", "slogdet", "pinv", "det", "matrix_power")
)
