"""Decisions about a task's images, from a table, and the manifest of the task that they make. No image is touched."""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import numpy as np
from head2toe.extract.images.file_formats import check_content
from head2toe.extract.images.sources import ImageFile, ImageSource
from head2toe.extract.readers.listing import TEST, TRAIN, VALIDATION, composed, is_missing, split_of
from head2toe.extract.readers.tables import numbered_rows, plain_name
from head2toe.extract.tasks.task import Task, checked
from head2toe.store.common.errors import BadRequest, DataError
from head2toe.store.common.outputs import write_output
from head2toe.store.console.text import FORMULA_STARTS

KEEP = ("", "keep", "look", "merge")
"""Actions that change nothing: what is only to be looked at, classes that somebody has to merge."""
ACTIONS = ("relabel", "remove", *KEEP[1:])
COLUMNS = ("image", "action", "suggestion")
"""What is read of a table of decisions; the last may be missing where nothing is to be relabelled."""
_WHOLE = re.compile(r"-?[0-9]+\.0")
ANOTHER_MANIFEST = "choose another file with --manifest FILE"


@dataclass(frozen=True)
class Decisions:
    """What is to be done.

    Attributes
    ----------
    labels : dict
        Image name to its new class.
    removed : frozenset of str
        The images to take out.
    """

    labels: Mapping[str, str]
    removed: frozenset[str]


def read_decisions(file: Path, task: Task) -> Decisions:
    """Read a table of decisions: the columns `image`, `action` and, for `relabel`, `suggestion`.

    Parameters
    ----------
    file : Path
        As `head2toe audit --csv` prints it, or as a spreadsheet saves it.
    task : Task
        Whose images these are.

    Raises
    ------
    BadRequest
        The file lacks a column, or names an action, an image or a class that there is not; the line is named.
    DataError
        The file can't be read.
    """
    known = {image.name for image in task.images}
    labels: dict[str, str] = {}
    removed: set[str] = set()
    for where, name, action, suggestion in _cells(file):
        if action not in (*ACTIONS, ""):
            raise BadRequest(f"{where}: unknown action {action[:80]!r}: {', '.join(ACTIONS)}")
        name = name if name in known else name.removeprefix("./")  # as in front of what would be a formula
        if name not in known and (name or action not in KEEP):
            raise BadRequest(f"{where}: no image {name[:300]!r} in task {task.name}")
        if action in KEEP:
            continue
        label = _class_of(suggestion, task.classes)
        if action == "remove":
            removed.add(name)
        elif label is None:
            raise BadRequest(f"{where}: no class {suggestion[:80]!r} in task {task.name}: relabel takes one it has")
        elif labels.setdefault(name, label) != label:
            raise BadRequest(f"{where}: {name} is to be {labels[name]!r} and {label!r}")
        if name in removed and name in labels:
            raise BadRequest(f"{where}: {name} is to be removed and to be {labels[name]!r}")
    return Decisions(labels, frozenset(removed))


def _cells(file: Path) -> Iterator[tuple[str, str, str, str]]:
    """Yield where each row of decisions stands, its image, its action in small letters, and what it suggests."""
    check_content(file)
    _, header = next(rows := numbered_rows(file, _is_header, "the decisions"), (0, []))
    names = [plain_name(name) for name in header]
    for name in COLUMNS:
        if names.count(name) != 1 and (name in names or name != COLUMNS[-1]):
            raise BadRequest(
                f"{file} has {'several columns' if name in names else 'no column'} {name!r}: decisions have image, "
                "action and, to relabel, suggestion"
            )
    place = [names.index(name) if name in names else len(names) for name in COLUMNS]
    for line, row in rows:
        image, action, suggestion = (row[at] if at < len(row) else "" for at in place)
        yield f"{file}, line {line}", image, action.strip().lower(), composed(suggestion.strip())


