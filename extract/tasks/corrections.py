"""Decisions about a task's images, from a table, and the manifest of the task that they make. No image is touched."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import StringIO
from itertools import zip_longest
from pathlib import Path

import numpy as np
from head2toe.extract.images.sources import ImageFile
from head2toe.extract.readers.tables import table_rows
from head2toe.extract.tasks.task import Task
from head2toe.store.common.errors import BadRequest, DataError
from head2toe.store.common.outputs import write_output

KEEP = ("", "keep", "look", "merge")
"""Actions that change nothing: what is only to be looked at, classes that somebody has to merge."""
ACTIONS = ("relabel", "remove", *KEEP[1:])
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
    header, *rows = list(table_rows(file, lambda names: "image" in names, "the decisions")) or [[]]
    missing = [name for name in ("image", "action") if name not in header]
    if missing:
        raise BadRequest(
            f"{file} has no column {missing[0]!r}: decisions have image, action and, to relabel, suggestion"
        )
    known = {image.name for image in task.images}
    labels: dict[str, str] = {}
    removed: set[str] = set()
    for number, cells in enumerate(rows, start=2):
        row = dict(zip_longest(header, cells[: len(header)], fillvalue=""))
        name, action = row["image"], row["action"].strip()
        if action in KEEP:
            continue
        if action not in ACTIONS:
            raise BadRequest(f"{file}, line {number}: unknown action {action!r}: {', '.join(ACTIONS)}")
        if name not in known:
            raise BadRequest(f"{file}, line {number}: no image {name!r} in task {task.name}")
        if action == "remove":
            removed.add(name)
            continue
        label = row.get("suggestion", "").strip()
        if label not in task.classes:
            raise BadRequest(f"{file}, line {number}: no class {label!r} in task {task.name}: relabel takes one it has")
        if labels.setdefault(name, label) != label:
            raise BadRequest(f"{file}, line {number}: {name} is to be {labels[name]!r} and {label!r}")
    return Decisions(labels, frozenset(removed))


def corrected(task: Task, decisions: Decisions) -> Task:
    """Return a task with other labels, and without the images that were taken out; folds stay as they are.

    Raises
    ------
    DataError
        What is left can't be learned.
    """
    number = {name: label for label, name in enumerate(task.classes)}
    labels = task.labels.copy()
    for row, image in enumerate(task.images):
        if image.name in decisions.labels:
            labels[row] = number[decisions.labels[image.name]]
    removed = [row for row, image in enumerate(task.images) if image.name in decisions.removed]
    return replace(task, labels=labels).without(removed) if removed else replace(task, labels=labels)


def write_manifest(task: Task, file: Path) -> None:
    """Write a task as a manifest (CSV): absolute path (or URL), label, split and fold of each image. See docs/tasks.md.

    Raises
    ------
    BadRequest
        The file exists.
    DataError
        An image is in no file of its own, which a manifest could name.
    StoreError
        The file can't be written.
    """
    if file.exists():
        raise BadRequest(f"{file} exists, and is not overwritten: {ANOTHER_MANIFEST}")
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "label", "split", "fold"))
    folds = [*task.folds.tolist(), *[""] * (len(task.images) - task.n_train)]
    for image, label, fold in zip(task.images, task.labels, folds, strict=True):
        if not isinstance(image, ImageFile):
            raise DataError(f"{image.name} of task {task.name} is in no file of its own: a manifest can't name it")
        split = "test" if fold == "" else "train"
        writer.writerow((image.url or image.path.absolute(), task.classes[label], split, fold if fold != -1 else ""))
    write_output(file, text.getvalue().encode(), ANOTHER_MANIFEST)


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
