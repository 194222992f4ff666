"""The labels of VTAB-1k's structured tasks, against VTAB's own code."""

import numpy as np
import pytest
from head2toe.extract.vtab import labels
from head2toe.store.common.errors import DataError


def reference_bin(value: float, thresholds: list[float]) -> int:
    """As task_adaptation puts it, in NumPy: the greatest index where threshold - distance is negative."""
    return int(np.max(np.where((np.array(thresholds, dtype=np.float32) - np.float32(value)) < 0)))


@pytest.mark.parametrize(
    ("nearest", "expected"),
    [
        (0.1, 0),
        (8.0, 0),
        (8.001, 1),
        (8.5, 1),
        (8.75, 2),
        (9.0, 2),
        (9.5, 3),
        (9.6, 4),
        (10.0, 4),
        (10.1, 5),
        (100.0, 5),
    ],
)
def test_clevr_distance(nearest: float, expected: int) -> None:
    coords = np.array([[200, 100, 12.0], [0, 0, nearest], [1, 1, 100.0]], dtype=np.float32)
    assert labels.clevr_distance(coords) == expected
    assert expected == reference_bin(nearest, [0.0, 8.0, 8.5, 9.0, 9.5, 10.0, 100.0])


@pytest.mark.parametrize("value", [0.0, -3.0, float("nan")])
def test_a_distance_below_all_bins_has_no_class(value: float) -> None:
    with pytest.raises(DataError, match="not above 0"):
        labels.clevr_distance(np.array([[0, 0, value]]))


def test_clevr_count_has_eight_classes() -> None:
    assert [labels.clevr_count(n) for n in range(3, 11)] == list(range(8))
    assert len(labels.CLEVR_COUNT_CLASSES) == 8


@pytest.mark.parametrize(
    ("types", "depths", "expected"),
    [
        ([0], [8.0], 0),
        ([0], [8.1], 1),
        ([1], [20.0], 1),
        ([2], [20.5], 2),
        ([3, 0], [1.0, 30.0], 2),  # the pedestrian is nearer, but no vehicle
        ([3, 7], [1.0, 2.0], 3),
        ([], [], 3),
        ([0], [-2.0], 0),  # beside the camera
        ([0], [999.5], 3),
    ],
)
def test_kitti_distance(types: list[int], depths: list[float], expected: int) -> None:
    locations = np.array([[5.0, 1.0, depth] for depth in depths], dtype=np.float32).reshape(-1, 3)
    assert labels.kitti_distance(np.array(types, dtype=np.int64), locations) == expected
    nearest = min([depth for kind, depth in zip(types, depths, strict=True) if kind < 3], default=1000.0)
    assert expected == reference_bin(nearest, [-100.0, 8.0, 20.0, 999.0])


@pytest.mark.parametrize(("n_values", "sizes"), [(32, {2}), (40, {2, 3})])
def test_merged_labels_are_the_floor_of_the_quotient(n_values: int, sizes: set[int]) -> None:
    merged = [labels.merged_label(v, n_values, 16) for v in range(n_values)]
    divisor = np.float32(n_values / 16)  # as task_adaptation divides
    assert merged == np.floor_divide(np.arange(n_values, dtype=np.float32), divisor).astype(int).tolist()
    assert set(np.bincount(merged).tolist()) == sizes
    assert len(merged) == n_values


def test_names_of_merged_classes_cover_all_values() -> None:
    names = labels.merged_class_names("orientation", 40, 16)
    assert names[0] == "orientation 0-2"
    assert names[1] == "orientation 3-4"
    assert names[-1] == "orientation 38-39"
    assert len(set(names)) == 16
