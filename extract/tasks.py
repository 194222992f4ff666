"""A task: images, labels, splits and folds; found by name or by folder."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from head2toe.extract import folders, vtab
from head2toe.extract.images import ImageArray, ImageSource
from head2toe.store.errors import BadRequest, DataError
from sklearn.datasets import load_digits

N_FOLDS = 5


@dataclass(frozen=True, eq=False)
class Task:
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
        The fold (0 .. 4) in which each training row is held out.
    source : str
        Provenance: where images and labels come from, in words.
    """

    name: str
    classes: tuple[str, ...]
    images: tuple[ImageSource, ...]
    labels: np.ndarray
    folds: np.ndarray
    source: str

    @property
    def n_train(self) -> int:
        """Number of training rows."""
        return len(self.folds)

    @property
    def train_labels(self) -> np.ndarray:
        """Labels of the training rows."""
        return self.labels[: self.n_train]

    @property
    def test_labels(self) -> np.ndarray:
        """Labels of the test rows."""
        return self.labels[self.n_train :]

    def without(self, rows: Sequence[int]) -> "Task":
        """The task without some rows (unreadable images, say); the other rows keep order and fold."""
        keep = np.setdiff1d(np.arange(len(self.images)), rows)
        return checked(
            replace(
                self,
                images=tuple(self.images[i] for i in keep),
                labels=self.labels[keep],
                folds=self.folds[keep[keep < self.n_train]],
            )
        )


def load_task(task: str, *, seed: int = 0) -> Task:
    """Find a task by its registered name or by the path of its folder.

    Parameters
    ----------
    task : str
        A name that `head2toe tasks` lists, or a folder in VTAB-1k layout or ImageFolder layout.
    seed : int
        Draws the folds of an ImageFolder; VTAB's folds are fixed.

    Raises
    ------
    BadRequest
        There is no such task; the message gives the nearest names.
    DataError
        The folder holds no usable task.
    """
    if task in EMBEDDED:
        return EMBEDDED[task]()
    if (entry := vtab.find(task)) is not None:
        return checked(_from_folder(vtab.folder_of(entry), entry.name, seed))
    path = Path(task).expanduser()
    if path.is_dir():
        return checked(_from_folder(path, path.resolve().name, seed))
    names = [*EMBEDDED, *vtab.NAMES]
    near = difflib.get_close_matches(task, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "`head2toe tasks` lists the names."
    raise BadRequest(f"no task or folder {task!r}: {hint}")


def _from_folder(path: Path, name: str, seed: int) -> Task:
    listing = folders.read(path)
    n_train = len(listing.train)
    labels = np.array([label for _, label in listing.train + listing.test], dtype=np.int64)
    folds = contiguous_folds(n_train) if listing.fixed_order else stratified_folds(labels[:n_train], seed)
    return Task(
        name=name,
        classes=listing.classes,
        images=tuple(image for image, _ in listing.train + listing.test),
        labels=labels,
        folds=folds,
        source=f"{listing.layout} folder {path.resolve()}",
    )


def contiguous_folds(n: int) -> np.ndarray:
    """Five contiguous slices, as the paper cuts VTAB-1k's thousand rows."""
    return np.arange(n, dtype=np.int64) * N_FOLDS // n


def stratified_folds(labels: np.ndarray, seed: int) -> np.ndarray:
    """Five folds with every class dealt out as evenly as its size allows."""
    rng = np.random.default_rng(seed)
    folds = np.empty(len(labels), dtype=np.int64)
    dealt = 0
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        # Go on where the last class stopped: else all small classes would land in the first folds.
        folds[rows] = (dealt + np.arange(len(rows))) % N_FOLDS
        dealt += len(rows)
    return folds


def checked(task: Task) -> Task:
    """The task, if it can be learned. Raises DataError saying what is wrong with which class or split."""
    counts = np.bincount(task.train_labels, minlength=len(task.classes))
    if task.n_train < 2 * N_FOLDS:
        raise DataError(f"task {task.name}: {task.n_train} training images; {2 * N_FOLDS} are the least")
    if (counts > 0).sum() < 2:
        raise DataError(f"task {task.name}: training images of {(counts > 0).sum()} class; there must be two or more")
    if len(task.test_labels) == 0:
        raise DataError(f"task {task.name}: no test images ({task.source})")
    return task


def digits() -> Task:
    """Scikit-learn's handwritten digits (8 x 8 grey), 1000 rows to learn from, the other 797 for the test.

    The draw is a fixed shuffle, so that both splits hold all writers; folds are contiguous as in VTAB-1k.
    """
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    pixels = np.rint(data.images * (255 / 16)).astype(np.uint8)
    return Task(
        name="digits",
        classes=tuple(str(name) for name in data.target_names),
        images=tuple(ImageArray(f"digits/{i:04d}", pixels[i]) for i in order),
        labels=data.target[order].astype(np.int64),
        folds=contiguous_folds(1000),
        source="sklearn.datasets.load_digits (UCI, optical recognition of handwritten digits)",
    )


EMBEDDED: dict[str, Callable[[], Task]] = {"digits": digits}


@dataclass(frozen=True)
class Registered:
    """A task that has a name, for `head2toe tasks`."""

    name: str
    group: str
    n_classes: int
    where: str


def registered() -> list[Registered]:
    """All tasks that have a name, and whether their data is there."""
    embedded = [Registered(name, "embedded", len(make().classes), "scikit-learn") for name, make in EMBEDDED.items()]
    return embedded + [Registered(t.name, t.group, t.n_classes, vtab.whereabouts(t)) for t in vtab.TASKS]
