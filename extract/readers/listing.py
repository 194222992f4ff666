"""The listing that every reader returns: images, labels and classes as they are stored, before folds are drawn."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from head2toe.extract.images.sources import ImageSource
from head2toe.store.common.errors import DataError

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "dev"), VALIDATION),
    **dict.fromkeys(("test", "testing"), TEST),
}
"""The names of splits in use, and which of the three they are."""

CLASS_FILES = ("classes.txt", "classnames.txt")
"""Files that class names are read from; the first that is there counts."""

Row = tuple[ImageSource, int]
"""An image and its label."""


@dataclass(frozen=True, eq=False)
class Listing:
    """Images and labels of a task.

    Attributes
    ----------
    layout : str
        What was read: `VTAB-1k lists`, `ImageFolder`, `manifest`, …
    source : str
        Provenance in words: the layout and the place.
    classes : tuple of str
        Names in label order.
    train, test : list of (ImageSource, int)
        Rows. Without any test rows, a part of the training rows is held out as the test.
    folds : (n_train,) int64 array, optional
        Where the source says in which fold each training row is held out; else they are drawn.
    validation : (n_train,) bool array, optional
        Which training rows the source calls validation rows; None where it has none.
    groups : tuple of str, optional
        The group (patient, scene, …) of each training row: no group may stand on both sides of a split.
    ordered : bool
        Whether the order of the training rows is part of the task (VTAB's folds are slices of it).
    notes : tuple of str
        What was decided while reading that a user may wonder about.
    provenance : dict
        What is known of where the copy comes from, as JSON.
    """

    layout: str
    source: str
    classes: tuple[str, ...]
    train: list[Row]
    test: list[Row]
    folds: np.ndarray | None = None
    validation: np.ndarray | None = None
    groups: tuple[str, ...] | None = None
    ordered: bool = False
    notes: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def train_labels(self) -> np.ndarray:
        """(n_train,) int64 array of the training rows' labels."""
        return np.array([label for _, label in self.train], dtype=np.int64)

    def with_classes(self, names: Sequence[str], where: str) -> "Listing":
        """Return the same rows with other names of the classes, or with the same names in another order.

        Parameters
        ----------
        names : sequence of str
            Names in label order. They hold all of this listing's class names, or these are numbers that count them.
        where : str
            What a message calls the place that the names come from.

        Raises
        ------
        DataError
            A name stands twice, or a class of this listing is neither one of the names nor a number of one.
        """
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise DataError(f"class {twice[0]!r} stands twice in {where}")
        if set(self.classes) <= set(names):
            number = [names.index(name) for name in self.classes]
        elif all(name.isdecimal() and int(name) < len(names) for name in self.classes):
            number = [int(name) for name in self.classes]
        else:
            unknown = next(name for name in self.classes if name not in names)
            raise DataError(f"{where} names {len(names)} classes, but {self.source} has a class {unknown!r}")
        rows = ([(image, number[label]) for image, label in part] for part in (self.train, self.test))
        return replace(self, classes=tuple(names), train=next(rows), test=next(rows))


def split_of(name: str) -> str | None:
    """Return `train`, `validation` or `test` for any usual name of a split, and None for another word."""
    return SPLITS.get(name.strip().lower())


def read_class_names(folder: Path) -> tuple[str, ...] | None:
    """Read class names in label order from `classes.txt` (or `classnames.txt`), one a line; None where there is none.

    Raises
    ------
    DataError
        The file can't be read.
    """
    for path in (folder / name for name in CLASS_FILES):
        if path.is_file():
            try:
                lines = path.read_text(encoding="utf-8-sig").splitlines()  # editors write a byte order mark
            except (OSError, UnicodeDecodeError) as error:
                raise DataError(f"can't read the class names in {path}: {error}") from error
            return tuple(line.strip() for line in lines if line.strip())
    return None


def encode_labels(values: Iterable[str], names: Sequence[str] | None, where: str) -> tuple[tuple[str, ...], list[int]]:
    """Turn class names or numbers into labels.

    Parameters
    ----------
    values : iterable of str
        A class name or a number for each row. Without `names`, the classes are the values that occur, sorted as
        numbers if all are, else as words.
    names : sequence of str, optional
        Class names in label order; a value is one of them, or a number that counts them from 0.
    where : str
        What a message calls the source.

    Returns
    -------
    classes : tuple of str
        Class names in label order.
    labels : list of int
        The label of each value.

    Raises
    ------
    DataError
        A value is neither a name nor a number that fits, or a name stands twice.
    """
    values = list(values)
    numeric = all(value.isdecimal() for value in values)
    if names is not None and (twice := sorted({name for name in names if list(names).count(name) > 1})):
        raise DataError(f"class {twice[0]!r} stands twice among the class names of {where}")
    if names is None:
        names = sorted(set(values), key=lambda value: (int(value), value)) if numeric else sorted(set(values))
    number = {name: label for label, name in enumerate(names)}
    if numeric and not set(values) <= set(number):
        number = {str(label): label for label in range(len(names))}
        values = [str(int(value)) for value in values]
    for value in values:
        if value not in number:
            raise DataError(f"label {value!r} in {where} is none of its {len(names)} classes")
    return tuple(names), [number[value] for value in values]


def by_split(rows: Iterable[tuple[str, ImageSource, int]]) -> dict[str, Any]:
    """Sort rows (split, image, label) into the fields `train`, `test` and `validation` of a Listing; order is kept.

    Validation rows are training rows: unless they are asked for, settings are chosen by cross-validation over all.
    """
    rows = list(rows)
    validation = np.array([split == VALIDATION for split, _, _ in rows if split != TEST], dtype=bool)
    return {
        "train": [(image, label) for split, image, label in rows if split != TEST],
        "test": [(image, label) for split, image, label in rows if split == TEST],
        "validation": validation if validation.any() else None,
    }
