"""Array namespaces and devices: which to compute with, how arrays get there and back.

Devices are known here, in `device_memory` and in `kernels`. Everything else in `select/` and `probe/` computes on the
array-API namespace that it is handed (`Arrays.xp`).
"""

import contextlib
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import array_api_compat
import numpy as np
from head2toe.select.compute.device_memory import DeviceMemory
from head2toe.select.compute.lapack import symmetric_eigen
from head2toe.select.compute.workers import Cluster
from head2toe.store.common.errors import BadRequest, DeviceError, MissingExtra
from head2toe.store.reading.design_matrix import Design
from scipy import linalg as lapack  # type: ignore[import-untyped]  # early: limits of threads bind its BLAS

Array = Any  # an array of whichever namespace is in use; there is no common static type
DEVICE_MEMORY = 0.8
"""The share of a GPU's free memory that designs may take, unless another is asked for."""
REINSTALL = "install the extra that fits the driver, cuda12 or cuda13 (see `head2toe doctor`), or use --device cpu"


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
    memory : DeviceMemory, optional
        On a GPU, the designs that are kept there.
    note : str
        What a user should know of the choice; usually empty.
    cluster : Cluster, optional
        Workers that share the passes and subproblems of a path on a CPU.
    """

    xp: Any
    device: Any
    name: str
    memory: DeviceMemory | None = field(default=None, compare=False, repr=False)
    note: str = ""
    cluster: Cluster | None = field(default=None, compare=False, repr=False)

    @property
    def identity(self) -> dict[str, str]:
        """What the names of results have to say of the device: a GPU rounds otherwise, and near ties choose otherwise.

        Nothing for the CPU, and of a GPU not which one it is.
        """
        return {"device": "cuda"} if self.name.startswith("cuda") else {}

    def enter(self) -> None:
        """Make the calling thread compute on this device: CuPy's current device is each thread's own."""
        if self.name.startswith("cuda"):
            self.device.use()

    def put(self, array: np.ndarray, dtype: Any = None) -> Array:
        """Bring an array of the host to the device.

        Parameters
        ----------
        array : ndarray
            Any shape. On the CPU its memory may be shared instead of copied. One of the device stays as it is.
        dtype : dtype of `xp`, optional
            The array's own by default.

        Returns
        -------
        array of `xp`
            The same shape.
        """
        if not isinstance(array, np.ndarray):
            return array
        if array_api_compat.is_torch_namespace(self.xp) and not array.flags.writeable:
            array = array.copy()  # torch has no read-only tensors and warns when it would share one
        return self.xp.asarray(array, dtype=dtype, device=self.device)

    def columns(self, design: Design, indices: np.ndarray) -> Array:
        """Read features of a design: from the device's own memory if it is kept there, or fits.

        Parameters
        ----------
        design : Design
            n rows.
        indices : ndarray of int (k,)
            Ascending.

        Returns
        -------
        float32 array of `xp` (k, n)
        """
        kept = None if self.memory is None else self.memory.columns(design, indices, self.xp)
        return self.put(design.columns(indices)) if kept is None else kept


def namespace(device: str = "auto", memory: float = DEVICE_MEMORY) -> Arrays:
    """Choose where to compute: on a GPU with CuPy where both are there and work, otherwise on the CPU with NumPy.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "cuda:N"}
        What to use. "auto" never fails; where a GPU is there that does not compute, `Arrays.note` says why.
    memory : float
        The share of the GPU's free memory that designs may take, from 0 to 1.

    Returns
    -------
    Arrays

    Raises
    ------
    MissingExtra
        A GPU was asked for and CuPy is not installed.
    BadRequest
        `device` means nothing, or there is no such GPU.
    DeviceError
        The GPU that was asked for does not compute.
    """
    kind, _, number = device.partition(":")
    if device == "cpu":
        return numpy_arrays()
    if device != "auto" and (kind != "cuda" or (number and not number.isdigit())):
        raise BadRequest(f"device {device!r} is unknown: use auto, cpu, cuda or cuda:N")
    try:
        return _cupy_arrays(int(number or 0), memory)
    except (BadRequest, MissingExtra):
        if device == "auto":
            return numpy_arrays()
        raise
    except DeviceError as error:
        if device == "auto":
            return replace(numpy_arrays(), note=f"computing on the CPU: {error}")
        raise


def announced(arrays: Arrays) -> Arrays:
    """Say on stderr what a user should know of the choice, if there is anything, and return it."""
    if arrays.note:
        print(arrays.note, file=sys.stderr, flush=True)
    return arrays


def _cupy_arrays(index: int, memory: float) -> Arrays:
    """Return CuPy's namespace on a GPU that has been seen to compute; errors are those of `namespace`."""
    try:
        import cupy
    except ImportError as error:
        if getattr(error, "name", None) == "cupy":
            raise MissingExtra(
                f"device 'cuda:{index}' needs CuPy: install head2toe[cuda12] or head2toe[cuda13], whichever CUDA the "
                "driver has"
            ) from None
        raise DeviceError(f"CuPy can't be imported ({first_line(error)}): {REINSTALL}") from None
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except RuntimeError:  # no driver, or none of this CUDA
        count = 0
    if index >= count:
        raise BadRequest(f"device 'cuda:{index}' does not exist: CuPy sees {count} GPUs; use --device cpu")
    if os.environ.get("CUPY_TF32", "0") not in ("", "0"):  # CuPy reads it at its first product, and keeps it
        raise DeviceError(
            f"cuda:{index} would round float32 products to TF32, which choices depend on and no name of a result says: "
            "unset CUPY_TF32, or use --device cpu"
        )
    import array_api_compat.cupy as xp

    device = cupy.cuda.Device(index)
    device.use()
    try:
        _try_out(xp)
        free, _ = device.mem_info
    except Exception as error:  # whatever a library that is missing or does not fit raises, at whichever call
        raise DeviceError(f"cuda:{index} can't compute ({first_line(error)}): {REINSTALL}") from error
    return Arrays(xp, device, f"cuda:{index}", DeviceMemory(int(memory * free)))


