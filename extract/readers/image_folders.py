"""Reading a task from a folder of image files: VTAB-1k's lists, or one folder for each class."""

from pathlib import Path
from typing import Any

from head2toe.extract.images.sources import ImageFile, image_files, is_image
from head2toe.extract.readers import listing
from head2toe.extract.readers.listing import TEST, TRAIN, VALIDATION, Listing, Row
from head2toe.store.common.errors import DataError
from head2toe.store.common.files import read_json

MOST_CLASSES = 1_000_000
"""From here on, what stands in a list is no label but something else."""


def has_lists(folder: Path) -> bool:
    """Whether a folder holds VTAB-1k's lists."""
    return (folder / "train800.txt").is_file() or (folder / "train800val200.txt").is_file()


def read_lists(folder: Path, n_classes: int | None = None) -> Listing:
    """Read VTAB-1k's layout: `train800.txt`, `val200.txt` and `test.txt`, a line being `images/…/000000.jpg 23`.

    Parameters
    ----------
    n_classes : int, optional
        Of the task. Without it, `classes.txt` says, else the highest label.

    Raises
    ------
    DataError
        A list is missing or a line is wrong; the message names file and line.
    """
    parts = [(TRAIN, "train800.txt"), (VALIDATION, "val200.txt")]
    if (folder / "train800val200.txt").is_file() and not all((folder / name).is_file() for _, name in parts):
        parts = [(TRAIN, "train800val200.txt")]
    rows = [(split, *row) for split, name in [*parts, (TEST, "test.txt")] for row in _read_list(folder / name)]
    origin = source_of(folder) or {}
    return Listing(
        layout="VTAB-1k lists",
        source=f"VTAB-1k folder {folder.resolve()}" + (f" (from {origin['source']})" if "source" in origin else ""),
        classes=_class_names(folder, max(label for _, _, label in rows), n_classes),
        ordered=True,
        provenance=origin,
        **listing.divided(rows),
    )


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
            raise DataError(f"{path}:{number}: expected 'path label', found {line!r}")
        image = path.parent / name
        if not image.is_file():
            raise DataError(f"{path}:{number}: no such image: {image}")
        rows.append((ImageFile(image), int(label)))
    if not rows:
        raise DataError(f"the list {path} is empty")
    return rows


def _class_names(folder: Path, highest: int, n_classes: int | None) -> tuple[str, ...]:
    """Names from classes.txt where there is one; else the labels themselves."""
    names = listing.class_file(folder)
    if names is not None and highest >= len(names):
        raise DataError(
            f"{folder / listing.CLASS_FILES[0]} names {len(names)} classes, but the lists hold label {highest}"
        )
    if n_classes is not None and highest >= n_classes:
        raise DataError(f"the lists in {folder} hold label {highest}, but the task has {n_classes} classes")
    if names is None and n_classes is None and highest >= MOST_CLASSES:
        raise DataError(f"the lists in {folder} hold label {highest}: labels count the classes from 0 on")
    return names or tuple(str(label) for label in range(n_classes or highest + 1))


def has_splits(folder: Path) -> bool:
    """Whether a folder holds class folders in a split's folder (`train/<class>/`)."""
    return any(split == TRAIN and _subfolders(path) for split, path in _split_folders(folder))


def is_flat(folder: Path) -> bool:
    """Whether a folder holds two or more class folders with images right in them (`<class>/*.jpg`)."""
    filled = (any(is_image(path) for path in (folder / name).iterdir()) for name in _subfolders(folder))
    return sum(filled) >= 2


def read_image_folder(folder: Path) -> Listing:
    """Read `train/<class>/*`, with or without `val/` and `test/`, or `<class>/*` alone.

    Raises
    ------
    DataError
        A class of another split has no training folder, or a class can't be learned; the message names it.
    """
    parts = _split_folders(folder) if has_splits(folder) else [(TRAIN, folder)]
    classes = tuple(sorted({name for split, part in parts if split == TRAIN for name in _subfolders(part)}))
    rows = []
    for split, part in parts:
        if strange := sorted(set(_subfolders(part)) - set(classes)):
            raise DataError(f"class {strange[0]!r} in {part} has no folder in {folder / 'train'}")
        found = [(split, ImageFile(path), label) for path, label in _images_by_class(part, classes)]
        if not found and split == TEST:
            raise DataError(f"no test images in {part}: expected {part}/<class>/<image>, or no folder {part.name}")
        rows += found
    fields = listing.divided(rows)
    _check_counts(classes, fields["train"], next(part for split, part in parts if split == TRAIN))
    return Listing(layout="ImageFolder", source=f"ImageFolder {folder.resolve()}", classes=classes, **fields)


def _check_counts(classes: tuple[str, ...], train: list[Row], folder: Path) -> None:
    for label, name in enumerate(classes):
        count = sum(1 for _, other in train if other == label)
        if count < 2:
            raise DataError(
                f"class {name!r} has {count} image{'' if count == 1 else 's'} in {folder / name}: "
                "cross-validation needs two or more; add images or remove the folder"
            )


def _split_folders(folder: Path) -> list[tuple[str, Path]]:
    """The folders that are named like splits, training rows first."""
    order = (TRAIN, VALIDATION, TEST)
    found = [(split, folder / name) for name in _subfolders(folder) if (split := listing.split_of(name))]
    return sorted(found, key=lambda pair: order.index(pair[0]))


def _subfolders(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")))


def _images_by_class(split: Path, classes: tuple[str, ...]) -> list[tuple[Path, int]]:
    return [(path, label) for label, name in enumerate(classes) for path in image_files(split / name)]


SOURCE_FILE = "SOURCE.json"


def source_of(folder: Path) -> dict[str, Any] | None:
    """What `SOURCE.json` says of a task's folder; None where there is none (the folder that circulates has none)."""
    path = folder / SOURCE_FILE
    return read_json(path, remedy="mend or remove it") if path.is_file() else None
