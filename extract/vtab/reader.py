"""The reader of VTAB-1k's tasks by name: where their folders are looked for, and how a copy differs from the original.

Source: Zhai et al. 2019, "The Visual Task Adaptation Benchmark"; layout `vtab-1k/<folder>/{train800,…}.txt`.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from head2toe.extract.options import data_root
from head2toe.extract.readers import formats, vtab_lists
from head2toe.extract.readers.listing import Listing
from head2toe.extract.vtab import from_tfds, from_torchvision
from head2toe.extract.vtab.tasks import N_TRAIN, N_VAL, VtabTask
from head2toe.store.common.errors import BadRequest, DataError

_ORIGINAL_ROWS = "VTAB-1k's own"
"""What `SOURCE.json` says of a copy with the rows of the original."""


def read_vtab_task(task: VtabTask, download: str | None = None) -> Listing:
    """Read a task's images and labels; a note says what differs from the original.

    Parameters
    ----------
    task : VtabTask
        The task.
    download : {"tfds", "torchvision"}, optional
        Where to get the folder from if it is not there: `from_tfds.materialise` or `from_torchvision.materialise`.

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
    sources = {"tfds": from_tfds.materialise, "torchvision": from_torchvision.materialise}
    if download is not None and download not in sources:
        raise BadRequest(f"unknown download {download!r}: choose from {', '.join(sources)}")
    folder = existing_folder(task)
    if folder is not None and not vtab_lists.has_lists(folder):
        listing = formats.read(folder)
    elif folder is not None:
        listing = vtab_lists.read(folder, task.n_classes)
    elif download is not None:
        listing = vtab_lists.read(sources[download](task, data_root()), task.n_classes)
    else:
        raise _no_data(task)
    return replace(listing, notes=(*listing.notes, *_differences(task, listing)))


def candidate_folders(task: VtabTask) -> list[Path]:
    """Return the folders in which the task's data is looked for, in this order."""
    root = data_root()
    return list(dict.fromkeys([root / "vtab-1k" / task.folder, root / task.folder, root / task.name]))


def existing_folder(task: VtabTask) -> Path | None:
    """Return the first of the task's candidate folders that is there; None where none is."""
    return next((folder for folder in candidate_folders(task) if folder.is_dir()), None)


def _no_data(task: VtabTask) -> DataError:
    looked = ", ".join(map(str, candidate_folders(task)))
    here = f" (the folder ./{task.name} here is read as ./{task.name})" if Path(task.name).is_dir() else ""
    offer = ", or --download torchvision (rows drawn anew)" if from_torchvision.offers(task) else ""
    return DataError(
        f"no data for task {task.name}: looked in {looked}{here}; put VTAB-1k's folder there (train800.txt, "
        "val200.txt, test.txt with lines like 'images/train800/000000.jpg 23', and images/), set HEAD2TOE_DATA to the "
        f"folder that holds vtab-1k/, or pass --download tfds (VTAB-1k's own rows; extra tfds){offer}"
    )


def _differences(task: VtabTask, listing: Listing) -> list[str]:
    """How a copy differs from VTAB-1k, in words: copies that people pass on are often incomplete."""
    notes = []
    if (rows := listing.provenance.get("rows", _ORIGINAL_ROWS)) != _ORIGINAL_ROWS:
        notes.append(f"the rows are {rows}")
    if len(listing.train) != (n := N_TRAIN + N_VAL):
        notes.append(f"{len(listing.train)} training images: VTAB-1k's {task.name} has {n} ({N_TRAIN} and {N_VAL})")
    if len(listing.classes) != task.n_classes:
        notes.append(f"{len(listing.classes)} classes: VTAB-1k's {task.name} has {task.n_classes}")
    elif missing := len(listing.classes) - len(np.unique(listing.train_labels)):
        notes.append(f"{missing} of {task.n_classes} classes of {task.name} have no training image")
    return notes
