"""The choice of a reader for a path: what lies there tells the format that a task is in."""

from pathlib import Path

from head2toe.extract.readers import hf_dataset, image_folders, manifest, vtab_lists, webdataset
from head2toe.extract.readers.listing import Listing
from head2toe.extract.readers.tables import Columns
from head2toe.store.common.errors import BadRequest, DataError

_EXPECTED = (
    "expected train800.txt, val200.txt and test.txt (VTAB-1k), train/<class>/* with or without val/ and test/ or "
    "<class>/* alone (ImageFolder), *.tar (WebDataset), a folder saved by Hugging Face datasets or one of its Parquet "
    "files, or the path of a manifest (.csv, .tsv, .parquet)"
)


def read(path: Path, columns: Columns | None = None) -> Listing:
    """Read the images and labels at a path, a file or a folder, in whichever format they are.

    Parameters
    ----------
    path : Path
        The file or folder.
    columns : Columns, optional
        The columns that the user named, for formats that have any.

    Raises
    ------
    BadRequest
        Columns are named, and the format has none.
    DataError
        What is there is in no format known here, or incomplete; the message says what was expected, or names the fault.
    MissingExtra
        The format needs a package that is not installed.
    """
    columns = columns or Columns()
    listing = _read_table(path, columns)
    if listing is not None:
        return listing
    if columns != Columns():
        raise BadRequest(f"--path-column and --label-column are for tables, and {path} is none")
    return _read_file(path) if path.is_file() else _read_folder(path)


def _read_table(path: Path, columns: Columns) -> Listing | None:
    """What a path holds if that has columns; None for every other format."""
    if path.is_file():
        return manifest.read(path, columns) if path.suffix.lower() in manifest.SUFFIXES else None
    if vtab_lists.has_lists(path):
        return None
    if hf_dataset.is_saved(path):
        return hf_dataset.read(path, columns)
    if image_folders.has_splits(path) or webdataset.shards(path) or image_folders.is_flat(path):
        return None
    return hf_dataset.read_repository(path, columns) if hf_dataset.parquet_files(path) else None


def _read_file(path: Path) -> Listing:
    if path.suffix.lower() == ".tar":
        return webdataset.read(path)
    raise DataError(f"can't read a task from the file {path}: {_EXPECTED}")


def _read_folder(folder: Path) -> Listing:
    if vtab_lists.has_lists(folder):
        return vtab_lists.read(folder)
    if image_folders.has_splits(folder):
        return image_folders.read(folder)
    if webdataset.shards(folder):
        return webdataset.read(folder)
    if image_folders.is_flat(folder):
        return image_folders.read(folder)
    tables = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in manifest.SUFFIXES]
    hint = f"; {tables[0]} may be the manifest: pass its path" if tables else ""
    raise DataError(f"no task in {folder}: {_EXPECTED}{hint}")
