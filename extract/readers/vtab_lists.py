"""The reader of VTAB-1k's folder layout, for any task: lists of images and labels, `train800.txt` and others."""

from pathlib import Path
from typing import Any

from head2toe.extract.images.sources import ImageFile
from head2toe.extract.readers.listing import (
    CLASS_FILES,
    TEST,
    TRAIN,
    VALIDATION,
    Listing,
    Row,
    by_split,
    label_number,
    read_class_names,
)
from head2toe.store.common.errors import DataError
from head2toe.store.common.files import read_json

TRAIN800, VAL200, TRAIN800VAL200, TEST_LIST = "train800", "val200", "train800val200", "test"
"""Names of the layout's lists (`train800.txt`) and of the folders of images that belong to them."""
SOURCE_FILE = "SOURCE.json"
"""What says where a copy comes from; one that this program did not write has none."""


def has_lists(folder: Path) -> bool:
    """Return whether a folder holds VTAB-1k's lists."""
    return _list_file(folder, TRAIN800).is_file() or _list_file(folder, TRAIN800VAL200).is_file()


def read(folder: Path, n_classes: int | None = None) -> Listing:
    """Read `train800.txt`, `val200.txt` and `test.txt`, whose lines are like `images/train800/000000.jpg 23`.

    Parameters
    ----------
    folder : Path
        The folder of the lists; the images' paths are relative to it.
    n_classes : int, optional
        The task's number of classes. Without it, `classes.txt` says, else the highest label.

    Raises
    ------
    DataError
        A list is missing or a line is wrong; the message names file and line.
    """
    parts = [(TRAIN, TRAIN800), (VALIDATION, VAL200)]
    both = _list_file(folder, TRAIN800VAL200)
    if both.is_file() and not all(_list_file(folder, name).is_file() for _, name in parts):
        parts = [(TRAIN, TRAIN800VAL200)]
    rows = [
        (split, *row) for split, name in [*parts, (TEST, TEST_LIST)] for row in _read_list(_list_file(folder, name))
    ]
    provenance = read_source(folder) or {}
    copied_from = f" (from {provenance['source']})" if "source" in provenance else ""
    return Listing(
        layout="VTAB-1k lists",
        source=f"VTAB-1k folder {folder.resolve()}{copied_from}",
        classes=_class_names(folder, max(label for _, _, label in rows), n_classes),
        ordered=True,
        provenance=provenance,
        **by_split(rows),
    )


def read_source(folder: Path) -> dict[str, Any] | None:
    """Return what `SOURCE.json` says of a task's folder, or None where there is none.

    Raises
    ------
    StoreError
        The file is damaged.
    """
    path = folder / SOURCE_FILE
    return read_json(path, remedy="mend or remove it") if path.is_file() else None


def _list_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.txt"


def _read_list(path: Path) -> list[Row]:
    """Lines of `images/…/000000.jpg 23`; file names may hold spaces."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"can't read the list {path}: {getattr(error, 'strerror', error)}") from error
    rows: list[Row] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, _, label = line.strip().rpartition(" ")
        if not name or not label.isdecimal():
            raise DataError(f"{path}:{number}: expected 'path label', found {line[:200]!r}")
        image = path.parent / name
        if not image.is_file():
            raise DataError(f"{path}:{number}: no such image: {image}")
        if (parsed := label_number(label)) is None:
            raise DataError(f"{path}:{number}: label {label[:40]}: labels count the classes from 0 on")
        rows.append((ImageFile(image), parsed))
    if not rows:
        raise DataError(f"the list {path} is empty")
    return rows


def _class_names(folder: Path, highest: int, n_classes: int | None) -> tuple[str, ...]:
    """Names from classes.txt where there is one; else the labels themselves."""
    names = read_class_names(folder)
    if names is not None and highest >= len(names):
        raise DataError(f"{folder / CLASS_FILES[0]} names {len(names)} classes, but the lists hold label {highest}")
    if n_classes is not None and highest >= n_classes:
        raise DataError(f"the lists in {folder} hold label {highest}, but the task has {n_classes} classes")
    return names or tuple(str(label) for label in range(n_classes or highest + 1))
