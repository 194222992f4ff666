"""Rows with signal, and the array namespaces that every routine runs on."""

from collections.abc import Callable
from typing import Any

import array_api_strict
import numpy as np
import pytest
from head2toe.select.compute.arrays import Arrays, namespace, numpy_arrays

NAMES = ("numpy", "torch", "array_api_strict")
GPUS = ("cupy_double", pytest.param("cupy", marks=pytest.mark.gpu))


def signal_rows(n: int, k: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n, k) of unit norm, and labels with signal; every class has a row."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, k))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = (X[:, :classes] * np.sqrt(k) + 0.5 * rng.standard_normal((n, classes))).argmax(1)
    y[:classes] = np.arange(classes)
    return X, y


@pytest.fixture
def labelled() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """`signal_rows`, for the tests."""
    return signal_rows


@pytest.fixture(params=[*NAMES, *GPUS])
def arrays(request: Any) -> Arrays:
    """Each namespace; the strict one has a device that is not the default."""
    import array_api_compat.torch as torch_xp

    if request.param.startswith("cupy"):
        return gpu(request)
    strict = Arrays(array_api_strict, array_api_strict.Device("device1"), "strict")
    return dict(zip(NAMES, (numpy_arrays(), Arrays(torch_xp, "cpu", "torch"), strict), strict=True))[request.param]


@pytest.fixture(params=GPUS)
def on_gpu(request: Any) -> Arrays:
    """CuPy alone: what has a way of its own on a GPU."""
    return gpu(request)


def gpu(request: Any) -> Arrays:
    """Return CuPy's namespace, or that of the stand-in for it."""
    if request.param == "cupy_double":
        request.getfixturevalue("cupy_double")
    return namespace("cuda")
