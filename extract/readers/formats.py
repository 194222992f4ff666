"""Reading a task from a path, whatever lies there: the format is told by what the path is."""

from pathlib import Path

from head2toe.extract.readers import hf_dataset, manifest, webdataset
from head2toe.extract.readers import image_folders as folders
from head2toe.extract.readers.listing import Listing
from head2toe.store.common.errors import DataError

EXPECTED = (
    "expected train800.txt, val200.txt and test.txt (VTAB-1k), train/<class>/* with or without val/ and test/ or "
    "<class>/* alone (ImageFolder), *.tar (WebDataset), a folder saved by Hugging Face datasets, "
    "or the path of a manifest (.csv, .tsv, .parquet)"
)


def read(path: Path) -> Listing:
    """Images and labels at a path.

    Raises
    ------
    DataError
        No format is there, or what is there is incomplete; the message says what was expected, or names the fault.
    MissingExtra
        The format needs a package that is not installed.
    """
    return _read_file(path) if path.is_file() else _read_folder(path)


def _read_file(path: Path) -> Listing:
    if path.suffix.lower() in manifest.SUFFIXES:
        return manifest.read(path)
    if path.suffix.lower() == ".tar":
        return webdataset.read(path)
    raise DataError(f"can't read a task from the file {path}: {EXPECTED}")


def _read_folder(folder: Path) -> Listing:
    if folders.has_lists(folder):
        return folders.read_lists(folder)
    if hf_dataset.is_saved(folder):
        return hf_dataset.read(folder)
    if folders.has_splits(folder):
        return folders.read_image_folder(folder)
    if webdataset.shards(folder):
        return webdataset.read(folder)
    if folders.is_flat(folder):
        return folders.read_image_folder(folder)
    raise DataError(f"no task in {folder}: {EXPECTED}")
