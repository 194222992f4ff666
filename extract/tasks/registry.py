"""A task: images, labels, splits and folds; found by name, by task file, or by the path of its images."""

import difflib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from head2toe.extract.images.sources import LOSSY, ImageArray, ImageSource
from head2toe.extract.readers import formats
from head2toe.extract.readers.listing import Listing
from head2toe.extract.readers.splits import N_FOLDS, choose_folds, hold_out_test, hold_out_validation, numbered
from head2toe.extract.tasks import shapes, task_files
from head2toe.extract.vtab import read as vtab
from head2toe.store.common.errors import BadRequest, DataError
from head2toe.store.common.files import expanded, printable
from head2toe.store.common.labelled import Labelled


@dataclass(frozen=True, eq=False)
class Task(Labelled):
    """What is to be learned.

    Attributes
    ----------
    name : str
        Registered name, or the folder's name.
    classes : tuple of str
        Class names in label order. Their number is the task's, also where a split lacks a class.
    images : tuple of ImageSource
        Training rows first, test rows after them.
    labels : (n,) int64 array
        Labels of all rows.
    folds : (n_train,) int64 array
        The fold (0, 1, …) in which each training row is held out; -1 for one that is never held out.
    source : str
        Provenance: where images and labels come from, in words.
    group : str, optional
        VTAB's group: `natural`, `specialised` or `structured`.
    notes : tuple of str
        What was decided while the task was read, in words.
    provenance : dict
        Which copy this is, as JSON: its layout, what is known of its origin and, once the images were seen, their
        formats (see `image_formats`).
    """

    name: str
    classes: tuple[str, ...]
    images: tuple[ImageSource, ...]
    labels: np.ndarray
    folds: np.ndarray
    source: str
    group: str | None = None
    notes: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def without(self, rows: Sequence[int]) -> "Task":
        """The task without some rows (unreadable images, say); the other rows keep order and fold."""
        keep = np.setdiff1d(np.arange(len(self.images)), rows)
        return checked(
            replace(
                self,
                images=tuple(self.images[i] for i in keep),
                labels=self.labels[keep],
                folds=numbered(self.folds[keep[keep < self.n_train]]),
            ),
            tested=len(self.test_labels) > 0,
        )


