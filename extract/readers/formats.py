"""The choice of a reader for a path: what lies there tells the format that a task is in."""

from pathlib import Path

from head2toe.extract.readers import hf_dataset, image_folders, manifest, vtab_lists, webdataset
from head2toe.extract.readers.listing import Listing
from head2toe.store.common.errors import DataError

_EXPECTED = (
    "expected train800.txt, val200.txt and test.txt (VTAB-1k), train/<class>/* with or without val/ and test/ or "
    "<class>/* alone (ImageFolder), *.tar (WebDataset), a folder saved by Hugging Face datasets, "
    "or the path of a manifest (.csv, .tsv, .parquet)"
)


def read(path: Path) -> Listing:
    """Read the images and labels at a path, a file or a folder, in whichever format they are.

    Raises
    ------
    DataError
        What is there is in no format known here, or incomplete; the message says what was expected, or names the fault.
    MissingExtra
        The format needs a package that is not installed.
    """
    return _read_file(path) if path.is_file() else _read_folder(path)


def _read_file(path: Path) -> Listing:
    if path.suffix.lower() in manifest.SUFFIXES:
        return manifest.read(path)
    if path.suffix.lower() == ".tar":
        return webdataset.read(path)
    raise DataError(f"can't read a task from the file {path}: {_EXPECTED}")


def _read_folder(folder: Path) -> Listing:
    if vtab_lists.has_lists(folder):
        return vtab_lists.read(folder)
    if hf_dataset.is_saved(folder):
        return hf_dataset.read(folder)
    if image_folders.has_splits(folder):
        return image_folders.read(folder)
    if webdataset.shards(folder):
        return webdataset.read(folder)
    if image_folders.is_flat(folder):
        return image_folders.read(folder)
    raise DataError(f"no task in {folder}: {_EXPECTED}")
