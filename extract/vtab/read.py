"""The nineteen tasks of VTAB-1k by any of their names, and where their data is looked for.

Source: Zhai et al. 2019, "The Visual Task Adaptation Benchmark"; layout `vtab-1k/<folder>/{train800,…}.txt`.
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from head2toe.extract.readers import formats
from head2toe.extract.readers import image_folders as folders
from head2toe.extract.readers.listing import Listing
from head2toe.extract.vtab.tasks import N_TRAIN, VtabTask
from head2toe.store.common.errors import BadRequest, DataError
from head2toe.store.common.files import expanded

OWN_ROWS = "VTAB-1k's own"
"""What `SOURCE.json` says of a copy with the rows of the original."""


def root() -> Path:
    """Where the data is looked for: $HEAD2TOE_DATA, else ./data."""
    return expanded(os.environ.get("HEAD2TOE_DATA", "data"))


def candidates(task: VtabTask) -> list[Path]:
    """The folders in which the task's data may stand."""
    return list(dict.fromkeys([root() / "vtab-1k" / task.folder, root() / task.folder, root() / task.name]))


def from_folder(task: VtabTask) -> Listing | None:
    """The task's images from the first folder that is there, in the community's layout or any other."""
    for folder in candidates(task):
        if folder.is_dir():
            lists = folders.has_lists(folder)
            return folders.read_lists(folder, task.n_classes) if lists else formats.read(folder)
    return None


def read(task: VtabTask, download: str | None = None) -> Listing:
    """A task's images and labels; what differs from the original is a note.

    Parameters
    ----------
    download : {"tfds", "torchvision"}, optional
        Where to get the folder from if it is not there; see `vtab_tfds.materialise`, `vtab_torchvision.materialise`.

    Raises
    ------
    BadRequest
        There is no such source, or torchvision does not offer the task.
    DataError
        The data is not there; the message names the folders looked in, the layout expected, and the ways to get it. Or
        it can't be downloaded.
    MissingExtra
        TensorFlow Datasets is not installed.
    """
    from head2toe.extract.vtab import from_tfds as vtab_tfds
    from head2toe.extract.vtab import from_torchvision as vtab_torchvision

    sources = {"tfds": vtab_tfds.materialise, "torchvision": vtab_torchvision.materialise}
    if download is not None and download not in sources:
        raise BadRequest(f"unknown download {download!r}: choose from {', '.join(sources)}")
    listing = from_folder(task)
    if listing is None and download is not None:
        listing = folders.read_lists(sources[download](task, root()), task.n_classes)
    if listing is not None:
        return replace(listing, notes=(*listing.notes, *differences(task, listing)))
    looked = ", ".join(map(str, candidates(task)))
    here = f" (the folder ./{task.name} here is read as ./{task.name})" if Path(task.name).is_dir() else ""
    offer = ", or --download torchvision (rows drawn anew)" if vtab_torchvision.offers(task) else ""
    raise DataError(
        f"no data for task {task.name}: looked in {looked}{here}; put VTAB-1k's folder there (train800.txt, "
        "val200.txt, test.txt with lines like 'images/train800/000000.jpg 23', and images/), set HEAD2TOE_DATA to the "
        f"folder that holds vtab-1k/, or pass --download tfds (VTAB-1k's own rows; extra tfds){offer}"
    )


def differences(task: VtabTask, listing: Listing) -> list[str]:
    """How a copy differs from VTAB-1k, in words: copies that people pass on are often incomplete."""
    found = []
    if (rows := listing.provenance.get("rows", OWN_ROWS)) != OWN_ROWS:
        found.append(f"the rows are {rows}")
    if len(listing.train) != N_TRAIN:
        found.append(f"{len(listing.train)} training images: VTAB-1k's {task.name} has {N_TRAIN} (800 and 200)")
    if len(listing.classes) != task.n_classes:
        found.append(f"{len(listing.classes)} classes: VTAB-1k's {task.name} has {task.n_classes}")
    elif missing := len(listing.classes) - len(np.unique(listing.train_labels)):
        found.append(f"{missing} of {task.n_classes} classes of {task.name} have no training image")
    return found


def whereabouts(task: VtabTask) -> str:
    """The task's folder, or that there is none."""
    return next((str(folder) for folder in candidates(task) if folder.is_dir()), f"no data in {root()}")
