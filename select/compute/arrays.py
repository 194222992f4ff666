"""Array namespaces and devices: which to compute with, how arrays get there and back.

This is the only file that knows devices. Everything else in `select/` and `probe/` computes on the array-API namespace
that it is handed (`Arrays.xp`).
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
    """An array namespace together with the device its arrays live on.

    Attributes
    ----------
    xp : namespace
        Of the array API: `array_api_compat.numpy`, say.
    device : object
        What `xp` calls a device.
    name : str
        "cpu", "cuda:0", …
    """

    xp: Any
    device: Any
    name: str

    def enter(self) -> None:
        """Make the calling thread compute on this device: CuPy's current device is each thread's own."""
        if self.name.startswith("cuda"):  # never run: there was no GPU
            self.device.use()

    def put(self, array: np.ndarray, dtype: Any = None) -> Array:
        """Bring an array of the host to the device.

        Parameters
        ----------
        array : ndarray
            Any shape. On the CPU its memory may be shared instead of copied.
        dtype : dtype of `xp`, optional
            The array's own by default.

        Returns
        -------
        array of `xp`
            The same shape.
        """
        if array_api_compat.is_torch_namespace(self.xp) and not array.flags.writeable:
            array = array.copy()  # torch has no read-only tensors and warns when it would share one
        return self.xp.asarray(array, dtype=dtype, device=self.device)


def namespace(device: str = "auto") -> Arrays:
    """Choose where to compute: on a GPU with CuPy where both are there, otherwise on the CPU with NumPy.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "cuda:N"}
        What to use. "auto" never fails.

    Returns
    -------
    Arrays

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
    """Return NumPy's namespace, on the CPU."""
    import array_api_compat.numpy as xp

    return Arrays(xp, "cpu", "cpu")


def to_numpy(array: Array) -> np.ndarray:
    """Bring an array of any namespace and device to the host: the same shape and dtype, shared where it can be."""
    if isinstance(array, np.ndarray | np.generic):
        return np.asarray(array)
    if array_api_compat.is_torch_array(array):
        return np.asarray(array.detach().cpu().numpy())
    if array_api_compat.is_cupy_array(array):
        return np.asarray(array.get())
    xp = array_api_compat.array_namespace(array)
    host = array.to_device(xp.__array_namespace_info__().default_device())
    return np.asarray(host)


def scalar(array: Array) -> float:
    """Return the value of an array without dimensions as a Python float. On a GPU this waits for the device."""
    return float(array) if isinstance(array, np.ndarray | np.generic | float) else float(to_numpy(array))


def spd_solver(matrix: Array, xp: Any) -> Callable[[Array], Array]:
    """Prepare to solve with one symmetric positive definite matrix many times.

    NumPy's arrays are factorised by Cholesky (LAPACK). The array API has no triangular solve, so that other namespaces
    apply the explicit inverse as a product.

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
            factor = lapack.cho_factor(matrix, lower=True, check_finite=False)
            return lambda rhs: lapack.cho_solve(factor, rhs, check_finite=False)
    inverse = xp.linalg.inv(matrix)
    return lambda rhs: inverse @ rhs


def eigh(matrix: Array, xp: Any) -> tuple[Array, Array]:
    """Return eigenvalues (m,), rising, and eigenvectors (m, m) of a symmetric matrix (m, m), in its own precision.

    NumPy's arrays go to LAPACK's divide and conquer, because `numpy.linalg.eigh` computes in float64 whatever it is
    given, at half the speed.
    """
    if isinstance(matrix, np.ndarray):
        values, vectors = lapack.eigh(matrix, driver="evd", check_finite=False)
    else:
        values, vectors = xp.linalg.eigh(matrix)
    return values, vectors
