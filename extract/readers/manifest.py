"""The reader of a manifest: a CSV or Parquet table `path,label[,split,fold,group]`, one row an image."""

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from head2toe.extract.images.sources import ImageFile, ImageSource
from head2toe.extract.readers.listing import (
    SPLITS,
    TEST,
    TRAIN,
    Listing,
    by_split,
    composed,
    encode_labels,
    is_missing,
    read_class_names,
    rows_in_words,
    split_of,
)
from head2toe.extract.readers.splits import NEVER
from head2toe.extract.readers.tables import Columns, ParquetTable, find_columns, has_columns, table_rows
from head2toe.store.cloud.objects import fetched, is_url
from head2toe.store.common.errors import DataError
from head2toe.store.common.files import expanded

SUFFIXES = (".csv", ".tsv", ".parquet")

_ALWAYS_TRAINS = ("-1", "-1.0")
"""What the column `fold` says of a row that no fold holds out."""
_WINDOWS_ROOT = re.compile(r"[A-Za-z]:[\\/]|\\\\")


@dataclass(frozen=True, eq=False)
class TableRow:
    """A row of a table.

    Attributes
    ----------
    number : int
        Which row of its table it is, from 1.
    cells : dict of str to str
        The text of each column that counts by its role (`path`, `label`, …); an absent or empty cell is missing.
    image : ImageSource, optional
        The image, where the table holds it.
    """

    number: int
    cells: dict[str, str]
    image: ImageSource | None = None


def read(path: Path, columns: Columns | None = None, base: str | None = None) -> Listing:
    """Read a manifest, whose images' paths are relative to its folder; columns unknown here are left alone.

    Parameters
    ----------
    path : Path
        A CSV, TSV or Parquet table.
    columns : Columns, optional
        The columns that the user named.
    base : str, optional
        The URL that stands for the folder, where the manifest is a copy of one in a bucket.

    Raises
    ------
    DataError
        The table can't be read, lacks a column, or a row is wrong; the message names the row.
    BadRequest, BucketError, Refused
        A path is a URL of a bucket that makes no sense, or the bucket refuses, or the cache does.
    MissingExtra
        It is a Parquet table and pyarrow is not installed, or paths are URLs and obstore is not.
    """
    names = read_class_names(path.parent)
    return listing_of({path: TRAIN}, columns or Columns(), names, "manifest", f"manifest {path.resolve()}", base)


def listing_of(
    files: dict[Path, str],
    columns: Columns,
    names: Sequence[str] | None,
    layout: str,
    source: str,
    base: str | None = None,
) -> Listing:
    """Make a listing of tables.

    Parameters
    ----------
    files : dict of Path to str
        Each table, and the split of its rows that name none.
    columns : Columns
        The columns that the user named.
    names : sequence of str, optional
        Class names in label order, where the tables bring none.
    layout, source : str
        As in `Listing`.
    base : str, optional
        As of `read`.

    Raises
    ------
    DataError, MissingExtra
        As of `read`.
    """
    rows: list[TableRow] = []
    splits: list[str] = []
    images: list[ImageSource] = []
    place = next(iter(files))
    for path, split in files.items():
        class_names, read = _rows(path, columns)
        names = names if class_names is None else class_names
        _check_labels(read, names or (), path)
        read = read if base is None else [_in_bucket(row, base) for row in read]
        finder = _ImageFinder(path.parent, _from_buckets(read))
        splits += [_split(row, split, path) for row in read]
        images += [row.image or finder.image(row, path) for row in read]
        rows += read
    where = str(place if len(files) == 1 else place.parent)
    if not rows:
        raise DataError(f"the manifest {where} has no rows")
    classes, labels = encode_labels((row.cells["label"] for row in rows), names, where)
    train = [i for i, split in enumerate(splits) if split != TEST]
    groups = _column(rows, "group", range(len(rows)), where)
    if groups:
        test = [i for i, split in enumerate(splits) if split == TEST]
        _check_groups({groups[i] for i in train}, {groups[i] for i in test}, where)
    folds = _column(rows, "fold", train, where)
    return Listing(
        layout=layout,
        source=source,
        classes=classes,
        folds=None if folds is None else _folds(folds, where),
        groups=None if groups is None else tuple(groups[i] for i in train),
        **by_split(zip(splits, images, labels, strict=True)),
    )


def _rows(path: Path, columns: Columns) -> tuple[list[str] | None, list[TableRow]]:
    """The names that a table has for its labels, and its rows."""
    return _parquet(path, columns) if path.suffix.lower() == ".parquet" else (None, list(_csv(path, columns)))


def _csv(path: Path, columns: Columns) -> Iterator[TableRow]:
    rows = table_rows(path, lambda header: has_columns(header, columns))
    header = next(rows, [])
    names = find_columns(header, columns, path)
    position = {role: header.index(name) for role, name in names.items()}
    for number, row in enumerate(rows, start=1):
        if any(cell.strip() for cell in row[len(header) :]):
            raise DataError(
                f"{path}, row {number}: {len(row)} cells, but the header has {len(header)}: put a cell with the "
                f"delimiter in it between quotes (found: {', '.join(cell.strip() for cell in row)[:120]})"
            )
        yield TableRow(number, {role: row[i].strip() if i < len(row) else "" for role, i in position.items()})


def _parquet(path: Path, columns: Columns) -> tuple[list[str] | None, list[TableRow]]:
    table = ParquetTable(path, columns)
    rows = []
    for number, cells in enumerate(table.rows(), start=1):
        text = {role: "" if _absent(value) else str(value).strip() for role, value in cells.items()}
        if table.class_names is not None and text["label"]:
            text["label"] = _named(cells["label"], table.class_names, f"{path}, row {number}")
        rows.append(TableRow(number, text, table.image(number - 1) if table.holds_images else None))
    return table.class_names, rows


