"""The array: NumPy's behind the names and the refusals of `cupy.ndarray`; ufuncs, reductions, products."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ._counting import count, launch
from ._device import Device, Memory, Stream, current_id, get_current_stream

SCALARS = (bool, int, float, complex, np.generic)


def raw(x: Any, *, scalars: bool = True) -> Any:
    """The NumPy array inside a device array of the current device, or a scalar; anything else is refused."""
    if isinstance(x, ndarray):
        if x._id != current_id():
            raise ValueError(
                f"The device where the array resides ({x._id}) is different from the current device ({current_id()})."
            )
        return x._a
    if scalars and isinstance(x, SCALARS):
        return x
    raise TypeError(f"Unsupported type {type(x)}")


def wrap(a: Any, memory: Memory | None = None) -> "ndarray":
    made = ndarray.__new__(ndarray)
    made._a, made._id = np.asarray(a), current_id()
    made._memory = memory or Memory(made._a.nbytes)
    return made


def ufunc(name: str) -> Callable[..., "ndarray"]:
    function = getattr(np, name)

    def call(*args: Any, out: Any = None, dtype: Any = None, **kwargs: Any) -> ndarray:
        if kwargs:
            raise TypeError(f"Wrong arguments {sorted(kwargs)}")
        inputs = [raw(a) for a in args[: function.nin]]
        if len(args) > function.nin:
            (out,) = args[function.nin :]
        with np.errstate(all="ignore"):  # a GPU does not warn
            target = None if out is None else raw(out, scalars=False)
            found = np.asarray(function(*inputs, out=target, dtype=dtype))
        launch(*inputs, found)
        return wrap(found) if out is None else out

    call.__name__ = name
    return call


def reduction(name: str) -> Callable[..., "ndarray"]:
    function = getattr(np, name)

    def call(a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False) -> ndarray:
        if out is not None:
            raise NotImplementedError("out=")
        values = raw(a, scalars=False)
        more = ({} if dtype is None else {"dtype": dtype}) | ({"keepdims": True} if keepdims else {})
        with np.errstate(all="ignore"):
            found = np.asarray(function(values, axis=axis, **more))
        launch(values, found)
        return wrap(found)

    call.__name__ = name
    return call


def matmul(a: Any, b: Any, out: None = None) -> "ndarray":
    """cuBLAS takes transposes of matrices as they are; with more axes every operand is copied unless C-contiguous."""
    if out is not None:
        raise NotImplementedError("out=")
    x, y = raw(a, scalars=False), raw(b, scalars=False)
    if x.ndim == 0 or y.ndim == 0:
        raise ValueError("Scalar operands are not allowed, use '*' instead")
    dtype, flat = np.promote_types(x.dtype, y.dtype), max(x.ndim, y.ndim) <= 2
    for one in (x, y):
        if one.dtype != dtype or not (one.flags.c_contiguous or (flat and one.flags.f_contiguous)):
            launch(one, one)
    with np.errstate(all="ignore"):
        found = np.asarray(x @ y)
    moved = x.nbytes + y.nbytes + found.nbytes
    count(library=1, hbm_bytes=moved, flops=2.0 * found.size * x.shape[-1], handle="cublas")
    return wrap(found)


def parts_of(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


def index(key: Any) -> Any:
    """An index without device arrays. Host arrays and lists, which CuPy would upload without a word, are refused."""
    if isinstance(key, tuple):
        return tuple(map(index, key))
    if isinstance(key, slice) and any(isinstance(k, ndarray) for k in (key.start, key.stop, key.step)):
        raise TypeError("slice indices must be integers: a device array has no __index__")
    if key is None or key is Ellipsis or isinstance(key, slice | int | np.integer | bool | np.bool_):
        return key
    return raw(key, scalars=False)


def is_mask(key: Any) -> bool:
    return any(isinstance(k, np.ndarray) and k.dtype == bool for k in parts_of(key))


def is_fancy(key: Any) -> bool:
    return any(isinstance(k, np.ndarray) for k in parts_of(key))


def window(a: np.ndarray, key: Any) -> np.ndarray:
    """What a basic index shows of an array, as an array: also where that is a single value."""
    parts = parts_of(key)
    return a[parts if any(part is Ellipsis for part in parts) else (*parts, ...)]


def same_memory(a: np.ndarray, b: Any) -> bool:
    known = isinstance(b, np.ndarray) and a.shape == b.shape and a.strides == b.strides
    return known and a.__array_interface__["data"] == b.__array_interface__["data"]


class ndarray:
    """`cupy.ndarray`, as far as it is needed, and nothing more."""

    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]
    _a: np.ndarray
    _id: int
    _memory: Memory

    def __init__(self, shape: Any, dtype: Any = float, memptr: None = None, strides: None = None, order: str = "C"):
        self._a, self._id = np.empty(shape, dtype, order=order), current_id()
        self._memory = Memory(self._a.nbytes)

    shape = property(lambda self: self._a.shape)
    ndim = property(lambda self: self._a.ndim)
    dtype = property(lambda self: self._a.dtype)
    size = property(lambda self: self._a.size)
    nbytes = property(lambda self: self._a.nbytes)
    itemsize = property(lambda self: self._a.itemsize)
    strides = property(lambda self: self._a.strides)
    flags = property(lambda self: self._a.flags)
    T = property(lambda self: self._view(self._a.T))
    mT = property(lambda self: self._view(self._a.mT))
    device = property(lambda self: Device(self._id))

    def _view(self, a: np.ndarray) -> "ndarray":
        return wrap(a, self._memory)

    def __len__(self) -> int:
        return len(self._a)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return repr(self._a)

    # -- between host and device

    def get(self, stream: None = None, order: str = "C", out: None = None, blocking: bool = True) -> np.ndarray:
        if out is not None:
            raise NotImplementedError("out=")
        if not self._a.flags.c_contiguous:
            launch(self._a, self._a)
        count(syncs=1, bytes_down=self._a.nbytes)
        return np.array(self._a, order="C")

    def set(self, arr: np.ndarray, stream: Stream | None = None) -> None:
        """From pinned memory (of `cupyx.empty_pinned`) a stream copies on its own; other memory is staged first."""
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype or arr.shape != self.shape:
            raise ValueError("Shape or dtype mismatch")
        if not (arr.flags.c_contiguous and self._a.flags.c_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        count(bytes_up=arr.nbytes)
        if getattr(arr, "is_pinned", False):
            (stream or get_current_stream()).later(lambda: np.copyto(self._a, arr))
        else:
            self._a[...] = arr

    def item(self) -> Any:
        return self.get().item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def __bool__(self) -> bool:
        return bool(self.get()) if self.size else False

    def __int__(self) -> int:
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or not all(isinstance(x, ndarray | np.generic) for x in inputs):
            return NotImplemented  # NumPy raises TypeError: it computes with no array of the device
        return ufunc(function.__name__)(*inputs, **kwargs)  # a scalar of NumPy's, times a device array

    # -- indices

    def __getitem__(self, key: Any) -> "ndarray":
        key = index(key)
        found = np.asarray(self._a[key])
        if is_mask(key):
            count(launches=3, syncs=1, bytes_down=8, hbm_bytes=2 * found.nbytes)  # the host has to know how many
        elif is_fancy(key):
            launch(found, found)
        else:
            return self._view(window(self._a, key))
        return wrap(found)

    def __setitem__(self, key: Any, value: Any) -> None:
        key, value = index(key), raw(value)
        if not is_fancy(key) and same_memory(window(self._a, key), value):
            return  # a[…] += b assigns a[…] to itself in the end
        if is_mask(key):
            count(launches=3, syncs=1, bytes_down=8, hbm_bytes=self.nbytes)
        else:
            launch(self._a if is_fancy(key) else window(self._a, key))
        self._a[key] = value

    # -- methods

    def astype(self, dtype: Any, order: str = "K", casting: None = None, subok: None = None, copy: bool = True):
        if not copy and self._a.dtype == np.dtype(dtype):
            return self
        with np.errstate(all="ignore"):
            found = self._a.astype(dtype, order=order)
        launch(self._a, found)
        return wrap(found)

    def copy(self, order: str = "C") -> "ndarray":
        launch(self._a, self._a)
        return wrap(self._a.copy(order=order))

    def fill(self, value: Any) -> None:
        launch(self._a)
        self._a.fill(raw(value))

    def reshape(self, *shape: Any, order: str = "C") -> "ndarray":
        found = self._a.reshape(*shape, order=order)
        if found.size and not np.shares_memory(found, self._a):
            launch(found, found)
            return wrap(found)
        return self._view(found)

    def ravel(self, order: str = "C") -> "ndarray":
        return self.reshape(-1)

    def transpose(self, *axes: Any) -> "ndarray":
        return self._view(self._a.transpose(*axes))

    def take(self, indices: Any, axis: Any = None, out: None = None) -> "ndarray":
        found = np.asarray(np.take(raw(self), raw(indices), axis=axis))  # raises where CuPy would wrap around
        launch(found, found)
        return wrap(found)

    def argsort(self, axis: int = -1, kind: None = None) -> "ndarray":
        found = np.argsort(raw(self), axis=axis, kind="stable")
        count(launches=2, library=1, hbm_bytes=6 * found.nbytes)
        return wrap(found)

    def nonzero(self) -> tuple["ndarray", ...]:
        found = np.nonzero(raw(self))
        count(launches=3, syncs=1, bytes_down=8, hbm_bytes=self.nbytes)
        return tuple(map(wrap, found))


def _operators() -> None:
    """Give the array Python's operators."""
    binary = {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "pow": "power"}
    binary |= {"floordiv": "floor_divide", "mod": "remainder", "and": "bitwise_and", "or": "bitwise_or"}
    compared = {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}
    compared |= {"eq": "equal", "ne": "not_equal"}
    for short, name in (binary | compared).items():
        function = ufunc(name)
        setattr(ndarray, f"__{short}__", lambda self, other, f=function: f(self, other))
        if short in binary:
            setattr(ndarray, f"__r{short}__", lambda self, other, f=function: f(other, self))
            setattr(ndarray, f"__i{short}__", lambda self, other, f=function: f(self, other, out=self))
    for short, name in {"neg": "negative", "abs": "absolute", "invert": "invert"}.items():
        function = ufunc(name)
        setattr(ndarray, f"__{short}__", lambda self, f=function: f(self))
    ndarray.__matmul__ = lambda self, other: matmul(self, other)  # type: ignore[attr-defined]
    ndarray.__rmatmul__ = lambda self, other: matmul(other, self)  # type: ignore[attr-defined]
    for name in ("sum", "prod", "mean", "max", "min", "any", "all", "argmax", "argmin"):
        setattr(ndarray, name, reduction(name))


_operators()
ndarray.__module__ = "cupy"
