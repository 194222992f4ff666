"""A kernel of its own on a GPU does what its twin by the array API does, on every namespace."""

import numpy as np
import pytest
from head2toe.select.compute.arrays import scalar, to_numpy
from head2toe.select.compute.kernels import (
    clip,
    conjugate_direction,
    conjugate_step,
    entropies,
    expectations,
    expected_growth,
    inner_products,
    inverse_deviation,
    is_at_most,
    largest_in_units,
    masked_plus_product,
    minus_product,
    plus_product,
    positive_ratio,
    row_norms,
    shortened,
    sum_of_exponentials,
    transposed,
    weighted_difference,
    weighted_squares,
    weighted_variances,
)
from head2toe.select.compute.linear_algebra import solve, spd_inverses, spd_solver
from head2toe.select.compute.softmax import log_softmax, softmax
from scipy import special

RNG = np.random.default_rng(0)
A = RNG.standard_normal((40, 7))
A[3] = 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transposed", [False, True])
def test_kernels_agree_with_numpy(arrays, dtype, transposed):
    xp, values = arrays.xp, A.astype(dtype)
    X = arrays.put(np.ascontiguousarray(values.T)).T if transposed else arrays.put(values)
    tol = {"rtol": 1e-5 if dtype == np.float32 else 1e-12, "atol": 1e-6 if dtype == np.float32 else 1e-13}
    lengths = np.linalg.norm(values, axis=1)
    found = row_norms(X, xp)
    assert to_numpy(found).dtype == dtype
    np.testing.assert_allclose(to_numpy(found), lengths, **tol)
    np.testing.assert_allclose(to_numpy(clip(X, -0.5, 0.25, xp)), np.clip(values, -0.5, 0.25), **tol)
    for threshold in (0.0, 2.5, 1e9):
        factor = np.maximum(0, 1 - threshold / np.maximum(lengths.astype(float), 1e-30))[:, None]
        np.testing.assert_allclose(to_numpy(shortened(X, found, threshold, xp)), factor * values, **tol)
    top = xp.max(X, axis=1, keepdims=True)
    expected = np.exp(values - values.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(to_numpy(sum_of_exponentials(X, top, 1, xp)), expected, **tol)
    probabilities, log_sum_exp = softmax(100 * X, xp)
    np.testing.assert_allclose(to_numpy(probabilities), special.softmax(100 * values, axis=1), rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(to_numpy(log_sum_exp), special.logsumexp(100 * values, axis=1), rtol=1e-5)
    found = log_softmax(X, xp, axis=0)
    np.testing.assert_allclose(to_numpy(found), special.log_softmax(values, axis=0), **tol)


def test_products_of_several_problems_agree_with_numpy(arrays):
    a, b, few = (RNG.standard_normal(shape) for shape in ((3, 4, 5), (3, 4, 5), (3, 1, 1)))
    A, B, few_there = (arrays.put(x) for x in (a, b, few))
    found = inner_products(A, B, arrays.xp)
    np.testing.assert_allclose(to_numpy(found), (a * b).sum(axis=(1, 2), keepdims=True), rtol=1e-12)
    np.testing.assert_allclose(to_numpy(plus_product(A, few_there, B, arrays.xp)), a + few * b, rtol=1e-12)
    ratio = np.where(b > 0, a / np.where(b > 0, b, 1), 0)
    np.testing.assert_allclose(to_numpy(positive_ratio(A, B, arrays.xp)), ratio, rtol=1e-12)
    large = arrays.put(np.array([1e30, 1e30], np.float32))
    nothing = arrays.put(np.array([0.0, -1.0], np.float32))
    np.testing.assert_array_equal(to_numpy(positive_ratio(large, nothing, arrays.xp)), 0)
    np.testing.assert_allclose(to_numpy(minus_product(A, few_there, B, arrays.xp)), a - few * b, rtol=1e-12)


def test_kernels_of_a_step_down_agree_with_numpy(arrays):
    xp, tol = arrays.xp, {"rtol": 1e-12}
    a, b, few = RNG.standard_normal((3, 4, 5)), RNG.standard_normal((3, 4, 5)), RNG.standard_normal((3, 1, 1))
    row, mask = RNG.uniform(0.5, 2, (3, 1, 5)), np.array([1.0, 0.0, 1.0, 1.0])[None, :, None]
    A, B, few_there, row_there, mask_there = (arrays.put(x) for x in (a, b, few, row, mask))
    axes = {"axis": (1, 2), "keepdims": True}
    found = weighted_squares(A, row_there, xp)
    np.testing.assert_allclose(to_numpy(found), (row * a * a).sum(**axes), **tol)
    found = weighted_variances(few_there, A, xp)
    np.testing.assert_allclose(to_numpy(found), few * (a * (1 - a)).sum(axis=2, keepdims=True), **tol)
    found = weighted_difference(row_there, A, B, xp)
    np.testing.assert_allclose(to_numpy(found), row * (a - b), **tol)
    found = masked_plus_product(A, row_there, B, mask_there, xp)
    np.testing.assert_allclose(to_numpy(found), (a + row * b) * mask, **tol)
    found = largest_in_units(A, arrays.put(b * b + 0.1), xp)
    np.testing.assert_allclose(to_numpy(found), (np.abs(a) / np.sqrt(b * b + 0.1)).max(**axes), **tol)
    value = np.array([1.0, -2.0, np.nan])
    bound = value + 0.1 * few[:, 0, 0] + 0.5 * np.abs(value)
    for shift, expected in ((-1e-6, [True, True, False]), (1e-6, [False, False, False])):
        args = (arrays.put(bound + shift), arrays.put(value), few_there[:, 0, 0], 0.1, 0.5, xp)
        assert to_numpy(is_at_most(*args)).tolist() == expected
    turned = transposed(A, xp)
    np.testing.assert_array_equal(to_numpy(turned), a.transpose(0, 2, 1))


def test_sums_over_classes_and_rows_agree_with_numpy(arrays):
    xp, tol = arrays.xp, {"rtol": 1e-12}
    p, v, shift = RNG.uniform(0.1, 1, (3, 4, 5)), 3 * RNG.standard_normal((3, 4, 5)), RNG.standard_normal((3, 4, 1))
    P, V, there = (arrays.put(x) for x in (p, v, shift))
    np.testing.assert_allclose(to_numpy(expectations(P, V, xp, axis=2)), (p * v).sum(axis=2, keepdims=True), **tol)
    growth = (p * np.expm1(np.minimum(v - shift, 2.5))).sum(axis=2, keepdims=True)
    np.testing.assert_allclose(to_numpy(expected_growth(P, V, there, 2.5, xp)), growth, **tol)
    y, scale, shares = np.eye(5)[:4] * np.ones((3, 1, 1)), RNG.uniform(0, 1, (3, 1, 1)), RNG.uniform(0.1, 1, (3, 4, 1))
    g = shares * (p / p.sum(axis=2, keepdims=True) - y)
    shares[2, 3] = g[2, 3] = y[2, 3] = 0  # a row that fills up
    per_share = np.where(shares > 0, 1 / np.where(shares > 0, shares, 1), 0)
    found = entropies(*(arrays.put(x) for x in (y, scale, g, shares, per_share)), xp)
    q = y + scale * g * per_share
    np.testing.assert_allclose(to_numpy(found), -(shares * special.xlogy(q, q)).sum(axis=(1, 2), keepdims=True), **tol)


def test_kernels_of_conjugate_gradients_agree_with_numpy(arrays):
    xp, tol = arrays.xp, {"rtol": 1e-12}
    x, r, p, h = RNG.standard_normal((4, 5, 2, 3))
    rz, ph, least = (
        np.array(v)[:, None, None] for v in ([2.0, 1.0, 3.0, 1e30, 1.0], [4.0, -1.0, 5.0, 0.0, 2.0], [1.0, 0, 4, 0, 1])
    )
    a = np.array([0.5, 0, 0, 0, 0])[:, None, None]  # not positive, too small, zero, and just as small as it may
    there = [arrays.put(v) for v in (x, r, p, h, rz, ph, least)]
    for found, expected in zip(conjugate_step(*there, xp), (x + a * p, r - a * h), strict=True):
        np.testing.assert_allclose(to_numpy(found), expected, **tol)
    found = conjugate_direction(*(arrays.put(v) for v in (h, r, rz, ph, p)), xp)
    ratio = np.array([0.5, 0, 0.6, 0, 0.5])[:, None, None]
    np.testing.assert_allclose(to_numpy(found), h * r + ratio * p, **tol)


def test_a_deviation_that_is_rounding_has_no_inverse(arrays):
    variance, mean = np.array([4.0, 1e-13, 0.0, 0.0]), np.array([1.0, 1.0, 1.0, 0.0])
    found = inverse_deviation(arrays.put(variance), arrays.put(mean), 4, 1e-11, arrays.xp)
    np.testing.assert_allclose(to_numpy(found), [0.25, 0, 0, 0])


def test_one_threshold_for_all_rows_or_one_for_each_problem(arrays):
    V, threshold = RNG.standard_normal((3, 4, 5)), np.array([0.0, 0.5, 9.0])[:, None, None]
    length = np.linalg.norm(V, axis=2)
    found = shortened(arrays.put(V), arrays.put(length), arrays.put(threshold), arrays.xp)
    factor = np.maximum(0, 1 - threshold / length[:, :, None])
    np.testing.assert_allclose(to_numpy(found), factor * V, rtol=1e-12)


def test_several_positive_definite_matrices_and_one_that_rounding_spoiled(arrays):
    K = A.T @ A
    least = np.linalg.eigvalsh(K)[0]
    for shifts in ((0.0, 1.0, 2.0), (0.0, -2.001 * least, 1.0)):
        matrices = np.stack([K + shift * np.eye(7) for shift in shifts])
        found = to_numpy(spd_inverses(arrays.put(matrices), arrays.xp))
        np.testing.assert_allclose(matrices @ found, np.broadcast_to(np.eye(7), (3, 7, 7)), atol=1e-8)


def test_a_positive_definite_matrix_is_solved_with_and_one_that_rounding_spoiled_as_well(arrays):
    K = A.T @ A
    for matrix in (K, K - 1e-3 * np.linalg.eigvalsh(K)[0] * np.eye(7) - 2 * np.linalg.eigvalsh(K)[0] * np.eye(7)):
        rhs = RNG.standard_normal((7, 2))
        found = to_numpy(spd_solver(arrays.put(matrix), arrays.xp)(arrays.put(rhs)))
        np.testing.assert_allclose(matrix @ found, rhs, atol=1e-8)


def test_a_singular_system_is_an_error_everywhere(arrays):
    ones = arrays.put(np.ones((3, 3)))
    np.testing.assert_allclose(scalar(solve(2 * ones + arrays.put(np.eye(3)), ones[:, :1], arrays.xp)[0, 0]), 1 / 7)
    with pytest.raises((np.linalg.LinAlgError, RuntimeError), match=r"[Ss]ingular"):  # torch has an error of its own
        solve(ones, ones[:, :1], arrays.xp)


@pytest.mark.parametrize(
    ("work", "most"),
    [
        (lambda X, xp: row_norms(X, xp), 1),
        (lambda X, xp: clip(X, 0.0, 1.0, xp), 1),
        (lambda X, xp: shortened(X, row_norms(X, xp), 0.5, xp), 2),
        (lambda X, xp: log_softmax(X, xp), 5),
        (lambda X, xp: softmax(X, xp), 6),
    ],
    ids=["row norms", "clip", "prox", "log-softmax", "softmax"],
)
def test_launches_on_a_gpu(cupy_double, work, most):
    import array_api_compat.cupy as xp

    X = cupy_double.asarray(A)
    with cupy_double._counting.region() as used:
        work(X, xp)
    assert used.launches <= most
    assert used.library == used.syncs == 0
