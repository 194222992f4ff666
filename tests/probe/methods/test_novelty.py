"""Distances of held-out rows are measured without them, and a model's features are those that it reads."""

import numpy as np
import pytest
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.probe.heads.scaling import unit_rows
from head2toe.probe.methods.novelty import FEATURES, nearest_distance, some_features, training_images
from head2toe.select.compute.arrays import numpy_arrays
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design_matrix import ArrayDesign

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 30)).astype(np.float32)
FOLDS = np.arange(60) % 4
POSITIONS = np.arange(30)


def test_distances_of_a_fold_see_no_other_row_of_it() -> None:
    """One held-out row is moved far away: the distances of the others stay what they were."""
    folds, moved = np.where(FOLDS == 0, 0, -1), X.copy()
    moved[0] += 50
    before, after = (training_images(rows, folds, POSITIONS) for rows in (X, moved))
    assert before is not None
    assert after is not None
    assert after.distances[-1] > 5 * before.distances[-1]
    assert np.isin(before.distances, after.distances).sum() == len(before.distances) - 1


def test_the_nearest_are_found() -> None:
    brute = np.sort(np.linalg.norm(X[:10, None] - X[None, 10:], axis=2), axis=1)[:, :3].mean(axis=1)
    np.testing.assert_allclose(nearest_distance(X[:10], X[10:], 3), brute, rtol=1e-6)


@pytest.mark.parametrize(
    ("features", "folds"),
    [
        (X[:, :0], FOLDS),
        (X[:11], FOLDS[:11]),
        (X, np.full(60, -1)),
        (np.ones_like(X), FOLDS),
    ],
    ids=["no feature", "few rows", "no fold", "all alike"],
)
def test_where_nothing_can_be_compared_there_is_nothing(features: np.ndarray, folds: np.ndarray) -> None:
    assert training_images(features, folds, POSITIONS[: features.shape[1]]) is None


def test_a_feature_that_does_not_vary_has_no_say() -> None:
    constant = X.copy()
    constant[:, 3] = 4
    images = training_images(constant, FOLDS, POSITIONS)
    assert images is not None
    assert images.scale[3] == 0
    assert np.isfinite(images.distances).all()


def model(columns: np.ndarray, sizes: tuple[int, ...], *, unit: bool = False) -> LinearModel:
    """A model that reads these columns."""
    k = len(columns)
    ones = np.ones(k, np.float32)
    return LinearModel(sizes, columns, unit, 0 * ones, ones, np.zeros((k, 2), np.float32), np.zeros(2, np.float32))


def test_features_of_several_target_sizes_stand_side_by_side() -> None:
    designs = {
        64: ArrayDesign(X[:, :20].copy(), LayerIndex(("a",), (20,))),
        256: ArrayDesign(X, LayerIndex(("a",), (30,))),
    }
    positions, features = some_features(model(np.array([1, 7, 22, 49]), (64, 256)), designs, 40)
    np.testing.assert_array_equal(positions, [0, 1, 2, 3])
    np.testing.assert_array_equal(features, np.stack([X[:40, 1], X[:40, 7], X[:40, 2], X[:40, 29]], axis=1))


def test_of_many_features_some_are_read_and_units_are_those_of_the_whole_layer() -> None:
    wide = np.random.default_rng(1).standard_normal((30, 2 * FEATURES)).astype(np.float32)
    design = ArrayDesign(wide, LayerIndex(("a", "b"), (FEATURES, FEATURES)))
    columns = np.arange(2 * FEATURES)
    positions, features = some_features(model(columns, (64,), unit=True), {64: design}, 20)
    assert len(positions) == FEATURES
    assert (positions[0], positions[-1]) == (0, 2 * FEATURES - 1)
    whole = unit_rows(design, columns, np.arange(30) < 20, numpy_arrays()).values
    np.testing.assert_array_equal(features, whole[positions, :20].T)
