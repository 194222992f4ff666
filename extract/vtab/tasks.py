"""VTAB-1k's nineteen tasks: names, groups and sizes.

Source: Zhai et al. 2019, "The Visual Task Adaptation Benchmark".
"""

import os
import re
from dataclasses import dataclass

from head2toe.extract.readers.splits import VTAB_SPLIT

N_TRAIN, N_VAL = VTAB_SPLIT
"""Training rows and validation rows of every task."""


@dataclass(frozen=True)
class VtabTask:
    """What is known of a task of VTAB-1k without its data.

    Attributes
    ----------
    name : str
        The name used here.
    folder : str
        The task's folder in the layout that the community shares.
    group : {"natural", "specialised", "structured"}
        VTAB's group of tasks.
    n_classes : int
        Number of classes.
    aliases : tuple of str
        Other names: in the paper's tables, in VTAB's own code, in the clip-benchmark's copies.
    """

    name: str
    folder: str
    group: str
    n_classes: int
    aliases: tuple[str, ...] = ()


VTAB_TASKS = (
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
VTAB_NAMES = tuple(task.name for task in VTAB_TASKS)


def normalised_name(name: str) -> str:
    """Return a name without what does not count, case and all but letters and digits: `CIFAR-100` is `cifar100`."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


_TASK_OF_NAME = {normalised_name(name): task for task in VTAB_TASKS for name in (task.name, task.folder, *task.aliases)}


def find_vtab_task(name: str) -> VtabTask | None:
    """Return the task of a name, folder or alias, or None; a path (with a separator in it) never names one."""
    return None if "/" in name or os.sep in name else _TASK_OF_NAME.get(normalised_name(name))