def _class_of(text: str, classes: Sequence[str]) -> str | None:
    """Find the class that is called so, in other capitals (`TRUE`), or as pandas writes whole numbers (`1.0`).

    An apostrophe in front may be that of `--csv-safe`.
    """
    if text in classes:
        return text
    if (unquoted := text.removeprefix("'")) in classes and unquoted.startswith(FORMULA_STARTS):
        return unquoted
    plain = (text.removesuffix(".0") if _WHOLE.fullmatch(text) else text).casefold()
    alike = [name for name in classes if name.casefold() == plain]
    return alike[0] if len(alike) == 1 else None


def _is_header(names: Sequence[str]) -> bool:
    return "image" in map(plain_name, names)


def corrected(task: Task, decisions: Decisions) -> Task:
    """Return a task with other labels, and without the images that were taken out; folds stay as they are.

    Raises
    ------
    DataError
        What is left can't be learned, or of a class one training image alone.
    """
    number = {name: label for label, name in enumerate(task.classes)}
    labels = task.labels.copy()
    for row, image in enumerate(task.images):
        if image.name in decisions.labels:
            labels[row] = number[decisions.labels[image.name]]
    removed = [row for row, image in enumerate(task.images) if image.name in decisions.removed]
    changed = replace(task, labels=labels)
    changed = changed.without(removed) if removed else checked(changed, tested=len(task.test_labels) > 0)
    for label, count in sorted(Counter(changed.train_labels.tolist()).items()):
        if count == 1:
            raise DataError(
                f"class {task.classes[label]!r} of task {task.name} would have 1 training image left: keep another, or "
                "remove this one, too"
            )
    return changed


def write_manifest(task: Task, file: Path) -> None:
    """Write a task as a manifest (CSV): absolute path (or URL), label, split and fold of each image. See docs/tasks.md.

    Of an image that a manifest named, its group and all columns that nothing here reads follow, as they were there.
    Validation rows stay such.

    Raises
    ------
    BadRequest
        The file exists.
    DataError
        An image is in no file of its own, which a manifest could name, or in one whose name is not UTF-8; or a class is
        called as tables call a gap.
    StoreError
        The file can't be written.
    """
    if file.exists():
        raise BadRequest(f"{file} exists, and is not overwritten: {ANOTHER_MANIFEST}")
    if gaps := [name for name in task.classes if is_missing(name)]:
        raise DataError(f"in a table the class {gaps[0]!r} of task {task.name} would be no label: rename it first")
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    kept = [dict(image.cells) if isinstance(image, ImageFile) else {} for image in task.images]
    others = [name for name in dict.fromkeys(name for cells in kept for name in cells) if name != "split"]
    writer.writerow(("path", "label", "split", "fold", *others))
    folds = [*task.folds.tolist(), *[""] * (len(task.images) - task.n_train)]
    for image, label, fold, cells in zip(task.images, task.labels, folds, kept, strict=True):
        validates = split_of(cells.get("split", "")) == VALIDATION
        split = TEST if fold == "" else VALIDATION if validates else TRAIN
        row = (_place(image, task), task.classes[label], split, fold, *(cells.get(name, "") for name in others))
        writer.writerow(row)
    write_output(file, text.getvalue().encode(), ANOTHER_MANIFEST)


def _place(image: ImageSource, task: Task) -> str:
    """Say where an image is, as a manifest does. Raises DataError for one that a manifest can't name."""
    if not isinstance(image, ImageFile):
        raise DataError(f"{image.name} of task {task.name} is in no file of its own: a manifest can't name it")
    place = image.url or str(image.path.absolute())
    try:
        place.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"the name of {image.name} is not UTF-8, as a manifest is: rename the file") from error
    return place


def write_corrected(task: Task, decisions_file: Path, manifest: Path) -> tuple[int, int]:
    """Apply decisions to a task and write the manifest that they make.

    Returns
    -------
    tuple of int
        How many images have another label, and how many were taken out.
    """
    decisions = read_decisions(decisions_file, task)
    changed = corrected(task, decisions)
    write_manifest(changed, manifest)
    given = {image.name: label for image, label in zip(task.images, task.labels.tolist(), strict=True)}
    now = {image.name: label for image, label in zip(changed.images, np.asarray(changed.labels).tolist(), strict=True)}
    return sum(given[name] != label for name, label in now.items()), len(given) - len(now)