def _absent(value: object) -> bool:
    """Whether a cell is empty; a table of floats may say so by NaN."""
    return value is None or value != value


def _named(label: int, names: Sequence[str], where: str) -> str:
    """The name of a class by its number; -1 is how a `ClassLabel` says that there is none."""
    if label == -1:
        return ""
    if not 0 <= label < len(names):
        raise DataError(f"{where}: label {label}, but there are names of {len(names)} classes")
    return names[label]


def _check_groups(train: set[str], test: set[str], where: str) -> None:
    if both := train & test:
        raise DataError(f"group {min(both)!r} in {where} has training and test rows: a group must be on one side")


def _check_labels(rows: Sequence[TableRow], names: Sequence[str], path: Path) -> None:
    """Every row has a label. Raises DataError that names those that have none."""
    missing = [row for row in rows if is_missing(row.cells["label"]) and row.cells["label"] not in names]
    if missing:
        text = missing[0].cells["label"]
        raise DataError(
            f"{path}, {rows_in_words([row.number for row in missing])}: no label{f' ({text})' if text else ''}: fill "
            "it in or remove the row"
        )


def _split(row: TableRow, usual: str, path: Path) -> str:
    name = row.cells.get("split", "")
    split = split_of(name) if name else usual
    if split is None:
        raise DataError(f"{path}, row {row.number}: split {name[:80]!r} is none of {', '.join(SPLITS)}")
    return split


def _in_bucket(row: TableRow, base: str) -> TableRow:
    """A row of a manifest in a bucket, with the URL of its image."""
    name = row.cells["path"].replace("\\", "/")
    relative = row.image is None and name and not is_url(name) and not name.startswith("/")
    return replace(row, cells=row.cells | {"path": f"{base}/{posixpath.normpath(name)}"}) if relative else row


def _from_buckets(rows: Sequence[TableRow]) -> dict[str, Path]:
    """The files of the images that rows name by URLs of buckets. Errors are those of `fetched`."""
    return fetched(url for row in rows if row.image is None and is_url(url := row.cells["path"]))


class _ImageFinder:
    """Finds the image files that a table in a folder names, in whichever way systems write paths."""

    def __init__(self, folder: Path, from_buckets: dict[str, Path]) -> None:
        self._folder, self._from_buckets = folder, from_buckets
        self._entries: dict[Path, dict[str, str]] = {}

    def image(self, row: TableRow, path: Path) -> ImageFile:
        """Return the image that a row names. Raises DataError if it names none, or one that is not there."""
        name, where = row.cells["path"], f"{path}, row {row.number}"
        if not name:
            raise DataError(f"{where}: no path")
        if name in self._from_buckets:
            return ImageFile(self._from_buckets[name], url=name)
        if (file := self._find(name)) is not None:
            return ImageFile(file)
        shown = str(self._folder / expanded(name))[:300]
        if _WINDOWS_ROOT.match(name):
            raise DataError(
                f"{where}: no such image: {name[:300]}: a path on a drive of Windows: write paths relative to the "
                f"folder of the table, {self._folder}"
            )
        raise DataError(f"{where}: no such image: {shown}")

    def _find(self, name: str) -> Path | None:
        """The file of a name: as it is, with slashes for backslashes, or with accents written another way."""
        for spelling in dict.fromkeys((name, name.replace("\\", "/"))):
            file = self._folder / expanded(spelling)
            if _is_file(file):
                return file
            if not spelling.isascii() and _is_file(file := self._composed(file)):
                return file
        return None

    def _composed(self, file: Path) -> Path:
        """The path whose parts are the same with their accents composed."""
        way = Path(file.anchor)
        for part in file.relative_to(file.anchor).parts:
            way = way / (part if (way / part).exists() else self._inside(way).get(composed(part), part))
        return way

    def _inside(self, folder: Path) -> dict[str, str]:
        """The names in a folder by how they are composed."""
        if folder not in self._entries:
            names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
            self._entries[folder] = {composed(name): name for name in names}
        return self._entries[folder]


def _is_file(path: Path) -> bool:
    """Whether there is such a file; a name that is longer than any file's names none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _column(rows: Sequence[TableRow], name: str, wanted: Sequence[int], where: str) -> list[str] | None:
    """An optional column: values for all wanted rows, or for none of them."""
    values = [rows[i].cells.get(name, "") for i in wanted]
    if not any(values):
        return None
    if "" in values:
        raise DataError(f"{where}, row {rows[wanted[values.index('')]].number}: no {name}, but other rows have one")
    return values


def _folds(values: list[str], where: str) -> np.ndarray:
    """The column `fold`, whatever its numbers or names, as 0, 1, 2, …; -1 is a row that is never held out."""
    held = np.array([value not in _ALWAYS_TRAINS for value in values])
    names = [value for value, out in zip(values, held, strict=True) if out]
    folds = np.full(len(values), NEVER, dtype=np.int64)
    folds[held] = np.unique([float(name) for name in names] if _numbers(names) else names, return_inverse=True)[1]
    if len(np.unique(folds)) < 2:
        raise DataError(f"the column fold in {where} has one value: cross-validation needs two or more")
    return folds


def _numbers(values: list[str]) -> bool:
    """Whether all are numbers; a table with gaps writes integers as 1.0."""
    return all(value.replace(".", "", 1).isdecimal() for value in values)
