"""A strict stand-in for CuPy, made of NumPy: code for CUDA runs where there is no GPU, and is counted.

It refuses what CuPy refuses: host arrays as operands, indices or values; to become a NumPy array without `.get()`;
arrays of another device than the current one; `range` of a device scalar. Results of reductions are arrays on the
device; `float`, `int`, `bool`, masks and `nonzero` wait for it. Singular matrices give NaN. Every kernel, library call,
wait and byte over PCIe is counted (`_counting.region`), as CuPy's source has them (13.4 to 14.2).

What it cannot show: errors of CUDA itself, the rounding of cuBLAS and cuSOLVER, memory that a kernel reads while a
stream overwrites it, and time: seconds are a model.

Run a command on it with `PYTHONPATH=tests/cupy_double head2toe select digits --device cuda`.
"""

import numpy as np

from . import _routines, cuda, fft, linalg  # noqa: F401
from ._array import matmul, ndarray, reduction, ufunc
from ._kernels import ElementwiseKernel, ReductionKernel  # noqa: F401

__version__ = "14.2.0 (double)"
UFUNCS = (
    "add subtract multiply true_divide divide floor_divide remainder power negative positive absolute sign sqrt square "
    "exp expm1 exp2 log log1p log2 log10 sin cos tan arcsin arccos arctan arctan2 sinh cosh tanh arcsinh arccosh "
    "arctanh maximum minimum isnan isinf isfinite signbit copysign nextafter hypot logaddexp conj conjugate equal "
    "not_equal less less_equal greater greater_equal logical_and logical_or logical_xor logical_not bitwise_and "
    "bitwise_or bitwise_xor invert left_shift right_shift ceil floor trunc rint reciprocal"
)
REDUCTIONS = "sum prod mean var std amax amin max min any all argmax argmin"
VIEWS = "swapaxes moveaxis expand_dims squeeze transpose reshape ravel broadcast_to rollaxis flip diagonal"
CREATED = "zeros ones full empty arange eye linspace"
NUMPYS = (
    "bool_ int8 int16 int32 int64 intp uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128 number "
    "inexact integer signedinteger unsignedinteger floating complexfloating generic dtype finfo iinfo isdtype "
    "issubdtype promote_types can_cast broadcast_shapes inf nan pi e newaxis"
)
OWN = (
    "array asarray asnumpy broadcast_arrays clip concatenate cumsum get_array_module result_type searchsorted stack "
    "where"
)
MISSING = "take_along_axis meshgrid isin tensordot sort unique tril triu repeat tile roll cumprod outer count_nonzero"
globals().update(
    {name: ufunc(name) for name in UFUNCS.split()}
    | {name: reduction(name) for name in REDUCTIONS.split()}
    | {name: _routines.view_of(name) for name in VIEWS.split()}
    | {name: _routines.creation(name) for name in CREATED.split()}
    | {f"{name}_like": _routines.like(name) for name in ("zeros", "ones", "full", "empty")}
    | {name: getattr(np, name) for name in NUMPYS.split()}
    | {name: getattr(_routines, name) for name in OWN.split()}
    | {name: _routines.missing(name) for name in MISSING.split()}
    | {"matmul": matmul, "abs": ufunc("absolute"), "round": ufunc("rint"), "dot": matmul}
)


def take(a: ndarray, indices: ndarray, axis: int | None = None, out: None = None) -> ndarray:
    return a.take(indices, axis)


def nonzero(a: ndarray) -> tuple[ndarray, ...]:
    return a.nonzero()


def argsort(a: ndarray, axis: int = -1, kind: None = None) -> ndarray:
    return a.argsort(axis, kind)


def ascontiguousarray(a: ndarray) -> ndarray:
    return a if a.flags.c_contiguous else a.copy()
