"""Normalisation on the fly equals normalisation of a copy."""

import numpy as np
import pytest
from head2toe.select.compute.normalize import UnitRows, moments
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design_matrix import ArrayDesign


@pytest.fixture
def design(make_data):
    X, _ = make_data()
    X[3, :50] = 0
    return ArrayDesign(X, LayerIndex(("a", "b"), (50, 70))), X


def test_unit_rows_are_unit_per_layer_and_example(design):
    design, X = design
    unit = UnitRows.of(design)
    values = np.concatenate([block.values.copy() for block in unit.stream(max_bytes=1000)]).T
    for layer in (slice(0, 50), slice(50, 120)):
        lengths = np.linalg.norm(values[:, layer], axis=1)
        expected = np.linalg.norm(X[:, layer], axis=1) > 0
        np.testing.assert_allclose(lengths, expected, atol=1e-6)
    span = np.concatenate([block.values.copy() for block in unit.stream(max_bytes=1000, within=(40, 60))]).T
    np.testing.assert_array_equal(span, values[:, 40:60])
    chosen = np.array([119, 3, 60])
    np.testing.assert_array_equal(unit.columns(chosen), values[:, chosen].T)
    rows = np.array([5, 3, 5])
    np.testing.assert_array_equal(unit.take(rows).columns(chosen), values[rows][:, chosen].T)


def test_moments_are_those_of_the_rows(design, arrays, split_masks):
    design, X = design
    masks = split_masks(len(X), 3)
    computed = moments(design, masks, arrays)
    for k, mask in enumerate(masks):
        np.testing.assert_allclose(computed.mean[k], X[mask].mean(axis=0, dtype=float), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(computed.scale[k], 1 / X[mask].std(axis=0, dtype=float), rtol=1e-4)


def test_weighted_moments_are_those_of_repeated_rows(design, arrays, split_masks):
    design, X = design
    masks, times = split_masks(len(X), 3), np.resize([1, 2, 3], len(X))
    found = moments(design, masks, arrays, times.astype(float))
    for k, mask in enumerate(masks):
        rows = np.flatnonzero(mask).repeat(times[mask])
        np.testing.assert_allclose(found.mean[k], X[rows].mean(axis=0, dtype=float), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found.scale[k], 1 / X[rows].std(axis=0, dtype=float), rtol=1e-4)


def test_a_small_variance_beside_a_large_mean_survives_float32(cpu):
    rng = np.random.default_rng(0)
    X = (1e4 + 0.1 * rng.standard_normal((500, 3))).astype(np.float32)
    computed = moments(ArrayDesign(X), np.ones((1, 500), bool), cpu)
    np.testing.assert_allclose(computed.scale[0], 1 / X.std(axis=0, dtype=float), rtol=1e-2)


def test_a_feature_that_is_constant_on_some_rows_is_dead_there(cpu):
    X = np.random.default_rng(0).standard_normal((20, 2)).astype(np.float32)
    X[:10, 0] = 0.1
    masks = np.stack([np.arange(20) < 10, np.ones(20, bool)])
    computed = moments(ArrayDesign(X), masks, cpu)
    assert computed.scale[0, 0] == 0
    assert computed.scale[1, 0] > 0
    assert computed.without_scaling().scale.tolist() == [[0, 1], [1, 1]]


def test_an_outlier_elsewhere_does_not_hide_what_is_constant_or_small(arrays):
    """A feature that answers to one image only, in the fold that holds it out; float32 left noise for its variance."""
    X = np.zeros((800, 40), np.float32)
    X[:, 1::2] = np.linspace(0.1, 2, 20)
    X[:, 30:] += 1e-3 * np.random.default_rng(0).standard_normal((800, 10)).astype(np.float32)
    X[5] += np.linspace(1, 300, 40, dtype=np.float32)
    masks = np.stack([np.arange(800) != 5, np.ones(800, bool)])
    computed = moments(ArrayDesign(X), masks, arrays)
    assert not computed.scale[0, :30].any()
    np.testing.assert_allclose(computed.scale[0, 30:], 1 / X[masks[0], 30:].std(axis=0, dtype=float), rtol=2e-3)
    np.testing.assert_allclose(
        computed.mean, [X[mask].mean(axis=0, dtype=float) for mask in masks], rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(computed.scale[1], 1 / X.std(axis=0, dtype=float), rtol=1e-4)
