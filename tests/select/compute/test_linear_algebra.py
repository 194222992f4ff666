"""LAPACK beside other threads: the bits of SciPy, and the interpreter's lock free meanwhile."""

import ctypes
import sys
import threading

import numpy as np
import pytest
from head2toe.select.compute import linear_algebra
from head2toe.select.compute.linear_algebra import symmetric_eigen
from scipy import linalg


def symmetric(m: int, dtype: type) -> np.ndarray:
    X = np.random.default_rng(m).standard_normal((m, m + 3)).astype(dtype)
    return X @ X.T


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("m", [1, 2, 40, 90])
def test_the_bits_are_scipy_s(m, dtype):
    matrix = symmetric(m, dtype)
    before = matrix.copy()
    values, vectors = symmetric_eigen(matrix)
    expected = linalg.eigh(matrix, driver="evd", check_finite=False)
    np.testing.assert_array_equal(values, expected[0])
    np.testing.assert_array_equal(vectors, expected[1])
    assert values.dtype == vectors.dtype == dtype
    np.testing.assert_array_equal(matrix, before)


@pytest.mark.parametrize("order", ["C", "F"])
def test_only_the_lower_triangle_counts_in_either_order(order):
    matrix = symmetric(20, np.float64)
    spoiled = np.array(np.tril(matrix) + np.triu(np.full((20, 20), 7.0), 1), order=order)
    np.testing.assert_array_equal(symmetric_eigen(spoiled)[0], symmetric_eigen(np.tril(matrix))[0])


def test_a_lapack_of_another_form_is_called_by_scipy(monkeypatch):
    matrix = symmetric(20, np.float32)
    values, vectors = symmetric_eigen(matrix)
    monkeypatch.setattr(linear_algebra, "_routine", lambda _: None)
    np.testing.assert_array_equal(symmetric_eigen(matrix)[0], values)
    np.testing.assert_array_equal(symmetric_eigen(matrix)[1], vectors)


def test_the_routine_is_found_in_the_scipy_that_is_installed():
    assert all(linear_algebra._routine(dtype) is not None for dtype in linear_algebra.ROUTINES)


def test_what_lapack_reports_is_an_error(monkeypatch):
    def failing(*arguments):
        ctypes.c_int.from_address(arguments[-1]).value = 3

    monkeypatch.setattr(linear_algebra, "_routine", lambda _: failing)
    with pytest.raises(np.linalg.LinAlgError, match="info is 3"):
        symmetric_eigen(symmetric(5, np.float64))


def test_another_thread_runs_meanwhile(monkeypatch):
    """Where nobody takes the lock from a thread, another one runs only if LAPACK's caller lets go of it."""
    done, ran_before = [], []
    real = linear_algebra._routine(np.dtype(np.float64))

    def recorded(*arguments):
        real(*arguments)
        done.append(len(arguments))

    def beside():
        started.wait()
        ran_before.append(len(done) < 2)  # the first call only asks for the size of the workspace

    monkeypatch.setattr(linear_algebra, "_routine", lambda _: recorded)
    started, matrix, interval = threading.Event(), symmetric(900, np.float64), sys.getswitchinterval()
    thread = threading.Thread(target=beside)
    thread.start()
    sys.setswitchinterval(1000)
    try:
        started.set()
        symmetric_eigen(matrix)
    finally:
        sys.setswitchinterval(interval)
    thread.join()
    assert ran_before == [True]
