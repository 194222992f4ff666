"""Tables as other programs write them: text in any encoding and with any delimiter, Parquet, columns by their names."""

import csv
import io
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from head2toe.extract.images.sources import EncodedImage, image_bytes
from head2toe.extract.readers.listing import several_labels
from head2toe.store.common.errors import DataError
from head2toe.store.common.parquet import import_pyarrow
from head2toe.store.common.text_files import read_text

PATH_COLUMNS = (
    *("path", "file_name", "filename", "file_path", "filepath", "file"),
    *("image_path", "image_file", "image_name", "image", "img_path", "img"),
)
"""The names in use of the column that says where an image is, or holds it."""
ID_COLUMNS = ("image_id", "img_id", "id_code", "id", "img_name", "filenames", "fname")
"""Names that it may have where no column has one of these."""
LABEL_COLUMNS = ("label", "labels", "class", "class_name", "target", "category", "fine_label")
"""The names in use of the column that says which class an image is of."""
OPTIONAL = ("split", "fold", "group")
"""The columns that a table may have besides."""

DELIMITERS = (",", ";", "\t", "|")
"""What may stand between the cells of a table."""


def table_rows(path: Path, accept: Callable[[Sequence[str]], bool], what: str = "the manifest") -> Iterator[list[str]]:
    """Read a table of text; see `numbered_rows`, whose rows these are without their lines."""
    return (row for _, row in numbered_rows(path, accept, what))


def numbered_rows(
    path: Path, accept: Callable[[Sequence[str]], bool], what: str = "the manifest"
) -> Iterator[tuple[int, list[str]]]:
    """Read a table of text: its header, then its rows, without those in which all cells are empty.

    Parameters
    ----------
    path : Path
        A file of commas, semicolons, tabs or vertical bars; a first line `sep=;`, as Excel writes it, says which.
    accept : callable
        Whether a header is a right one, by which the delimiter is found; where none is, that of the most columns.
    what : str
        What messages call the table.

    Yields
    ------
    int, list of str
        The line of the file where a row begins, from 1; the header's cells, then those of each row, which may be fewer
        or more.

    Raises
    ------
    DataError
        The file can't be read, or a cell has no end.
    """
    text, skipped = read_text(path, what), 0
    first, _, rest = text.partition("\n")
    delimiters: Sequence[str] = sorted(DELIMITERS, key="\t".__ne__) if path.suffix.lower() == ".tsv" else DELIMITERS
    if (opening := first.strip().strip('"').lower()).startswith("sep="):
        text, skipped, delimiters = rest, 1, (opening.removeprefix("sep=").replace("\\t", "\t") or "\t",)
    try:
        headers: dict[str, list[str]] = {mark: next(_cells(text, mark), (0, []))[1] for mark in delimiters}
        right = [mark for mark, header in headers.items() if accept(header)]
        delimiter = right[0] if right else max(headers, key=lambda mark: len(headers[mark]))
        for line, row in _cells(text, delimiter):
            if any(cell.strip() for cell in row):
                yield line + skipped, row
    except (csv.Error, TypeError) as error:  # TypeError: a delimiter of several characters
        raise DataError(f"can't read {what} {path}: {error}") from error


