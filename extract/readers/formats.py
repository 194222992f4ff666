"""The choice of a reader for a path: what lies there tells the format that a task is in."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from head2toe.extract.images.file_formats import check_content
from head2toe.extract.readers import hf_dataset, image_folders, manifest, vtab_lists, webdataset
from head2toe.extract.readers.listing import TRAIN, Listing, split_of
from head2toe.extract.readers.tables import Columns
from head2toe.store.common.errors import BadRequest, DataError

_EXPECTED = (
    "expected train800.txt, val200.txt and test.txt (VTAB-1k), train/<class>/* with or without val/ and test/ or "
    "<class>/* alone (ImageFolder), *.tar (WebDataset), a folder saved by Hugging Face datasets or one of its Parquet "
    "files, or the path of a manifest (.csv, .tsv, .parquet)"
)
_BESIDE_PREDICTIONS = ("result.json", "config.json", "summary.md")
"""What a run writes beside its predictions.parquet."""
_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip", ".7z", ".rar")
_WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods", ".numbers")

Reader = tuple[Callable[[], Listing], bool]
"""What reads a path, and whether its format has columns."""


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
    named = columns or Columns()
    reader, has_columns = _file_reader(path, named) if path.is_file() else _folder_reader(path, named)
    if named != Columns() and not has_columns:
        raise BadRequest(f"--path-column and --label-column are for tables, and {path} is none")
    return reader()


def _file_reader(path: Path, columns: Columns) -> Reader:
    if path.suffix.lower() in _WORKBOOKS:
        raise DataError(f"can't read a task from {path}, which is a workbook: save its table as CSV (UTF-8)")
    if path.suffix.lower() in manifest.SUFFIXES:
        return partial(manifest.read, path, columns), True
    if path.suffix.lower() == ".tar":
        return partial(webdataset.read, path), False
    check_content(path)
    if path.suffix.lower() in (".json", ".jsonl", ".ndjson"):
        raise DataError(f"can't read a task from {path}, which is JSON: write a manifest of it (.csv with path,label)")
    raise DataError(f"can't read a task from the file {path}: {_EXPECTED}")


def _folder_reader(folder: Path, columns: Columns) -> Reader:
    if not folder.is_dir():
        raise DataError(f"can't read a task from {folder}, which is neither a file nor a folder")
    if vtab_lists.has_lists(folder):
        return partial(vtab_lists.read, folder), False
    if hf_dataset.is_saved(folder):
        return partial(hf_dataset.read, folder, columns), True
    if image_folders.has_splits(folder):
        return partial(image_folders.read, folder), False
    if webdataset.shards(folder):
        return partial(webdataset.read, folder), False
    if image_folders.is_flat(folder):
        return partial(image_folders.read, folder), False
    if files := hf_dataset.parquet_files(folder):
        _require_no_run(folder, files)
        return partial(hf_dataset.read_repository, folder, columns), True
    tables = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in manifest.SUFFIXES]
    if tables:
        listed = " or ".join(map(str, sorted(tables, key=lambda path: split_of(path.stem) != TRAIN)[:3]))
        raise DataError(f"no task in {folder}: {_EXPECTED}; {listed} may be the manifest: pass its path")
    if packed := [path for path in sorted(folder.iterdir()) if path.name.lower().endswith(_PACKED)]:
        raise DataError(f"no task in {folder}: {packed[0]} is packed: unpack it")
    raise DataError(f"no task in {folder}: {image_folders.hint(folder) or _EXPECTED}")


def _require_no_run(folder: Path, files: Sequence[Path]) -> None:
    """Refuse a run's predictions, of its folder or of one above, which would be read as a data set."""
    runs = [
        file.parent
        for file in files
        if file.name == "predictions.parquet" and any((file.parent / name).is_file() for name in _BESIDE_PREDICTIONS)
    ]
    if folder in runs:
        lost = "" if (folder / "result.json").is_file() else " (its result.json is missing)"
        raise BadRequest(f"{folder} is the folder of a run{lost}, not of images: name the task that was run")
    if runs:
        raise BadRequest(f"{folder} is a folder of runs, not of images: name one of them, or the task that was run")