def _try_out(xp: Any) -> None:
    """Compute a function (NVRTC compiles it), a product (cuBLAS) and a solution (cuSOLVER): each needs its library."""
    a = xp.asarray(np.array([[2.0, 1.0], [1.0, 3.0]], np.float32))
    b = xp.linalg.solve(a, a @ xp.exp(a * 0))
    if not bool(xp.all(xp.abs(b - 1) < 1e-3)):
        raise RuntimeError("a product of two matrices is not undone by solving")


def first_line(error: BaseException) -> str:
    """Return what an error says, in one line."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


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


def to_numpy_at_once(arrays: Sequence[Array]) -> list[np.ndarray]:
    """Bring arrays of one dtype to the host: from a GPU in one piece, for which is waited once."""
    if not arrays or not array_api_compat.is_cupy_array(arrays[0]):
        return [to_numpy(array) for array in arrays]
    xp = array_api_compat.array_namespace(*arrays)
    flat = to_numpy(xp.concat([xp.reshape(array, (-1,)) for array in arrays]))
    parts = np.split(flat, np.cumsum([math.prod(array.shape) for array in arrays])[:-1])
    return [part.reshape(array.shape) for part, array in zip(parts, arrays, strict=True)]


def scalar(array: Array) -> float:
    """Return the value of an array without dimensions as a Python float. On a GPU this waits for the device."""
    return float(array) if isinstance(array, np.ndarray | np.generic | float) else float(to_numpy(array))


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
            factor = lapack.cho_factor(matrix, lower=True, check_finite=False)
            return lambda rhs: lapack.cho_solve(factor, rhs, check_finite=False)
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
