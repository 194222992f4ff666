"""The reader of an ImageFolder: one folder for each class, with or without a level of folders for splits above."""

from collections import Counter
from pathlib import Path

from head2toe.extract.images.file_formats import is_image
from head2toe.extract.images.folder_contents import folder_contents, left_out_note
from head2toe.extract.images.sources import ImageFile
from head2toe.extract.readers.listing import TEST, TRAIN, VALIDATION, Listing, Row, by_split, split_of
from head2toe.store.common.errors import DataError


def has_splits(folder: Path) -> bool:
    """Return whether a folder holds class folders in a training split's folder (`train/<class>/`)."""
    return any(split == TRAIN and _subfolders(path) for split, path in _split_folders(folder))


def is_flat(folder: Path) -> bool:
    """Return whether a folder holds two or more class folders with images right in them (`<class>/*.jpg`)."""
    filled = (any(is_image(path) for path in (folder / name).iterdir()) for name in _subfolders(folder))
    return sum(filled) >= 2


def read(folder: Path) -> Listing:
    """Read `train/<class>/*`, with or without `val/` and `test/`, or `<class>/*` alone.

    Raises
    ------
    DataError
        A class of another split has no training folder, or a class can't be learned; the message names it.
    """
    parts = _split_folders(folder) if has_splits(folder) else [(TRAIN, folder)]
    classes = tuple(sorted({name for split, part in parts if split == TRAIN for name in _subfolders(part)}))
    rows = []
    left_out = Counter[str]()
    for split, part in parts:
        if strange := sorted(set(_subfolders(part)) - set(classes)):
            raise DataError(f"class {strange[0]!r} in {part} has no folder in {folder / 'train'}")
        rows_of_part = [(split, ImageFile(path), label) for path, label in _images_by_class(part, classes, left_out)]
        if not rows_of_part and split == TEST:
            raise DataError(f"no test images in {part}: expected {part}/<class>/<image>, or no folder {part.name}")
        rows += rows_of_part
    fields = by_split(rows)
    note = left_out_note(left_out, str(folder))
    _check_counts(classes, fields["train"], next(part for split, part in parts if split == TRAIN), note)
    return Listing(
        layout="ImageFolder",
        source=f"ImageFolder {folder.resolve()}",
        classes=classes,
        notes=(note,) if note else (),
        **fields,
    )


def _check_counts(classes: tuple[str, ...], train: list[Row], folder: Path, note: str | None) -> None:
    for label, name in enumerate(classes):
        count = sum(1 for _, other in train if other == label)
        if count < 2:
            raise DataError(
                f"class {name!r} has {count} image{'' if count == 1 else 's'} in {folder / name}: "
                "cross-validation needs two or more; add images or remove the folder" + (f"; {note}" if note else "")
            )


def _split_folders(folder: Path) -> list[tuple[str, Path]]:
    """The folders that are named like splits, training rows first."""
    order = (TRAIN, VALIDATION, TEST)
    folders = [(split, folder / name) for name in _subfolders(folder) if (split := split_of(name))]
    return sorted(folders, key=lambda pair: order.index(pair[0]))


def _subfolders(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")))


def _images_by_class(split: Path, classes: tuple[str, ...], left_out: Counter[str]) -> list[tuple[Path, int]]:
    """Images with their labels; what is left out, also of the files beside the class folders, is counted."""
    rows = []
    for label, name in enumerate(classes):
        contents = folder_contents(split / name)
        left_out.update(contents.left_out)
        rows += [(path, label) for path in contents.images]
    left_out.update("beside the class folders" for path in split.iterdir() if is_image(path))
    return rows
