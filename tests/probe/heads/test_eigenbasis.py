"""An eigenbasis loses nothing that a linear head can see, with more features than rows and with fewer."""

import numpy as np
import pytest
from head2toe.probe.heads.crossval import Labels
from head2toe.probe.heads.eigenbasis import ALIGNED, basis_at_once, eigenbasis, joined, stack
from head2toe.select.compute.arrays import Arrays, to_numpy


@pytest.mark.parametrize("k", [8, 70])
def test_products_with_training_rows_and_lifted_weights_are_kept(k: int, arrays: Arrays) -> None:
    rng = np.random.default_rng(k)
    X, train = rng.standard_normal((k, 40)), np.arange(40) < 30
    eigen = eigenbasis(arrays.put(X), arrays.put(train), arrays.xp)
    coordinates, values = to_numpy(eigen.coordinates), to_numpy(eigen.eigenvalues)
    centred = X - X[:, train].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(to_numpy(eigen.centre), X[:, train].mean(axis=1))
    assert (values > 0).sum() == min(k, 29), "centring takes one dimension of the rows"
    assert (np.diff(values) <= 0).all()
    np.testing.assert_allclose(coordinates @ coordinates[train].T, centred.T @ centred[:, train], atol=1e-9)
    np.testing.assert_allclose(coordinates[train].T @ coordinates[train], np.diag(values), atol=1e-9)
    theta = rng.standard_normal((len(values), 3))
    np.testing.assert_allclose(centred.T @ to_numpy(eigen.lift(arrays.put(theta))), coordinates @ theta, atol=1e-9)


def test_folds_of_unlike_rank_are_padded_with_zeros(arrays: Arrays) -> None:
    X = np.random.default_rng(0).standard_normal((50, 20))
    trains = [arrays.put(np.arange(20) < n) for n in (6, 16)]
    parts = [eigenbasis(arrays.put(X), train, arrays.xp) for train in trains]
    basis = stack(parts, trains, arrays.xp)
    assert basis.coordinates.shape[:2] == (2, 20)
    assert not to_numpy(basis.coordinates)[1, :, 15:].any()
    np.testing.assert_array_equal(to_numpy(basis.weights).sum(axis=1), [6, 16])
    assert not to_numpy(basis.coordinates)[0, :, 5:].any()
    assert not to_numpy(basis.eigenvalues)[0, 5:].any()


def test_bases_of_several_candidates_are_joined_at_one_aligned_rank(arrays: Arrays) -> None:
    rng, train = np.random.default_rng(0), arrays.put(np.arange(20) < 16)
    parts = [
        stack([eigenbasis(arrays.put(rng.standard_normal((k, 20))), train, arrays.xp)] * 2, [train] * 2, arrays.xp)
        for k in (3, 12)
    ]
    basis = joined(parts, arrays.xp)
    rank = basis.eigenvalues.shape[1]
    assert rank >= 12
    assert (rank + 1) % ALIGNED == 0
    assert basis.coordinates.shape == (4, 20, rank)
    assert basis.weights.shape == (4, 20)
    for k, (part, size) in enumerate([(parts[0], 3), (parts[0], 3), (parts[1], 12), (parts[1], 12)]):
        coordinates = to_numpy(basis.coordinates)[k]
        np.testing.assert_array_equal(coordinates[:, :size], to_numpy(part.coordinates)[0, :, :size])
        assert not coordinates[:, size:].any()
        np.testing.assert_array_equal(to_numpy(basis.eigenvalues)[k, :size], to_numpy(part.eigenvalues)[0, :size])


@pytest.mark.parametrize("k", [8, 70])
@pytest.mark.parametrize("sizes", [(10, 10, 10, 10), (5, 12, 13, 10)])
def test_folds_at_once_are_the_folds_one_by_one(k: int, sizes: tuple[int, ...], on_gpu: Arrays) -> None:
    """Up to the sign of an eigenvector: products of rows and eigenvalues are the same."""
    rng, xp = np.random.default_rng(k), on_gpu.xp
    labels = Labels.of(rng.integers(0, 3, 40), np.repeat(np.arange(4), sizes), 3, on_gpu)
    X, trains = on_gpu.put(rng.standard_normal((4, k, 40))), [~held for held in labels.held_out]
    together = basis_at_once(X, xp.stack(trains), *labels.training, xp)
    for fold, train in enumerate(trains):
        alone = eigenbasis(X[fold, ...], train, xp)
        ours, reference = to_numpy(together.coordinates)[fold], to_numpy(alone.coordinates)
        rows = to_numpy(train)
        np.testing.assert_allclose(ours @ ours[rows].T, reference @ reference[rows].T, atol=1e-9)
        values = to_numpy(together.eigenvalues)[fold]
        kept = to_numpy(alone.eigenvalues)
        np.testing.assert_allclose(values[: len(kept)], kept[: len(values)], atol=1e-9)
        np.testing.assert_array_equal(to_numpy(together.weights)[fold], rows)