def load_task(task: str, *, seed: int = 0, folds: str = "auto", download: str | None = None) -> Task:
    """Find a task by its registered name, by its task file, or by the path of its images.

    A task file comes first: one that is called `dtd.yaml` says where `dtd` is.

    Parameters
    ----------
    task : str
        A name that `head2toe tasks` lists, or a path in any format of `head2toe.extract.readers.formats`.
    seed : int
        Draws (unless a task file names another) the folds where the task brings none, and the test where it has none.
    folds : str
        One of `head2toe.extract.readers.splits.FOLDS`; what is said here comes before what a task file says.
    download : {"tfds", "torchvision"}, optional
        Where a VTAB task is got from if its folder is not there.

    Raises
    ------
    BadRequest
        There is no such task; the message gives the nearest names.
    DataError
        What is there is no usable task.
    MissingExtra
        Its format needs a package that is not installed.
    """
    if (file := task_files.find(task)) is not None:
        said = task_files.load(file)
        seed = seed if said.seed is None else said.seed
        folds = said.folds or folds if folds == "auto" else folds
        return from_listing(said.read(), said.name, group=said.group, seed=seed, folds=folds)
    if (embedded := EMBEDDED.get(task)) is not None:
        return from_listing(embedded.read(), task, group=embedded.group, seed=seed, folds=folds)
    if (entry := vtab.find(task)) is not None:
        return from_listing(vtab.read(entry, download), entry.name, group=entry.group, seed=seed, folds=folds)
    path = expanded(task)
    if path.exists():
        whole = path.resolve()
        return from_listing(formats.read(path), whole.stem if path.is_file() else whole.name, seed=seed, folds=folds)
    names = [*EMBEDDED, *vtab.NAMES, *(file.stem for file in task_files.every())]
    near = difflib.get_close_matches(task, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "`head2toe tasks` lists the names."
    raise BadRequest(f"no task or folder {task!r}: {hint}")


def from_listing(listing: Listing, name: str, *, group: str | None = None, seed: int = 0, folds: str = "auto") -> Task:
    """A task of what a reader found: with a test held out if there is none, and folds. Errors as of `load_task`."""
    listing = hold_out_test(listing, seed)
    if folds == "holdout":
        listing = hold_out_validation(listing, seed)
    rows = listing.train + listing.test
    return checked(
        Task(
            name=printable(name),
            classes=tuple(map(printable, listing.classes)),
            images=tuple(image for image, _ in rows),
            labels=np.array([label for _, label in rows], dtype=np.int64),
            folds=choose_folds(listing, folds, seed),
            source=printable(listing.source),
            group=group,
            notes=listing.notes,
            provenance={**listing.provenance, "layout": listing.layout},
        )
    )


def checked(task: Task, *, tested: bool = True) -> Task:
    """The task, if it can be learned (and tested). Raises DataError saying what is wrong with which class or split."""
    found = np.count_nonzero(np.bincount(task.train_labels, minlength=len(task.classes)))
    if task.n_train < 2 * N_FOLDS:
        raise DataError(f"task {task.name}: {task.n_train} training images; {2 * N_FOLDS} are the least")
    if found < 2:
        raise DataError(f"task {task.name}: training images of {found} class; there must be two or more")
    if task.folds.max() < 0:
        raise DataError(f"task {task.name}: no fold holds out a training image: there is nothing to choose settings by")
    if task.folds.min() == task.folds.max():
        raise DataError(f"task {task.name}: all training images are in one fold; there must be two or more folds")
    if tested and len(task.test_labels) == 0:
        raise DataError(f"task {task.name}: no test images ({task.source}), and too few of a class to hold some out")
    return task


def image_formats(images: Sequence[ImageSource]) -> dict[str, Any]:
    """How many images have which format, and whether any is lossy: its pixels may differ from the original's.

    Raises
    ------
    DataError
        An image can't be read.
    """
    counts = Counter(image.format for image in images)
    return {"formats": dict(counts.most_common()), "lossy": not LOSSY.isdisjoint(counts)}


def digits() -> Listing:
    """Scikit-learn's handwritten digits (8 x 8 grey), 1000 rows to learn from, the other 797 for the test.

    The draw is a fixed shuffle, so that both splits hold all writers; folds are contiguous as in VTAB-1k.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    pixels = np.rint(data.images * (255 / 16)).astype(np.uint8)
    rows: list[tuple[ImageSource, int]] = [
        (ImageArray(f"digits/{i:04d}", pixels[i]), int(label))
        for i, label in zip(order, data.target[order], strict=True)
    ]
    return Listing(
        layout="embedded",
        source="sklearn.datasets.load_digits (UCI, optical recognition of handwritten digits)",
        classes=tuple(str(name) for name in data.target_names),
        train=rows[:1000],
        test=rows[1000:],
        ordered=True,
    )


@dataclass(frozen=True)
class Embedded:
    """A task that comes with the package or its dependencies."""

    read: Callable[[], Listing]
    n_classes: int
    where: str
    group: str | None = None


EMBEDDED = {
    "digits": Embedded(digits, 10, "scikit-learn"),
    "shapes_count": Embedded(shapes.count, shapes.MOST, "drawn here", "structured"),
    "shapes_location": Embedded(shapes.location, shapes.GRID**2, "drawn here", "structured"),
    "shapes_orientation": Embedded(shapes.orientation, shapes.TURNS, "drawn here", "structured"),
}


@dataclass(frozen=True)
class Registered:
    """A task that has a name, for `head2toe tasks`; a task file need not say how many classes there are."""

    name: str
    group: str
    n_classes: int | None
    where: str


def registered() -> list[Registered]:
    """All tasks that have a name, and whether their data is there."""
    embedded = [Registered(name, e.group or "embedded", e.n_classes, e.where) for name, e in EMBEDDED.items()]
    named = [_registered(file) for file in task_files.every()]
    taken = {task.name for task in named}
    vtabs = [Registered(t.name, t.group, t.n_classes, vtab.whereabouts(t)) for t in vtab.TASKS]
    return named + [task for task in embedded + vtabs if task.name not in taken]


def _registered(file: Path) -> Registered:
    """What a task file says without its images being read; a fault in it is shown and hides no other task."""
    try:
        said = task_files.load(file)
    except DataError as error:
        return Registered(file.stem, "", None, str(error))
    return Registered(file.stem, said.group or "own", len(said.classes) if said.classes else None, str(file))
