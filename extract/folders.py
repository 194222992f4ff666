"""Reading a task from a folder: VTAB-1k's lists, or one folder for each class."""

from dataclasses import dataclass
from pathlib import Path

from head2toe.extract.images import ImageFile
from head2toe.store.errors import DataError
from PIL import Image

Row = tuple[ImageFile, int]


@dataclass(frozen=True)
class Listing:
    """What a folder says: rows in the order of the lists, labels as numbers."""

    layout: str
    classes: tuple[str, ...]
    train: list[Row]
    test: list[Row]
    fixed_order: bool
    """Whether the order of the training rows is part of the task (VTAB's folds are slices of it)."""


def read(folder: Path) -> Listing:
    """Read a folder in either layout.

    Raises
    ------
    DataError
        Neither layout is there, or what is there is incomplete; the message names the file or class.
    """
    if (folder / "train800.txt").is_file() or (folder / "train800val200.txt").is_file():
        return _read_vtab(folder)
    if (folder / "train").is_dir():
        return _read_image_folder(folder)
    raise DataError(
        f"no task in {folder}: expected train800.txt, val200.txt and test.txt (VTAB-1k) "
        "or train/<class>/* and test/<class>/* (ImageFolder)"
    )


def _read_vtab(folder: Path) -> Listing:
    both = folder / "train800val200.txt"
    parts = [both] if both.is_file() else [folder / "train800.txt", folder / "val200.txt"]
    train = [row for part in parts for row in _read_list(part)]
    test = _read_list(folder / "test.txt")
    return Listing("VTAB-1k", _class_names(folder, train + test), train, test, fixed_order=True)


def _read_list(path: Path) -> list[Row]:
    """Lines of `images/…/000000.jpg 23`; file names may hold spaces."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"can't read the list {path}: {error.strerror}") from error
    rows = []
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


def _class_names(folder: Path, rows: list[Row]) -> tuple[str, ...]:
    """Names from classes.txt where there is one; else the labels themselves."""
    highest = max(label for _, label in rows)
    path = folder / "classes.txt"
    if not path.is_file():
        return tuple(str(label) for label in range(highest + 1))
    names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    if highest >= len(names):
        raise DataError(f"{path} names {len(names)} classes, but the lists hold label {highest}")
    return names


def _read_image_folder(folder: Path) -> Listing:
    classes = _subfolders(folder / "train")
    if not classes:
        raise DataError(f"no class folders in {folder / 'train'}: expected train/<class>/<image>")
    if not (folder / "test").is_dir():
        raise DataError(f"no test images: expected {folder / 'test'}/<class>/<image>")
    strange = sorted(set(_subfolders(folder / "test")) - set(classes))
    if strange:
        raise DataError(f"class {strange[0]!r} in {folder / 'test'} has no folder in {folder / 'train'}")
    train = _images_by_class(folder / "train", classes)
    for label, name in enumerate(classes):
        count = sum(1 for _, other in train if other == label)
        if count < 2:
            raise DataError(
                f"class {name!r} has {count} image{'' if count == 1 else 's'} in {folder / 'train' / name}: "
                "cross-validation needs two or more; add images or remove the folder"
            )
    return Listing("ImageFolder", classes, train, _images_by_class(folder / "test", classes), fixed_order=False)


def _subfolders(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")))


def _images_by_class(split: Path, classes: tuple[str, ...]) -> list[Row]:
    extensions = Image.registered_extensions()
    return [
        (ImageFile(path), label)
        for label, name in enumerate(classes)
        for path in sorted((split / name).rglob("*"))
        if path.suffix.lower() in extensions and path.is_file()
    ]
