"""VTAB-1k's nineteen tasks: names, groups and sizes."""

import os
import re
from dataclasses import dataclass

N_TRAIN = 1000
"""Training rows of every task: 800 and the 200 for validation."""


@dataclass(frozen=True)
class VtabTask:
    """A VTAB task: the name used here, its folder in the shared layout, its group, its number of classes, other names.

    Case and anything but letters and digits in a name do not count.
    """

    name: str
    folder: str
    group: str
    n_classes: int
    aliases: tuple[str, ...] = ()


# Aliases: names in the paper's tables, in VTAB's own code, in the clip-benchmark's copies.
TASKS = (
    VtabTask("cifar100", "cifar", "natural", 100, ("cifar(num_classes=100)",)),
    VtabTask("caltech101", "caltech101", "natural", 102),
    VtabTask("dtd", "dtd", "natural", 47),
    VtabTask("flowers102", "oxford_flowers102", "natural", 102, ("flowers",)),
    VtabTask("pets", "oxford_iiit_pet", "natural", 37, ("oxford_pets",)),
    VtabTask("svhn", "svhn", "natural", 10),
    VtabTask("sun397", "sun397", "natural", 397),
    VtabTask("camelyon", "patch_camelyon", "specialised", 2, ("pcam",)),
    VtabTask("eurosat", "eurosat", "specialised", 10),
    VtabTask("resisc45", "resisc45", "specialised", 45),
    VtabTask("retinopathy", "diabetic_retinopathy", "specialised", 5, ("diabetic_retinopathy(config='btgraham-300')",)),
    VtabTask("clevr_count", "clevr_count", "structured", 8, ("clevr_count_all", "clevr(task='count_all')")),
    VtabTask(
        "clevr_dist",
        "clevr_dist",
        "structured",
        6,
        ("clevr_distance", "clevr_closest_object_distance", "clevr(task='closest_object_distance')"),
    ),
    VtabTask("dmlab", "dmlab", "structured", 6),
    VtabTask(
        "kitti",
        "kitti",
        "structured",
        4,
        ("kitti_dist", "kitti_distance", "kitti_closest_vehicle_distance", "kitti(task='closest_vehicle_distance')"),
    ),
    VtabTask(
        "dsprites_loc",
        "dsprites_loc",
        "structured",
        16,
        (
            *("dspr_loc", "dsprites_location", "dsprites_label_x_position"),
            "dsprites(predicted_attribute='label_x_position',num_classes=16)",
        ),
    ),
    VtabTask(
        "dsprites_ori",
        "dsprites_ori",
        "structured",
        16,
        (
            *("dspr_ori", "dsprites_orientation", "dsprites_label_orientation"),
            "dsprites(predicted_attribute='label_orientation',num_classes=16)",
        ),
    ),
    VtabTask(
        "smallnorb_azi",
        "smallnorb_azi",
        "structured",
        18,
        (
            *("snorb_azim", "snorb_azi", "smallnorb_azimuth", "smallnorb_label_azimuth"),
            "smallnorb(predicted_attribute='label_azimuth')",
        ),
    ),
    VtabTask(
        "smallnorb_ele",
        "smallnorb_ele",
        "structured",
        9,
        (
            *("snorb_elev", "snorb_ele", "smallnorb_elevation", "smallnorb_label_elevation"),
            "smallnorb(predicted_attribute='label_elevation')",
        ),
    ),
)


NAMES = tuple(task.name for task in TASKS)


def plain(name: str) -> str:
    """A name without what does not count: `CIFAR-100` is `cifar100`."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


_BY_NAME = {plain(name): task for task in TASKS for name in (task.name, task.folder, *task.aliases)}


def find(name: str) -> VtabTask | None:
    """The task of this name or alias; a path (with a separator in it) is never one."""
    return None if "/" in name or os.sep in name else _BY_NAME.get(plain(name))
