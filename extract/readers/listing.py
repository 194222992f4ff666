"""The listing that every reader returns: images, labels and classes as they are stored, before folds are drawn."""

import re
import unicodedata
from collections import Counter
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
"""The names of splits in use, and which of the three they are; `split_of` knows longer forms of them."""

MOST_CLASSES = 1_000_000
"""A larger number is no label: names of as many classes would fill the memory."""
MOST_CHARACTERS = 500
"""A longer text is no class name."""

_SPLIT_NAME = re.compile(r"([a-z]+?)[ _.-]*(?:set|data|dataset|images|imgs|split)?[ _.-]*\d{0,4}")
_MISSING = ("", "nan", "<na>", "#n/a")
_WHOLE = re.compile(r"-?[0-9]+\.0")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")

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
        names = list(map(composed, names))
        counted = [label_number(name) for name in self.classes]
        if set(self.classes) <= set(names):
            number = [names.index(name) for name in self.classes]
        elif all(label is not None and label < len(names) for label in counted):
            number = [label for label in counted if label is not None]
        else:
            unknown = next(name for name in self.classes if name not in names)
            raise DataError(f"{where} names {len(names)} classes, but {self.source} has a class {unknown!r}")
        rows = ([(image, number[label]) for image, label in part] for part in (self.train, self.test))
        return replace(self, classes=tuple(names), train=next(rows), test=next(rows))


def split_of(name: str) -> str | None:
    """Return `train`, `validation` or `test` for any usual name of a split, and None for another word.

    A word like `set` or `images` and a number may follow: `Training Set`, `test_images` and `val2017` are names, too.
    """
    match = _SPLIT_NAME.fullmatch(name.strip().lower())
    return SPLITS.get(match[1]) if match else None


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
                why = "save it as UTF-8" if isinstance(error, UnicodeDecodeError) else error
                raise DataError(f"can't read the class names in {path}: {why}") from error
            return tuple(composed(line.strip()) for line in lines if line.strip())
    return None


def composed(name: str) -> str:
    """Return a name with its accents composed (Unicode's NFC): systems store `é` as one character or as two."""
    return unicodedata.normalize("NFC", name)


def is_missing(label: str) -> bool:
    """Return whether a table's cell says that there is no label: it is empty, or `nan` as pandas writes a gap."""
    return label.strip().lower() in _MISSING


def in_class_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return names, each once, in the order of classes: numbers by value, else words with the numbers in them so.

    `2` comes before `10` and `img2` before `img10`, whatever the format that the names were read from.
    """
    unique = set(names)
    if all(map(_NUMBER.fullmatch, unique)):
        return tuple(sorted(unique, key=lambda name: (float(name), _natural(name))))
    return tuple(sorted(unique, key=_natural))


def _natural(name: str) -> tuple[Any, ...]:
    """A key by which words sort with the numbers in them by value, of any length."""
    digits = [part.lstrip("0") for part in re.findall(r"[0-9]+", name)]
    words = re.split(r"[0-9]+", name)
    numbers = [(len(part), part) for part in digits]
    return (*(part for pair in zip(words, [*numbers, ()], strict=True) for part in pair), name)


def label_number(text: str) -> int | None:
    """Return the number that a text writes in digits, None where it writes none or one beyond all classes."""
    if not text.isdecimal() or len(text.lstrip("0")) > len(str(MOST_CLASSES)):
        return None
    number = int(text.lstrip("0") or "0")
    return number if number < MOST_CLASSES else None


def encode_labels(values: Iterable[str], names: Sequence[str] | None, where: str) -> tuple[tuple[str, ...], list[int]]:
    """Turn class names or numbers into labels.

    Parameters
    ----------
    values : iterable of str
        A class name or a number for each row. Without `names`, the classes are the values that occur, in the order of
        `in_class_order`.
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
        A value is missing, too long for a name, or neither a name nor a number that fits; or a name stands twice.
    """
    values = [composed(value) for value in values]
    if all(map(_WHOLE.fullmatch, values)):  # as pandas writes whole numbers of a column that had gaps
        values = [value.partition(".")[0] for value in values]
    _check_names(values, names, where)
    if names is None:
        names = in_class_order(values)
    else:
        names = tuple(map(composed, names))
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise DataError(f"class {min(twice)!r} stands twice among the class names of {where}")
    number = {name: label for label, name in enumerate(names)}
    if not set(values) <= set(number) and all(value.isdecimal() for value in values):
        counted = {value: label_number(value) for value in set(values)}
        number = {value: label for value, label in counted.items() if label is not None and label < len(names)}
    for value in values:
        if value not in number:
            some = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
            raise DataError(f"label {value!r} in {where} is none of its {len(names)} classes ({some})")
    return tuple(names), [number[value] for value in values]


def _check_names(values: Sequence[str], names: Sequence[str] | None, where: str) -> None:
    """No value is missing or endless. Raises DataError that counts such rows from 1."""
    known = set(names or ())
    if missing := [row for row, value in enumerate(values, start=1) if is_missing(value) and value not in known]:
        raise DataError(f"{rows_in_words(missing)} of {where}: no label (empty or nan): fill it in or remove the row")
    if long := [row for row, value in enumerate(values, start=1) if len(value) > MOST_CHARACTERS]:
        raise DataError(
            f"{rows_in_words(long)} of {where}: a label of {len(values[long[0] - 1]):,} characters is no class name "
            f"({MOST_CHARACTERS} are the most)"
        )
    if values and all(value.startswith("[") and value.endswith("]") for value in values):
        raise DataError(several_labels(f"the labels in {where} are lists, such as {values[0]}"))


def several_labels(what: str) -> str:
    """Return the message about images with several labels each; `what` says where."""
    return f"{what}: several labels of one image are not supported; --label-column names another column"


def unlabelled_test_note(count: int, where: str) -> str:
    """Return the note on test images of which none has a label."""
    return f"{count} test images in {where} have no labels and are left out: head2toe predict takes them"


def rows_in_words(rows: Sequence[int]) -> str:
    """Name rows: `row 4`, `rows 1, 2, 3 and 5 more`."""
    listed = ", ".join(map(str, rows[:3]))
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    return f"row{'' if len(rows) == 1 else 's'} {listed}{more}"


def require_two_images(listing: Listing) -> None:
    """Check that there are training images, and that no class has a single one.

    No fold can both hold that out and train on it. VTAB-1k's lists, whose order is part of the task, are taken as they
    are.

    Raises
    ------
    DataError
        There are none, or a class has one; the message names it.
    """
    if not listing.train:
        raise DataError(f"no training images in {listing.source}: all {len(listing.test)} are of the test")
    counts = Counter(label for _, label in listing.train)
    for label, name in enumerate(listing.classes):
        if counts[label] == 1 and not listing.ordered:
            raise DataError(
                f"class {name!r} has 1 training image in {listing.source}: cross-validation needs two or more; add "
                "images, or remove this one"
            )


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
