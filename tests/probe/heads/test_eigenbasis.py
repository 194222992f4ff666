"""An eigenbasis loses nothing that a linear head can see, with more features than rows and with fewer."""

import numpy as np
import pytest
from head2toe.probe.heads.eigenbasis import eigenbasis, stack
from head2toe.select.compute.arrays import Arrays, to_numpy


@pytest.mark.parametrize("k", [8, 70])
def test_products_with_training_rows_and_lifted_weights_are_kept(k: int, arrays: Arrays) -> None:
    rng = np.random.default_rng(k)
    X, train = rng.standard_normal((k, 40)), np.arange(40) < 30
    eigen = eigenbasis(arrays.put(X), arrays.put(train), arrays.xp)
    coordinates, values = to_numpy(eigen.coordinates), to_numpy(eigen.eigenvalues)
    centred = X - X[:, train].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(to_numpy(eigen.centre), X[:, train].mean(axis=1))
    assert len(values) == min(k, 29), "centring takes one dimension of the rows"
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
    assert basis.coordinates.shape == (2, 20, 15)
    np.testing.assert_array_equal(to_numpy(basis.weights).sum(axis=1), [6, 16])
    assert not to_numpy(basis.coordinates)[0, :, 5:].any()
    assert not to_numpy(basis.eigenvalues)[0, 5:].any()
