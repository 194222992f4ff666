"""VTAB-1k's nineteen tasks go by every name that people use."""

import pytest
from head2toe.extract.vtab.tasks import VTAB_NAMES, VTAB_TASKS, find_vtab_task, normalised_name

PAPER = {
    "Caltech101": "caltech101",
    "CIFAR-100": "cifar100",
    "DTD": "dtd",
    "Flowers102": "flowers102",
    "Pets": "pets",
    "SVHN": "svhn",
    "Sun397": "sun397",
    "Camelyon": "camelyon",
    "EuroSAT": "eurosat",
    "Resisc45": "resisc45",
    "Retinopathy": "retinopathy",
    "Clevr-Count": "clevr_count",
    "Clevr-Dist": "clevr_dist",
    "DMLab": "dmlab",
    "KITTI-Dist": "kitti",
    "dSpr-Loc": "dsprites_loc",
    "dSpr-Ori": "dsprites_ori",
    "sNORB-Azim": "smallnorb_azi",
    "sNORB-Elev": "smallnorb_ele",
}


OTHERS = {
    "cifar": "cifar100",
    "oxford_flowers102": "flowers102",
    "oxford_iiit_pet": "pets",
    "patch_camelyon": "camelyon",
    "diabetic_retinopathy(config='btgraham-300')": "retinopathy",
    "clevr(task='count_all')": "clevr_count",
    "clevr_closest_object_distance": "clevr_dist",
    "kitti_closest_vehicle_distance": "kitti",
    "dsprites_label_x_position": "dsprites_loc",
    "smallnorb(predicted_attribute='label_azimuth')": "smallnorb_azi",
    "smallnorb-ele": "smallnorb_ele",
}


@pytest.mark.parametrize(("given", "name"), (PAPER | OTHERS).items())
def test_every_name_in_use_is_known(given: str, name: str) -> None:
    entry = find_vtab_task(given)
    assert entry is not None
    assert entry.name == name


def test_names_are_unambiguous() -> None:
    spellings = [{normalised_name(n) for n in (task.name, task.folder, *task.aliases)} for task in VTAB_TASKS]
    assert len(set().union(*spellings)) == sum(map(len, spellings))
    assert set(PAPER.values()) == set(VTAB_NAMES)


def test_nineteen_tasks_in_three_groups() -> None:
    groups = [task.group for task in VTAB_TASKS]
    assert (groups.count("natural"), groups.count("specialised"), groups.count("structured")) == (7, 4, 8)
