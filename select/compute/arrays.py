"""The one small file that knows devices: which array namespace to compute with, and how to get there and back.

Everything else in `select/` runs on the array-API namespace it is handed (`Arrays.xp`), whatever that is.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np
from head2toe.store.common.errors import BadRequest, MissingExtra
from scipy import linalg as lapack  # type: ignore[import-untyped]  # early: limits of threads bind its BLAS

Array = Any  # an array of whichever namespace is in use; there is no common static type


@dataclass(frozen=True)
class Arrays:
    """An array namespace together with the device its arrays live on."""

    xp: Any
    device: Any
    name: str

    def enter(self) -> None:
        """Make the calling thread compute on this device: CuPy's current device is each thread's own."""
        if self.name.startswith("cuda"):  # never run: there was no GPU
            self.device.use()

    def put(self, array: np.ndarray, dtype: Any = None) -> Array:
        """Bring a host array to the device, as `dtype` (default: its own). On the CPU it may be shared, not copied."""
        if array_api_compat.is_torch_namespace(self.xp) and not array.flags.writeable:
            array = array.copy()  # torch has no read-only tensors and warns when it would share one
        return self.xp.asarray(array, dtype=dtype, device=self.device)


def namespace(device: str = "auto") -> Arrays:
    """Choose where to compute: CuPy where it and a GPU are there, else NumPy.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "cuda:N"}
        What to use. "auto" never fails.

    Raises
    ------
    MissingExtra
        A GPU was asked for and CuPy is not installed.
    BadRequest
        `device` means nothing, or there is no such GPU.
    """
    kind, _, number = device.partition(":")
    if device == "cpu":
        return numpy_arrays()
    if device != "auto" and (kind != "cuda" or (number and not number.isdigit())):
        raise BadRequest(f"device {device!r} is unknown: use auto, cpu, cuda or cuda:N")
    try:
        import cupy
    except ImportError:
        if device == "auto":
            return numpy_arrays()
        raise MissingExtra(
            f"device {device!r} needs CuPy: install head2toe[cuda12] or head2toe[cuda13], whichever CUDA the driver has"
        ) from None
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError:
        count = 0
    index = int(number or 0)
    if index >= count:
        if device == "auto":
            return numpy_arrays()
        raise BadRequest(f"device {device!r} does not exist: CuPy sees {count} GPUs; use --device cpu")
    import array_api_compat.cupy as xp

    arrays = Arrays(xp, cupy.cuda.Device(index), f"cuda:{index}")
    arrays.enter()
    return arrays


def numpy_arrays() -> Arrays:
    """NumPy on the CPU."""
    import array_api_compat.numpy as xp

    return Arrays(xp, "cpu", "cpu")


def to_numpy(array: Array) -> np.ndarray:
    """Bring an array of any namespace and device to the host."""
    if isinstance(array, np.ndarray | np.generic):
        return np.asarray(array)
    if array_api_compat.is_torch_array(array):
        return array.detach().cpu().numpy()
    if array_api_compat.is_cupy_array(array):
        return array.get()
    xp = array_api_compat.array_namespace(array)
    host = array.to_device(xp.__array_namespace_info__().default_device())
    return np.asarray(host)


def scalar(array: Array) -> float:
    """A 0-d array's value as a Python float (on a GPU this waits for the device)."""
    return float(array) if isinstance(array, np.ndarray | np.generic | float) else float(to_numpy(array))


def spd_solver(matrix: Array, xp: Any) -> Callable[[Array], Array]:
    """Solve with a symmetric positive definite matrix (m, m), many times: by Cholesky where LAPACK is at hand.

    The array API has no triangular solve; elsewhere an explicit inverse is applied as a GEMM.
    """
    if isinstance(matrix, np.ndarray):
        with contextlib.suppress(np.linalg.LinAlgError):  # rounding made it indefinite: LU, below, doesn't mind
            factor = lapack.cho_factor(matrix, lower=True, check_finite=False)
            return lambda rhs: lapack.cho_solve(factor, rhs, check_finite=False)
    inverse = xp.linalg.inv(matrix)
    return lambda rhs: inverse @ rhs


def eigh(matrix: Array, xp: Any) -> tuple[Array, Array]:
    """Eigenvalues, rising, and eigenvectors of a symmetric matrix (m, m): in its own precision, by divide and conquer.

    NumPy's own function computes in float64 whatever it is given: half the speed.
    """
    if isinstance(matrix, np.ndarray):
        return lapack.eigh(matrix, driver="evd", check_finite=False)
    return xp.linalg.eigh(matrix)
