"""The reader of a manifest: a CSV or Parquet table `path,label[,split,fold,group]`, one row an image."""

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from head2toe.extract.images.file_formats import check_content
from head2toe.extract.images.folder_contents import NamedFiles
from head2toe.extract.images.sources import ImageFile, ImageSource
from head2toe.extract.readers.listing import (
    SPLITS,
    TEST,
    TRAIN,
    Listing,
    by_split,
    encode_labels,
    is_missing,
    read_class_names,
    rows_in_words,
    split_of,
    unlabelled_test_note,
)
from head2toe.extract.readers.splits import folds_of_column
from head2toe.extract.readers.tables import (
    Columns,
    ParquetTable,
    find_columns,
    has_columns,
    other_columns,
    plain_name,
    table_rows,
    text_of,
)
from head2toe.store.cloud.objects import fetched, is_url
from head2toe.store.common.errors import DataError
from head2toe.store.common.files import expanded

SUFFIXES = (".csv", ".tsv", ".parquet")

_SPLIT_COLUMNS = ("subset", "set", "partition", "phase", "usage", "data_split", "dataset_split", "split_name")
"""Names of a column that says the split where none is called so, if all its cells are names of splits."""
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
    others : tuple of (str, str)
        The other columns, which nothing here reads, and their texts: a corrected manifest has them again.
    """

    number: int
    cells: dict[str, str]
    image: ImageSource | None = None
    others: tuple[tuple[str, str], ...] = ()

    @property
    def kept(self) -> tuple[tuple[str, str], ...]:
        """What a corrected manifest takes over of the row."""
        return (*((role, self.cells[role]) for role in ("split", "group") if role in self.cells), *self.others)


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
    notes: list[str] = []
    place = next(iter(files))
    for path, split in files.items():
        check_content(path)
        table = _parquet if path.suffix.lower() == ".parquet" else _csv
        class_names, read, named = table(path, columns)
        notes += [f"the column {column!r} of {path} is read as the split" for column in named.values()]
        names = names if class_names is None else class_names
        read_splits = [_split(row, split, path) for row in read]
        if n_left_out := _count_unlabelled_test(read, read_splits, names or ()):
            notes.append(unlabelled_test_note(n_left_out, str(path)))
            read = [row for row, of in zip(read, read_splits, strict=True) if of != TEST]
            read_splits = [of for of in read_splits if of != TEST]
        _check_labels(read, names or (), path)
        read = read if base is None else [_in_bucket(row, base) for row in read]
        finder = _ImageFinder(path.parent, _from_buckets(read))
        splits += read_splits
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
        folds=None if folds is None else folds_of_column(folds, where),
        groups=None if groups is None else tuple(groups[i] for i in train),
        notes=tuple(notes),
        **by_split(zip(splits, images, labels, strict=True)),
    )


def _csv(path: Path, columns: Columns) -> tuple[None, list[TableRow], dict[str, str]]:
    """No names of the labels, which a table of text has none for, the rows, and as of `_split_column`."""
    header, *table = list(table_rows(path, lambda header: has_columns(header, columns))) or [[]]
    names = find_columns(header, columns, path)

    def values(name: str) -> set[str]:
        column = header.index(name)
        return {row[column] for row in table if column < len(row)}

    split = _split_column(header, names, values)
    position = {role: header.index(name) for role, name in (names | split).items()}
    others = other_columns(header, set(position.values()))
    rows = []
    for number, row in enumerate(table, start=1):
        if any(cell.strip() for cell in row[len(header) :]):
            raise DataError(
                f"{path}, row {number}: {len(row)} cells, but the header has {len(header)}: put a cell with the "
                f"delimiter in it between quotes (found: {', '.join(cell.strip() for cell in row)[:120]})"
            )
        cells = {role: row[i].strip() if i < len(row) else "" for role, i in position.items()}
        more = tuple((name, row[i] if i < len(row) else "") for i, name in others.items())
        rows.append(TableRow(number, cells, others=more))
    return None, rows, split


def _parquet(path: Path, columns: Columns) -> tuple[list[str] | None, list[TableRow], dict[str, str]]:
    """The names that a table has for its labels, its rows, and as of `_split_column`."""
    table = ParquetTable(path, columns)
    also = [name for name in table.plain if plain_name(name) in _SPLIT_COLUMNS]
    values = table.rows(also if table.holds_images else table.plain)
    split = _split_column(also, table.columns, lambda name: {str(cells[name]) for cells in values if cells[name]})
    others = [name for name in table.plain if name not in split.values()]
    kept = () if table.holds_images else other_columns(others, ()).values()  # a manifest of files can't name those
    rows = []
    for number, cells in enumerate(values, start=1):
        named = {role: role for role in table.columns if role in cells} | split
        text = {role: text_of(cells[name]) for role, name in named.items()}
        if table.class_names is not None and text["label"]:
            text["label"] = _named(cells["label"], table.class_names, f"{path}, row {number}")
        more = tuple((to, text_of(cells[name])) for to, name in zip(kept, others, strict=False))
        rows.append(TableRow(number, text, table.image(number - 1) if table.holds_images else None, more))
    return table.class_names, rows, split


def _split_column(header: Sequence[str], names: Mapping[str, str], values: Callable[[str], set[str]]) -> dict[str, str]:
    """The column of another name that says the split, by this role, where none is called so and there is one.

    All its cells are names of splits.
    """
    if "split" in names:
        return {}
    for name in header:
        if plain_name(name) in _SPLIT_COLUMNS and name not in names.values():
            splits = {split_of(value) for value in values(name) if value.strip()}
            if len(splits) > 1 and None not in splits:
                return {"split": name}
    return {}


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


def _count_unlabelled_test(rows: Sequence[TableRow], splits: Sequence[str], names: Sequence[str]) -> int:
    """The number of test rows where none of them has a label, as those of a competition; else 0."""
    labels = [row.cells["label"] for row, split in zip(rows, splits, strict=True) if split == TEST]
    return len(labels) if all(is_missing(label) and label not in names for label in labels) else 0


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
        self._files = NamedFiles(folder)

    def image(self, row: TableRow, path: Path) -> ImageFile:
        """Return the image that a row names. Raises DataError if it names none, or one that is not there."""
        name, where = row.cells["path"], f"{path}, row {row.number}"
        if not name:
            raise DataError(f"{where}: no path")
        if name in self._from_buckets:
            return ImageFile(self._from_buckets[name], url=name, cells=row.kept)
        if (file := self._files.find(name)) is not None:
            return ImageFile(file, cells=row.kept)
        shown = str(self._folder / expanded(name))[:300]
        if _WINDOWS_ROOT.match(name):
            raise DataError(
                f"{where}: no such image: {name[:300]}: a path on a drive of Windows: write paths relative to the "
                f"folder of the table, {self._folder}"
            )
        if name.startswith(("http://", "https://")):
            raise DataError(
                f"{where}: {name[:300]} is on the web: fetch the images, and write the paths of their files"
            )
        raise DataError(f"{where}: no such image: {shown}{self._files.elsewhere(name)}")


def _column(rows: Sequence[TableRow], name: str, wanted: Sequence[int], where: str) -> list[str] | None:
    """An optional column: values for all wanted rows, or for none of them."""
    values = [rows[i].cells.get(name, "") for i in wanted]
    if not any(values):
        return None
    if "" in values:
        raise DataError(f"{where}, row {rows[wanted[values.index('')]].number}: no {name}, but other rows have one")
    return values
