"""The nineteen tasks of VTAB-1k by name, in the folder layout that the fine-tuning community shares.

Source: Zhai et al. 2019, "The Visual Task Adaptation Benchmark"; layout `vtab-1k/<folder>/{train800,…}.txt`.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from head2toe.store.errors import DataError


@dataclass(frozen=True)
class VtabTask:
    """A VTAB task: the name used here, its folder in the shared layout, its group and number of classes."""

    name: str
    folder: str
    group: str
    n_classes: int
    aliases: tuple[str, ...] = ()


TASKS = (
    VtabTask("cifar100", "cifar", "natural", 100, ("cifar",)),
    VtabTask("caltech101", "caltech101", "natural", 102),
    VtabTask("dtd", "dtd", "natural", 47),
    VtabTask("flowers102", "oxford_flowers102", "natural", 102, ("oxford_flowers102", "flowers")),
    VtabTask("pets", "oxford_iiit_pet", "natural", 37, ("oxford_iiit_pet",)),
    VtabTask("svhn", "svhn", "natural", 10),
    VtabTask("sun397", "sun397", "natural", 397),
    VtabTask("camelyon", "patch_camelyon", "specialised", 2, ("patch_camelyon",)),
    VtabTask("eurosat", "eurosat", "specialised", 10),
    VtabTask("resisc45", "resisc45", "specialised", 45),
    VtabTask("retinopathy", "diabetic_retinopathy", "specialised", 5, ("diabetic_retinopathy",)),
    VtabTask("clevr_count", "clevr_count", "structured", 8),
    VtabTask("clevr_dist", "clevr_dist", "structured", 6),
    VtabTask("dmlab", "dmlab", "structured", 6),
    VtabTask("kitti", "kitti", "structured", 4),
    VtabTask("dsprites_loc", "dsprites_loc", "structured", 16),
    VtabTask("dsprites_ori", "dsprites_ori", "structured", 16),
    VtabTask("smallnorb_azi", "smallnorb_azi", "structured", 18),
    VtabTask("smallnorb_ele", "smallnorb_ele", "structured", 9),
)
NAMES = tuple(task.name for task in TASKS)
_BY_NAME = {name: task for task in TASKS for name in (task.name, *task.aliases)}


def find(name: str) -> VtabTask | None:
    """The task of this name or alias."""
    return _BY_NAME.get(name)


def root() -> Path:
    """Where the data is looked for: $HEAD2TOE_DATA, else ./data."""
    return Path(os.environ.get("HEAD2TOE_DATA", "data")).expanduser()


def candidates(task: VtabTask) -> list[Path]:
    """The folders in which the task's data may stand."""
    return [root() / "vtab-1k" / task.folder, root() / task.folder]


def folder_of(task: VtabTask) -> Path:
    """The task's folder. Raises DataError that names the folders looked in and the layout expected."""
    for folder in candidates(task):
        if folder.is_dir():
            return folder
    looked = " and ".join(map(str, candidates(task)))
    raise DataError(
        f"no data for task {task.name}: looked in {looked}; put VTAB-1k's folder there "
        "(train800.txt, val200.txt, test.txt, images/) or set HEAD2TOE_DATA"
    )


def whereabouts(task: VtabTask) -> str:
    """The task's folder, or that there is none."""
    return next((str(folder) for folder in candidates(task) if folder.is_dir()), f"no data in {root()}")
