"""The rows of VTAB-1k's splits in TensorFlow Datasets, against VTAB's own numbers."""

import pytest
from head2toe.extract.vtab import from_torchvision
from head2toe.extract.vtab.recipes import VTAB_RECIPES, Cut
from head2toe.extract.vtab.tasks import VTAB_TASKS
from head2toe.store.common.errors import DataError

BY_FOLDER = {task.folder: task for task in VTAB_TASKS}


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
    assert {name: cut.spec(sizes) for name, cut in VTAB_RECIPES[folder].cuts.items()} == {
        "train800": "train[0:800]",
        "val200": val,
        "test": test,
    }


@pytest.mark.parametrize("folder", VTAB_RECIPES)
def test_no_row_is_in_two_splits(folder: str) -> None:
    sizes = {"train": 4321, "validation": 432, "test": 1234}
    rows: set[tuple[str, int]] = set()
    total = 0
    for cut in VTAB_RECIPES[folder].cuts.values():
        first, last = cut.bounds(sizes)
        rows |= {(cut.split, row) for row in range(first, last)}
        total += last - first
    assert len(rows) == total


@pytest.mark.parametrize("sizes", [{}, {"train": 199}, {"train": 0}])
def test_a_cut_that_is_not_there(sizes: dict[str, int]) -> None:
    with pytest.raises(DataError, match="are needed"):
        Cut("train", rows=200).bounds(sizes)


def test_every_task_has_a_recipe() -> None:
    assert set(VTAB_RECIPES) == set(BY_FOLDER)
    assert set(from_torchvision.OFFERS) < set(BY_FOLDER)
