"""What VTAB-1k is made of: label definitions and splits, against VTAB's own numbers."""

import numpy as np
import pytest
from head2toe.extract.vtab import from_torchvision as vtab_torchvision
from head2toe.extract.vtab import labels as vtab_labels
from head2toe.extract.vtab.recipes import RECIPES, Cut
from head2toe.extract.vtab.tasks import TASKS
from head2toe.store.common.errors import DataError

BY_FOLDER = {task.folder: task for task in TASKS}


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
    assert vtab_labels.clevr_distance(coords) == expected
    assert expected == reference_bin(nearest, [0.0, 8.0, 8.5, 9.0, 9.5, 10.0, 100.0])


@pytest.mark.parametrize("value", [0.0, -3.0, float("nan")])
def test_a_distance_below_all_bins_has_no_class(value: float) -> None:
    with pytest.raises(DataError, match="not above 0"):
        vtab_labels.clevr_distance(np.array([[0, 0, value]]))


def test_clevr_count_has_eight_classes() -> None:
    assert [vtab_labels.clevr_count(n) for n in range(3, 11)] == list(range(8))
    assert len(vtab_labels.CLEVR_COUNT_CLASSES) == 8


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
    assert vtab_labels.kitti_distance(np.array(types, dtype=np.int64), locations) == expected
    nearest = min([depth for kind, depth in zip(types, depths, strict=True) if kind < 3], default=1000.0)
    assert expected == reference_bin(nearest, [-100.0, 8.0, 20.0, 999.0])


@pytest.mark.parametrize(("n_values", "sizes"), [(32, {2}), (40, {2, 3})])
def test_merged_labels_are_the_floor_of_the_quotient(n_values: int, sizes: set[int]) -> None:
    found = [vtab_labels.merged(v, n_values, 16) for v in range(n_values)]
    divisor = np.float32(n_values / 16)  # as task_adaptation divides
    assert found == np.floor_divide(np.arange(n_values, dtype=np.float32), divisor).astype(int).tolist()
    assert set(np.bincount(found).tolist()) == sizes
    assert len(found) == n_values


def test_names_of_merged_classes_cover_all_values() -> None:
    names = vtab_labels.merged_classes("orientation", 40, 16)
    assert names[0] == "orientation 0-2"
    assert names[1] == "orientation 3-4"
    assert names[-1] == "orientation 38-39"
    assert len(set(names)) == 16


REAL = {  # the builders' sizes, and VTAB-1k's rows in them
    "cifar": ({"train": 50000, "test": 10000}, "train[45000:45200]", "test[0:10000]"),
    "caltech101": ({"train": 3059, "test": 6085}, "train[2753:2953]", "test[0:6085]"),
    "dtd": ({"train": 1880, "validation": 1880, "test": 1880}, "validation[0:200]", "test[0:1880]"),
    "oxford_iiit_pet": ({"train": 3680, "test": 3669}, "train[2944:3144]", "test[0:3669]"),
    "svhn": ({"train": 73257, "test": 26032}, "train[65931:66131]", "test[0:26032]"),
    "eurosat": ({"train": 27000}, "train[16200:16400]", "train[21600:27000]"),
    "resisc45": ({"train": 31500}, "train[18900:19100]", "train[25200:31500]"),
    "clevr_count": ({"train": 70000, "validation": 15000, "test": 15000}, "train[63000:63200]", "validation[0:15000]"),
    "dsprites_ori": ({"train": 737280}, "train[589824:590024]", "train[663552:737280]"),
    "smallnorb_azi": ({"train": 24300, "test": 24300}, "test[0:200]", "test[12150:24300]"),
}


@pytest.mark.parametrize("folder", REAL)
def test_splits_in_absolute_rows(folder: str) -> None:
    sizes, val, test = REAL[folder]
    assert {name: cut.spec(sizes) for name, cut in RECIPES[folder].cuts.items()} == {
        "train800": "train[0:800]",
        "val200": val,
        "test": test,
    }


@pytest.mark.parametrize("folder", RECIPES)
def test_no_row_is_in_two_splits(folder: str) -> None:
    sizes = {"train": 4321, "validation": 432, "test": 1234}
    rows: set[tuple[str, int]] = set()
    total = 0
    for cut in RECIPES[folder].cuts.values():
        first, last = cut.bounds(sizes)
        rows |= {(cut.split, row) for row in range(first, last)}
        total += last - first
    assert len(rows) == total


@pytest.mark.parametrize("sizes", [{}, {"train": 199}, {"train": 0}])
def test_a_cut_that_is_not_there(sizes: dict[str, int]) -> None:
    with pytest.raises(DataError, match="are needed"):
        Cut("train", rows=200).bounds(sizes)


def test_every_task_has_a_recipe() -> None:
    assert set(RECIPES) == set(BY_FOLDER)
    assert set(vtab_torchvision.OFFERS) < set(BY_FOLDER)
