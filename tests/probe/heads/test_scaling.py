"""What each scaling promises of norms, means and variances; and that held-out rows have no part in what is fitted."""

from typing import Any

import numpy as np
import pytest
from head2toe.probe.heads.scaling import scaled_rows, standardized_rows, unit_rows
from head2toe.select.compute.arrays import Arrays, numpy_arrays, to_numpy
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design_matrix import ArrayDesign

TRAIN = np.arange(30) < 24


def design(X: np.ndarray) -> ArrayDesign:
    return ArrayDesign(X.astype(np.float32), LayerIndex(("a", "b"), (4, X.shape[1] - 4)))


@pytest.fixture
def X() -> np.ndarray:
    """Features of unlike means and variances; the last one never varies."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 10)) * rng.uniform(0.1, 5, 10) + rng.uniform(-3, 3, 10)
    X[:, 9] = 7.1
    return X


def test_unit_rows_are_unit_in_every_layer_and_zero_stays_zero() -> None:
    X = np.random.default_rng(0).standard_normal((6, 10)).astype(np.float32)
    X[2, :4] = 0
    rows = unit_rows(design(X), np.arange(10), np.ones(6, dtype=bool), numpy_arrays()).values
    norms = np.linalg.norm(rows[:4], axis=0)
    np.testing.assert_allclose(norms, [1, 1, 0, 1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(rows[4:], axis=0), 1, atol=1e-6)


def test_scaled_training_rows_have_a_mean_squared_norm_of_one(X: np.ndarray) -> None:
    scaled = scaled_rows(design(X), np.arange(10), TRAIN, numpy_arrays())
    centred = scaled.values - scaled.values[:, TRAIN].mean(axis=1, keepdims=True)
    assert (centred[:, TRAIN] ** 2).sum(axis=0).mean() == pytest.approx(1, rel=1e-5)
    assert len(np.unique(scaled.scale)) == 1, "one factor for all features"


def test_standardized_features_have_mean_zero_and_a_share_of_the_variance(X: np.ndarray) -> None:
    values = standardized_rows(design(X), np.arange(10), TRAIN, numpy_arrays()).values
    np.testing.assert_allclose(values[:, TRAIN].mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(values[:9, TRAIN].var(axis=1), 1 / 10, rtol=1e-4)
    assert not values[9].any(), "a feature that doesn't vary is dropped"


@pytest.mark.parametrize("scaling", [unit_rows, scaled_rows, standardized_rows])
def test_mean_and_scale_say_how_values_came_from_training_rows_alone(
    scaling: Any, X: np.ndarray, arrays: Arrays
) -> None:
    columns, train = np.array([0, 2, 5, 8]), arrays.put(TRAIN)
    scaled = scaling(design(X), columns, train, arrays)
    if not scaled.unit:
        raw = X.astype(np.float32).T[columns]
        again = (raw - to_numpy(scaled.mean)) * to_numpy(scaled.scale)
        np.testing.assert_allclose(to_numpy(scaled.values), again, atol=1e-5)
    X[~TRAIN] *= -3
    other = scaling(design(X), columns, train, arrays)
    np.testing.assert_array_equal(to_numpy(other.mean), to_numpy(scaled.mean))
    np.testing.assert_array_equal(to_numpy(other.scale), to_numpy(scaled.scale))
    np.testing.assert_array_equal(to_numpy(other.values)[:, TRAIN], to_numpy(scaled.values)[:, TRAIN])
