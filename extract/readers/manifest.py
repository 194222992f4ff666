"""The reader of a manifest: a CSV or Parquet table `path,label[,split,fold,group]`, one row an image."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from head2toe.extract.images.sources import ImageFile
from head2toe.extract.readers.listing import (
    SPLITS,
    TEST,
    TRAIN,
    Listing,
    by_split,
    encode_labels,
    read_class_names,
    split_of,
)
from head2toe.extract.readers.splits import NEVER
from head2toe.store.common.errors import DataError
from head2toe.store.common.files import expanded
from head2toe.store.common.parquet import import_pyarrow

SUFFIXES = (".csv", ".tsv", ".parquet")

_COLUMNS = ("path", "label", "split", "fold", "group")
_ALWAYS_TRAINS = ("-1", "-1.0")
"""What the column `fold` says of a row that no fold holds out."""


def read(path: Path) -> Listing:
    """Read a manifest, whose images' paths are relative to its folder; columns unknown here are left alone.

    Raises
    ------
    DataError
        The table can't be read, lacks a column, or a row is wrong; the message names the row.
    MissingExtra
        It is a Parquet table, and pyarrow is not installed.
    """
    rows = list(_rows(path))
    if not rows:
        raise DataError(f"the manifest {path} has no rows")
    classes, labels = encode_labels((row["label"] for row in rows), read_class_names(path.parent), str(path))
    splits = [_split(row, path, number) for number, row in enumerate(rows, start=1)]
    images = [ImageFile(_image(row, path, number)) for number, row in enumerate(rows, start=1)]
    train = [i for i, split in enumerate(splits) if split != TEST]
    groups = _column(rows, "group", range(len(rows)), path)
    if groups:
        test = [i for i, split in enumerate(splits) if split == TEST]
        _check_groups({groups[i] for i in train}, {groups[i] for i in test}, path)
    folds = _column(rows, "fold", train, path)
    return Listing(
        layout="manifest",
        source=f"manifest {path.resolve()}",
        classes=classes,
        folds=None if folds is None else _folds(folds, path),
        groups=None if groups is None else tuple(groups[i] for i in train),
        **by_split(zip(splits, images, labels, strict=True)),
    )


def _check_groups(train: set[str], test: set[str], path: Path) -> None:
    if both := train & test:
        raise DataError(f"group {min(both)!r} in {path} has training and test rows: a group must be on one side")


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """The table's rows with the columns known here, as words; an absent or empty value is ''."""
    table = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    for row in table:
        known = {column: row.get(column) for column in _COLUMNS}
        yield {column: "" if _absent(value) else str(value).strip() for column, value in known.items()}


def _absent(value: object) -> bool:
    """Whether a cell is empty; a table of floats may say so by NaN."""
    return value is None or value != value


def _csv(path: Path) -> Iterator[Mapping[str, object]]:
    try:
        # utf-8-sig: spreadsheets write a byte order mark, which would become part of the first column's name.
        with path.open(newline="", encoding="utf-8-sig") as file:
            header = file.readline()
            file.seek(0)
            tabs = path.suffix.lower() == ".tsv" or ("\t" in header and "," not in header)
            semicolons = ";" in header and "," not in header
            table = csv.DictReader(file, delimiter="\t" if tabs else ";" if semicolons else ",")
            _check_columns(table.fieldnames or (), path)
            yield from table
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"can't read the manifest {path}: {error}") from error


def _parquet(path: Path) -> Iterator[Mapping[str, object]]:
    pyarrow = import_pyarrow(f"reading {path}")
    try:
        names = pyarrow.parquet.read_schema(path).names
        _check_columns(names, path)
        yield from pyarrow.parquet.read_table(path, columns=[name for name in names if name in _COLUMNS]).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"can't read the manifest {path}: {str(error).partition(chr(10))[0]}") from error


def _check_columns(names: Sequence[str], path: Path) -> None:
    if missing := [column for column in _COLUMNS[:2] if column not in names]:
        raise DataError(
            f"no column {missing[0]!r} in {path} (there are {', '.join(names) or 'none'}): "
            "expected path,label and, if you like, split, fold, group"
        )


def _split(row: Mapping[str, str], path: Path, number: int) -> str:
    split = split_of(row["split"] or TRAIN)
    if split is None:
        raise DataError(f"{path}, row {number}: split {row['split']!r} is none of {', '.join(SPLITS)}")
    return split


def _image(row: Mapping[str, str], path: Path, number: int) -> Path:
    if not row["path"] or not row["label"]:
        raise DataError(f"{path}, row {number}: no {'label' if row['path'] else 'path'}")
    image = path.parent / expanded(row["path"])
    if not image.is_file():
        raise DataError(f"{path}, row {number}: no such image: {image}")
    return image


def _column(rows: list[dict[str, str]], name: str, wanted: Sequence[int], path: Path) -> list[str] | None:
    """An optional column: values for all wanted rows, or for none of them."""
    values = [rows[i][name] for i in wanted]
    if not any(values):
        return None
    if "" in values:
        raise DataError(f"{path}, row {wanted[values.index('')] + 1}: no {name}, but other rows have one")
    return values


def _folds(values: list[str], path: Path) -> np.ndarray:
    """The column `fold`, whatever its numbers or names, as 0, 1, 2, …; -1 is a row that is never held out."""
    held = np.array([value not in _ALWAYS_TRAINS for value in values])
    names = [value for value, out in zip(values, held, strict=True) if out]
    folds = np.full(len(values), NEVER, dtype=np.int64)
    folds[held] = np.unique([float(name) for name in names] if _numbers(names) else names, return_inverse=True)[1]
    if len(np.unique(folds)) < 2:
        raise DataError(f"the column fold in {path} has one value: cross-validation needs two or more")
    return folds


def _numbers(values: list[str]) -> bool:
    """Whether all are numbers; a table with gaps writes integers as 1.0."""
    return all(value.replace(".", "", 1).isdecimal() for value in values)
