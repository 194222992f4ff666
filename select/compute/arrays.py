"""Array namespaces and devices: which to compute with, how arrays get there and back.

Devices are known here, in `device_memory` and in `kernels`. Everything else in `select/` and `probe/` computes on the
array-API namespace that it is handed (`Arrays.xp`).
"""

import math
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import array_api_compat
import numpy as np
import scipy.linalg  # type: ignore[import-untyped]  # noqa: F401  early: limits of threads bind its BLAS
from head2toe.select.compute.device_memory import DeviceMemory
from head2toe.select.compute.workers import Cluster, Gpu
from head2toe.store.common.errors import BadRequest, DeviceError, Head2ToeError, MissingExtra
from head2toe.store.reading.design_matrix import Design

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
        Workers that share the passes and subproblems of a path.
    memory_share : float
        The share of the GPU's free memory that designs may take.
    """

    xp: Any
    device: Any
    name: str
    memory: DeviceMemory | None = field(default=None, compare=False, repr=False)
    note: str = ""
    cluster: Cluster | None = field(default=None, compare=False, repr=False)
    memory_share: float = field(default=0.0, compare=False, repr=False)

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

    def columns_of_each(self, design: Design, of_each: Sequence[np.ndarray]) -> Array:
        """Read equally many features for each of several folds: from the device's own memory all at once.

        Parameters
        ----------
        design : Design
            n rows.
        of_each : sequence of ndarray of int (k,)
            For each fold its features, ascending.

        Returns
        -------
        float32 array of `xp` (folds, k, n)
        """
        kept = None if self.memory is None else self.memory.columns(design, np.concatenate(of_each), self.xp)
        if kept is None:
            return self.xp.stack([self.put(design.columns(indices)) for indices in of_each])
        return self.xp.reshape(kept, (len(of_each), -1, design.shape[0]))


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


def arrays_there(gpu: Gpu, memory: float) -> Arrays:
    """Return, in a worker of a cluster, what it computes with on its GPU: the same every time, with what is kept there.

    Parameters
    ----------
    gpu : Gpu
        Which one, and how many workers share it.
    memory : float
        As in `namespace`, of all workers that share it.

    Raises
    ------
    DeviceError
        There is no such GPU there, or it does not compute.
    """
    name, sharing = gpu()
    try:
        arrays = _arrays_of(name, memory / sharing)
    except Head2ToeError as error:
        raise DeviceError(f"a worker of the cluster, on {platform.node()}: {error}") from error
    arrays.enter()
    return arrays


_arrays_of = lru_cache(namespace)


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
    return Arrays(xp, device, f"cuda:{index}", DeviceMemory(int(memory * free)), memory_share=memory)


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