def _cells(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    line = 1
    for row in rows:
        yield line, row
        line = rows.line_num + 1


@dataclass(frozen=True)
class Columns:
    """The columns that a user named, by `--path-column` and `--label-column`; None for the usual names.

    Attributes
    ----------
    path, label : str, optional
        The column of the images or of their paths, and that of the labels.
    """

    path: str | None = None
    label: str | None = None


def find_columns(names: Sequence[str], columns: Columns, where: object) -> dict[str, str]:
    """Find the columns of a table that count by their names, whose case, blanks, dashes and underscores do not.

    Parameters
    ----------
    names : sequence of str
        The table's header.
    columns : Columns
        What the user named.
    where : object
        What a message calls the table.

    Returns
    -------
    dict of str to str
        `path` and `label`, and those of `OPTIONAL` that are there, to the names in the header.

    Raises
    ------
    DataError
        There is no such column, or several could be meant; the message lists those that are there.
    """
    wanted = [("path", (PATH_COLUMNS, ID_COLUMNS), columns.path), ("label", (LABEL_COLUMNS,), columns.label)]
    chosen = {role: _find(names, known, given, role, where) for role, known, given in wanted}
    plain = {plain_name(name): name for name in reversed(names)}
    return chosen | {role: plain[role] for role in OPTIONAL if role in plain}


def other_columns(names: Sequence[str], read: Collection[int]) -> dict[int, str]:
    """Return the columns that nothing here reads, by their place, under names that can stand in a corrected manifest.

    Parameters
    ----------
    names : sequence of str
        The table's header.
    read : collection of int
        The places of the columns that are read.

    Returns
    -------
    dict of int to str
        A name that is one of a role there, or the same as one before, has `given` in front of it.
    """
    taken, others = {"path", "label", *OPTIONAL}, {}
    for place, name in enumerate(names):
        if place in read:
            continue
        while plain_name(name) in taken:
            name = f"given {name}"
        taken.add(plain_name(name))
        others[place] = name
    return others


def has_columns(names: Sequence[str], columns: Columns) -> bool:
    """Return whether a header has the columns that count; see `find_columns`."""
    try:
        find_columns(names, columns, "")
    except DataError:
        return False
    return True


def _find(names: Sequence[str], known: Sequence[Sequence[str]], given: str | None, role: str, where: object) -> str:
    """The column of a role: the one given, else the one that is named like it, else the only one of the first names."""
    for exact in (given,) if given is not None else (role,):
        if names.count(exact) > 1:
            raise DataError(f"{where} has several columns {exact!r}: rename all but one")
        if exact in names:
            return exact
    tiers = [(given or role,)] if given else [(role,), *known]
    matching = ([name for name in names if plain_name(name) in map(plain_name, tier)] for tier in tiers)
    matches = next(filter(None, matching), [])
    if len(matches) == 1:
        return matches[0]
    there = ", ".join(name.strip() for name in names)[:500] or "none"
    if matches:
        raise DataError(
            f"several columns of {where} could be the {role} ({', '.join(matches)}): --{role}-column names it"
        )
    raise DataError(
        f"no column {given or role!r} in {where} (there are {there}): expected path,label and, if you like, split, "
        "fold, group; --path-column and --label-column name others"
    )


def plain_name(name: str) -> str:
    """Return a column's name by which it is known: its case, blanks, dashes and underscores do not count."""
    return re.sub(r"[\s_-]+", "_", name.strip().lower())


class ParquetTable:
    """A Parquet table: its columns of text at once, its images one row group after the other.

    Parameters
    ----------
    path : Path
        The file.
    columns : Columns
        What the user named.

    Attributes
    ----------
    names : list of str
        All columns.
    columns : dict of str to str
        As of `find_columns`. The image column is the one that holds bytes, where there is one.
    class_names : list of str or None
        Names that the file has for its labels, which are their numbers then (Hugging Face's `ClassLabel`).
    holds_images : bool
        Whether the image column holds the images themselves.
    plain : list of str
        The columns without a role whose cells are texts, numbers, dates and the like.

    Raises
    ------
    DataError
        The file is damaged, has no such columns, or several labels for an image.
    MissingExtra
        Pyarrow is not installed.
    """

    def __init__(self, path: Path, columns: Columns) -> None:
        self._pyarrow = import_pyarrow(f"reading {path}")
        self._path = path
        try:
            metadata = self._pyarrow.parquet.read_metadata(path)
            schema = metadata.schema.to_arrow_schema()
        except (OSError, ValueError, self._pyarrow.ArrowException) as error:
            raise self._damaged(error) from error
        types = self._pyarrow.types
        images = [field.name for field in schema if _is_image(field.type, types)]
        if columns.path is None and len(images) == 1:
            columns = Columns(images[0], columns.label)
        self.names = list(schema.names)
        self.columns = find_columns(self.names, columns, path)
        kind = schema.field(self.columns["path"]).type
        self.holds_images = _is_image(kind, types) or _is_bytes(kind, types)
        scalar = [field.name for field in schema if _is_scalar(field.type, types)]
        self.plain = [name for name in scalar if name not in self.columns.values()]
        label = schema.field(self.columns["label"])
        if _is_nested(label.type, types):
            raise DataError(several_labels(f"the column {label.name!r} in {path} is of type {label.type}"))
        self.class_names = _class_names(schema, label.name) if types.is_integer(label.type) else None
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self._starts = [sum(sizes[:group]) for group in range(len(sizes))]
        self._group = lru_cache(maxsize=2)(self._read_group)

    def rows(self, also: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Return the cells of each row by role, but for those that hold images, and of other columns by their names.

        Errors are those of the class.
        """
        roles = {name: role for role, name in self.columns.items() if role != "path" or not self.holds_images}
        roles |= {name: name for name in also}
        try:
            table = self._pyarrow.parquet.ParquetFile(self._path).read(columns=list(roles))
        except (OSError, ValueError, self._pyarrow.ArrowException) as error:
            raise self._damaged(error) from error
        return [{roles[name]: value for name, value in row.items()} for row in table.to_pylist()]

    def image(self, row: int) -> EncodedImage:
        """Return the image that a row holds, to be read when it is needed."""
        return EncodedImage(f"{self._path}[{row}]", partial(self._image_bytes, row))

    def _image_bytes(self, row: int) -> bytes:
        """The bytes in a row, or those of the file that it names. Raises OSError if there are none."""
        group = bisect_right(self._starts, row) - 1
        cell = self._group(group)[row - self._starts[group]].as_py()
        return image_bytes(cell if isinstance(cell, dict) else {"bytes": cell}, self._path.parent)

    def _read_group(self, group: int) -> Any:
        """The image column of a row group. Raises OSError if it is damaged."""
        name = self.columns["path"]
        try:
            return self._pyarrow.parquet.ParquetFile(self._path).read_row_group(group, columns=[name]).column(name)
        except (ValueError, self._pyarrow.ArrowException) as error:
            raise OSError(str(error).partition("\n")[0]) from error

    def _damaged(self, error: Exception) -> DataError:
        return DataError(f"can't read the manifest {self._path}: {str(error).partition(chr(10))[0]}")


def text_of(value: object) -> str:
    """Return the text of a cell of a Parquet table, empty where it is: a table of floats may say so by NaN."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace").strip()
    return "" if value is None or value != value else str(value).strip()


def _is_image(kind: Any, types: Any) -> bool:
    """Whether a column's type is Hugging Face's for images: bytes, and beside them mostly a path."""
    return bool(types.is_struct(kind)) and any(field.name == "bytes" and _is_bytes(field.type, types) for field in kind)


def _is_bytes(kind: Any, types: Any) -> bool:
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _is_nested(kind: Any, types: Any) -> bool:
    return bool(types.is_nested(kind) and not types.is_dictionary(kind))


def _is_scalar(kind: Any, types: Any) -> bool:
    return not (_is_nested(kind, types) or _is_bytes(kind, types))


def _class_names(schema: Any, column: str) -> list[str] | None:
    """The names that Hugging Face `datasets` notes in a file's schema for the labels of a column."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = features[column]["names"]
    except (LookupError, TypeError, ValueError, RecursionError):
        return None
    return [str(name) for name in names] if isinstance(names, list) and names else None
