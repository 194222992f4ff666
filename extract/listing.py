"""What every reader of a task returns: its images and labels as they were found, before folds are drawn."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from head2toe.extract.images import ImageSource
from head2toe.store.errors import DataError

TRAIN, TEST = "train", "test"
SPLITS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    # Rows to choose settings on are training rows: the folds do that here.
    **dict.fromkeys(("val", "valid", "validation", "dev"), TRAIN),
    **dict.fromkeys(("test", "testing"), TEST),
}
"""The names of splits in use, and which of the two they are."""

CLASS_FILES = ("classes.txt", "classnames.txt")


@dataclass(frozen=True, eq=False)
class Listing:
    """Images and labels of a task.

    Attributes
    ----------
    source : str
        Provenance in words: the format and the place.
    classes : tuple of str
        Names in label order.
    train, test : list of (ImageSource, int)
        Rows. Without any test rows a part of the training rows is held out as the test.
    folds : (n_train,) int64 array, optional
        Where the source says in which fold each training row is held out; else they are drawn.
    groups : tuple of str, optional
        The group (patient, scene, …) of each training row: no group may stand on both sides of a split.
    notes : tuple of str
        What was decided while reading that a user may wonder about.
    """

    source: str
    classes: tuple[str, ...]
    train: list[tuple[ImageSource, int]]
    test: list[tuple[ImageSource, int]]
    folds: np.ndarray | None = None
    groups: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


def split_of(name: str) -> str | None:
    """`train` or `test` for any usual name of a split; None for another word."""
    return SPLITS.get(name.strip().lower())


def class_file(folder: Path) -> tuple[str, ...] | None:
    """Class names in label order from `classes.txt` (or `classnames.txt`), one a line, where there is one."""
    for path in (folder / name for name in CLASS_FILES):
        if path.is_file():
            try:
                lines = path.read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise DataError(f"can't read the class names in {path}: {error}") from error
            return tuple(line.strip() for line in lines if line.strip())
    return None


def coded(values: Iterable[str], names: Sequence[str] | None, where: str) -> tuple[tuple[str, ...], list[int]]:
    """Class names, and each value as a label.

    Parameters
    ----------
    values : iterable of str
        A class name or a number for each row. Without `names`, the classes are the values that occur, sorted as
        numbers if all are, else as words.
    names : sequence of str, optional
        Class names in label order; a value is one of them, or a number that counts them from 0.
    where : str
        What a message calls the source.

    Raises
    ------
    DataError
        A value is neither a name nor a number that fits.
    """
    values = list(values)
    numeric = all(value.isdecimal() for value in values)
    if names is None:
        names = sorted(set(values), key=int) if numeric else sorted(set(values))
    number = {name: label for label, name in enumerate(names)}
    if not set(values) <= set(number) and numeric:
        number = {str(label): label for label in range(len(names))}
        values = [str(int(value)) for value in values]
    for value in values:
        if value not in number:
            raise DataError(f"label {value!r} in {where} is none of its {len(names)} classes")
    return tuple(names), [number[value] for value in values]
