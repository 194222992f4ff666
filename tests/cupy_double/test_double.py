"""The stand-in for CuPy refuses what CuPy refuses, waits where it waits, and counts."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

HOST = np.ones(3)


@pytest.fixture
def a(cupy_double: ModuleType) -> Any:
    """An array (2, 3) on the device."""
    return cupy_double.asarray(np.arange(6.0).reshape(2, 3))


REFUSED: dict[str, Callable[[Any], Any]] = {
    "to become NumPy's": np.asarray,
    "a host array as an operand": lambda a: a + HOST,
    "a host array as the first operand": lambda a: HOST + a,
    "a product with a host array": lambda a: a @ HOST,
    "a host array as an index": lambda a: a[np.array([0])],
    "a list as an index": lambda a: a[[0]],
    "a host array as a value": lambda a: a.__setitem__((0, slice(None)), HOST),
    "a function of NumPy's with a host array": lambda a: np.maximum(a, HOST),
    "a range of a device scalar": lambda a: range(a.sum()),
}


@pytest.mark.parametrize("work", REFUSED.values(), ids=REFUSED)
def test_it_refuses(a: Any, work: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError):
        work(a)


def test_an_array_of_another_device_is_refused(
    cupy_double: ModuleType, a: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cupy_double._device.settings, "devices", 2)
    with cupy_double.cuda.Device(1), pytest.raises(ValueError, match="different from the current device"):
        a + 1


def test_it_counts_launches_calls_waits_and_bytes(cupy_double: ModuleType, a: Any) -> None:
    with cupy_double._counting.region() as used:
        b = cupy_double.asarray(np.ones((3, 2), np.float32))
        c = (a @ b).sum()  # the operands are brought to one type by a copy
        assert c.shape == ()
        assert float(c) == 30
    assert (used.launches, used.library, used.syncs) == (2, 1, 1)
    assert (used.bytes_up, used.bytes_down) == (24, 8)
    assert used.host_seconds == pytest.approx(2 * 8e-6 + 20e-6 + 12e-6)


def test_singular_and_indefinite_matrices_give_nan_without_a_word(cupy_double: ModuleType) -> None:
    linalg, ones = cupy_double.linalg, cupy_double.ones((2, 2))
    assert np.isnan(linalg.solve(ones, ones[:, :1]).get()).all()
    assert np.isnan(linalg.inv(ones).get()).all()
    assert np.isnan(linalg.cholesky(-ones).get()).all()


def test_a_copy_from_pinned_memory_is_done_when_it_is_waited_for(cupy_double: ModuleType) -> None:
    import cupyx

    pinned = cupyx.empty_pinned((4,), np.float32)
    pinned[:] = 1
    target, stream = cupy_double.zeros(4, np.float32), cupy_double.cuda.Stream(non_blocking=True)
    target.set(pinned[:], stream=stream)
    event = stream.record()
    assert target.get().tolist() == [0, 0, 0, 0]
    cupy_double.cuda.get_current_stream().wait_event(event)
    assert target.get().tolist() == [1, 1, 1, 1]


def test_memory_runs_out(cupy_double: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cupy_double._device.settings, "memory", 10**6)
    with pytest.raises(cupy_double.cuda.memory.OutOfMemoryError):
        cupy_double.zeros(10**6)


def test_a_kernel_runs_its_own_text(cupy_double: ModuleType, a: Any) -> None:
    norms = cupy_double.ReductionKernel("T x", "T y", "x * x", "a + b", "y = sqrt(a)", "0", "norms")
    np.testing.assert_allclose(norms(a, axis=1).get(), np.linalg.norm(a.get(), axis=1))
    with pytest.raises(TypeError):
        norms(HOST, axis=0)
    clip = cupy_double.ElementwiseKernel("T x, T low", "T y", "y = max(x, low)", "raised")
    assert clip(a, 2.0).get().min() == 2
