"""Functions that make arrays, join them and look at them differently."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ._array import SCALARS, ndarray, raw, wrap
from ._counting import count, launch
from ._device import current_id


def array(obj: Any, dtype: Any = None, copy: Any = True, order: str = "K", ndmin: int = 0) -> ndarray:
    """From the host (one upload through CuPy's own pinned buffer: the host's array may change at once), or a copy."""
    if isinstance(obj, ndarray):
        if (dtype is None or obj.dtype == np.dtype(dtype)) and not copy:
            return obj
        found = obj._a.astype(dtype or obj.dtype)
        count(launches=1 + (obj._id != current_id()), hbm_bytes=2 * found.nbytes)
        return wrap(found)
    if isinstance(obj, list | tuple) and any(isinstance(o, ndarray) for o in obj):
        raise TypeError("a list of device arrays: stack them")
    host = np.array(obj, dtype=dtype, ndmin=ndmin)  # a copy, as the device's memory is one
    if host.dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {host.dtype}")
    if host.ndim == 0:
        launch(host)
    else:
        count(bytes_up=host.nbytes)
    return wrap(host)


def asarray(a: Any, dtype: Any = None, order: Any = None) -> ndarray:
    return array(a, dtype=dtype, copy=False)


def creation(name: str) -> Callable[..., ndarray]:
    def call(*args: Any, **kwargs: Any) -> ndarray:
        if not all(isinstance(a, (*SCALARS, tuple, list, type, np.dtype)) or a is None for a in args):
            raise TypeError(f"{name} of a device array")
        found = getattr(np, name)(*args, **kwargs)
        launch(found, launches={"eye": 2, "empty": 0}.get(name, 1))
        return wrap(found)

    return call


def like(name: str) -> Callable[..., ndarray]:
    def call(a: ndarray, *args: Any, **kwargs: Any) -> ndarray:
        found = getattr(np, f"{name}_like")(raw(a, scalars=False), *args, **kwargs)
        launch(found, launches=int(name != "empty"))
        return wrap(found)

    return call


def view_of(name: str) -> Callable[..., ndarray]:
    def call(a: ndarray, *args: Any, **kwargs: Any) -> ndarray:
        found = getattr(np, name)(raw(a, scalars=False), *args, **kwargs)
        if np.shares_memory(found, a._a) or not found.size:
            return a._view(found)
        launch(found, found)
        return wrap(found)

    return call


def concatenate(tup: Any, axis: Any = 0, out: None = None, *, dtype: Any = None, casting: str = "same_kind") -> ndarray:
    """Up to eight parts are copied one by one, more by one kernel, whose three tables are uploaded."""
    parts = [raw(a, scalars=False) for a in tup]
    if any(part.ndim == 0 for part in parts):
        raise TypeError("zero-dimensional arrays cannot be concatenated")
    found = np.concatenate(parts, axis=axis, dtype=dtype)
    launch(found, found, launches=len(parts) if len(parts) <= 8 else 1)
    count(bytes_up=3 * 8 * len(parts) if len(parts) > 8 else 0)
    return wrap(found)


def stack(tup: Any, axis: int = 0) -> ndarray:
    return concatenate([view_of("expand_dims")(a, axis) for a in tup], axis)


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if not isinstance(condition, ndarray):
        raise TypeError(f"Unsupported type {type(condition)}")
    if x is None:
        return condition.nonzero()
    operands = raw(condition), raw(x), raw(y)
    found = np.asarray(np.where(*operands))
    launch(*operands, found)
    return wrap(found)


def clip(a: Any, a_min: Any = None, a_max: Any = None, out: None = None) -> ndarray:
    bounds = [bound if bound is None else raw(bound) for bound in (a_min, a_max)]
    found = np.clip(raw(a, scalars=False), *bounds)
    launch(a._a, found)
    return wrap(found)


def searchsorted(a: ndarray, v: ndarray, side: str = "left", sorter: None = None) -> ndarray:
    found = np.searchsorted(raw(a, scalars=False), raw(v, scalars=False), side)
    launch(found, found)
    return wrap(found)


def cumsum(a: ndarray, axis: Any = None, dtype: Any = None, out: None = None) -> ndarray:
    found = np.cumsum(raw(a, scalars=False), axis=axis, dtype=dtype)
    launch(a._a, found, launches=2)
    return wrap(found)


def broadcast_arrays(*arrays: ndarray) -> list[ndarray]:
    return [a._view(b) for a, b in zip(arrays, np.broadcast_arrays(*map(raw, arrays)), strict=True)]


def asnumpy(a: Any, stream: None = None, order: str = "C", out: None = None, *, blocking: bool = True) -> np.ndarray:
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def get_array_module(*args: Any) -> Any:
    import cupy

    return cupy if any(isinstance(a, ndarray) for a in args) else np


def result_type(*args: Any) -> np.dtype:
    return np.result_type(*(a._a if isinstance(a, ndarray) else a for a in args))


def missing(name: str) -> Callable[..., Any]:
    """A function that CuPy has and the double has not; the names must be there for array_api_compat's imports."""

    def call(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"the double has no {name}")

    return call
