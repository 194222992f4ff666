"""A task: images, labels, classes and folds, made of a listing, and what must hold of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from head2toe.extract.images.file_formats import LOSSY
from head2toe.extract.images.sources import ImageSource
from head2toe.extract.readers.listing import Listing, require_two_images
from head2toe.extract.readers.splits import choose_folds, fold_notes, hold_out_test, hold_out_validation
from head2toe.extract.tasks.class_names import class_name_notes
from head2toe.store.common.errors import DataError
from head2toe.store.common.files import printable
from head2toe.store.common.labelled import Labelled, numbered

LEAST_TRAINING = 4
"""Training images without which there is nothing to choose by: two for each of two folds."""


@dataclass(frozen=True, eq=False)
class Task(Labelled):
    """A classification task: images with labels, split into training rows with folds and test rows.

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

    @classmethod
    def from_listing(
        cls, listing: Listing, name: str, *, group: str | None = None, seed: int = 0, folds: str = "auto"
    ) -> "Task":
        """Make a task of what a reader returned, with folds, and with a test held out if there is none.

        Parameters
        ----------
        listing : Listing
            Images, labels and classes.
        name : str
            The task's name.
        group : str, optional
            VTAB's group of tasks.
        seed : int
            Draws folds and hold-outs where the listing brings none.
        folds : str
            As for `head2toe.extract.readers.splits.choose_folds`.

        Raises
        ------
        BadRequest
            There is no such way to make folds.
        DataError
            The listing has too few images or classes, or its groups forbid the folds.
        """
        require_two_images(listing)
        listing = hold_out_test(listing, seed)
        if folds == "holdout":
            listing = hold_out_validation(listing, seed)
        rows = listing.train + listing.test
        return checked(
            cls(
                name=printable(name),
                classes=tuple(map(printable, listing.classes)),
                images=tuple(image for image, _ in rows),
                labels=np.array([label for _, label in rows], dtype=np.int64),
                folds=choose_folds(listing, folds, seed),
                source=printable(listing.source),
                group=group,
                notes=(*listing.notes, *class_name_notes(listing.classes), *fold_notes(listing, folds)),
                provenance={**listing.provenance, "layout": listing.layout},
            )
        )

    def without(self, rows: Sequence[int]) -> "Task":
        """Return the task without some rows (unreadable images, say); the other rows keep order and fold.

        Parameters
        ----------
        rows : sequence of int
            Rows of all images, training rows first.

        Raises
        ------
        DataError
            What is left can't be learned, or no test row is left of those that there were.
        """
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


def checked(task: Task, *, tested: bool = True) -> Task:
    """Return a task if it can be learned and tested.

    Parameters
    ----------
    task : Task
        The task.
    tested : bool
        Whether there must be test rows.

    Raises
    ------
    DataError
        There are too few training images, classes among them, folds or test images.
    """
    n_classes = np.count_nonzero(np.bincount(task.train_labels, minlength=len(task.classes)))
    if task.n_train < LEAST_TRAINING:
        rest = len(task.images) - task.n_train
        raise DataError(
            f"task {task.name}: {len(task.images)} images, of which {rest} are the test and {task.n_train} are left to "
            f"train on; {LEAST_TRAINING} of these are the least"
        )
    if n_classes < 2:
        raise DataError(f"task {task.name}: training images of {n_classes} class; there must be two or more")
    if task.folds.max() < 0:
        raise DataError(f"task {task.name}: no fold holds out a training image: there is nothing to choose settings by")
    if task.folds.min() == task.folds.max():
        raise DataError(f"task {task.name}: all training images are in one fold; there must be two or more folds")
    if tested and len(task.test_labels) == 0:
        raise DataError(f"task {task.name}: no test images ({task.source}), and too few of a class to hold some out")
    return task


def image_formats(images: Sequence[ImageSource]) -> dict[str, Any]:
    """Count the formats of images, and tell whether any is lossy: its pixels may differ from the original's.

    Returns
    -------
    dict
        `formats`: the number of images by format, the most frequent first; `lossy`: bool.

    Raises
    ------
    DataError
        An image can't be read.
    """
    counts = Counter(image.format for image in images)
    return {"formats": dict(counts.most_common()), "lossy": not LOSSY.isdisjoint(counts)}
