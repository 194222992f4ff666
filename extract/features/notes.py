"""Notes on an extraction: what a user may wonder about, each in one line."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from head2toe.extract.tasks.task import Task
from head2toe.store.management.catalogue import Catalogue
from head2toe.store.reading.feature_store import FeatureStore


def nearest_note(catalogue: Catalogue, identity: Mapping[str, Any], digests: Sequence[str]) -> list[str]:
    """Say how the nearest store differs, where none fits; nothing if none holds any of these images."""
    nearest = catalogue.nearest(identity, digests)
    if nearest is None:
        return []
    store, fields = nearest
    if store.row_by_image.keys().isdisjoint(digests):
        return []
    return [f"no store holds these features yet; the nearest, {store.key[:12]}, differs in {', '.join(fields)}"]


def views_note(views: Sequence[str], missing: Mapping[str, int]) -> list[str]:
    """Say of each view whether its store was there, or how many images were extracted; nothing without views.

    Parameters
    ----------
    views : sequence of str
        The views' names, without `plain`.
    missing : mapping of str to int
        For views of which a store was written: the number of images that no store held.
    """
    if not views:
        return []
    names = ("plain", *views)
    said = [f"{name} extracted for {missing[name]:,} images" for name in names if missing.get(name)]
    if held := [name for name in names if not missing.get(name)]:
        said.append(f"{', '.join(held)} from {'its store' if len(held) == 1 else 'their stores'}")
    return [f"views: {', '.join(said)}"]


def class_notes(task: Task) -> list[str]:
    """Classes that the test, the training rows or folds lack: what is said there of them, if anything, says little."""
    train = np.bincount(task.train_labels, minlength=len(task.classes))
    test = np.bincount(task.test_labels, minlength=len(task.classes))
    notes = []
    if test.any() and (missing := np.flatnonzero((train > 0) & (test == 0))).size:
        notes.append(f"the test has no image of {_named(task, missing)}: it says nothing of that")
    if (unknown := np.flatnonzero((train == 0) & (test > 0))).size:
        notes.append(f"{_named(task, unknown)} has test images and no training image: every head gets them wrong")
    return [*notes, *_fold_notes(task, train)]


def _fold_notes(task: Task, train: np.ndarray) -> list[str]:
    """Classes that a fold's training rows lack, and classes that not all folds hold out."""
    held = np.zeros((task.n_folds, len(task.classes)), dtype=np.int64)
    np.add.at(held, (task.folds[task.folds >= 0], task.train_labels[task.folds >= 0]), 1)
    notes = [
        f"fold {fold} holds out all {held[fold, alone].sum()} training images of {_named(task, alone)}: there, heads "
        "that never saw it are judged on it"
        for fold in range(task.n_folds)
        if (alone := np.flatnonzero((held[fold] == train) & (train > 0))).size
    ]
    elsewhere = (train > 0) & ~((held == train) & (train > 0)).any(axis=0)
    if not (rare := np.flatnonzero(elsewhere & (held == 0).any(axis=0))).size:
        return notes
    if task.n_folds == 1:
        return [*notes, f"the held-out images have none of {_named(task, rare)}: settings are chosen without"]
    lacking = int((held[:, rare] == 0).any(axis=1).sum())
    return [*notes, f"{lacking} of {task.n_folds} folds hold out no image of {_named(task, rare)}: they don't judge it"]


def _named(task: Task, classes: np.ndarray) -> str:
    """Name some classes: `class 'a'`, `classes 'a', 'b', 'c' and 4 more`."""
    names = ", ".join(repr(task.classes[label]) for label in classes[:3])
    more = f" and {len(classes) - 3} more" if len(classes) > 3 else ""
    return f"class{'es' if len(classes) > 1 else ''} {names}{more}"


def repeated_notes(task: Task, digests: Sequence[str]) -> list[str]:
    """Name images that stand in a task twice: under two labels, or on both sides of the test or of a fold.

    A head would have learned from the latter before it is judged on them.

    Parameters
    ----------
    task : Task
        The task.
    digests : sequence of str
        Content hashes of its images in their order; those of the test rows may be left out.
    """
    n, folds, labels = task.n_train, dict[str, set[int]](), dict[str, dict[int, str]]()
    for image, digest, label in zip(task.images, digests, task.labels.tolist(), strict=False):
        labels.setdefault(digest, {}).setdefault(label, image.name)
    for digest, fold in zip(digests[:n], task.folds.tolist(), strict=True):
        folds.setdefault(digest, set()).add(fold)
    doubtful = [names for names in labels.values() if len(names) > 1]
    plain = {digest for digest, names in labels.items() if len(names) == 1}
    tested = [image.name for image, d in zip(task.images[n:], digests[n:], strict=False) if d in folds and d in plain]
    split = [image.name for image, d in zip(task.images, digests[:n], strict=False) if len(folds[d]) > 1 and d in plain]
    repeats = (
        (tested, f"of {len(task.images) - n} test images are training images, too", "the test flatters"),
        (split, f"of {n} training images repeat one in another fold", "the folds flatter"),
    )
    notes = [f"{len(names)} {what}, such as {names[0]}: {so}" for names, what, so in repeats if names]
    if doubtful:
        listed = "; ".join(
            " and ".join(f"{task.classes[label]!r} ({name})" for label, name in names.items()) for names in doubtful[:3]
        )
        many = "1 image has" if len(doubtful) == 1 else f"{len(doubtful)} images have"
        more = f"; and {len(doubtful) - 3} more" if len(doubtful) > 3 else ""
        notes.append(f"{many} two labels or more, so that no head is right about all of them: {listed}{more}")
    return notes


def untapped_note(untapped: Mapping[str, str]) -> list[str]:
    """Say how many points of the backbone can't be read, and why the first can't; nothing if all can."""
    if not untapped:
        return []
    name, reason = next(iter(untapped.items()))
    return [f"{len(untapped)} points can't be tapped, the first is {name}: {reason} (`head2toe layers` lists all)"]


def version_note(store: FeatureStore, versions: Mapping[str, str]) -> list[str]:
    """Name the libraries that have changed since the store was written; they are no part of its key."""
    changes = [f"{name} {then} (now {now})" for name, (then, now) in store.version_changes(versions).items()]
    return [f"store {store.key[:12]} was extracted with {', '.join(changes)}"] if changes else []


def float32_note(store: FeatureStore) -> str:
    """Name the layers that float16 would have harmed."""
    layers = list(store.fallbacks)
    more = f" and {len(layers) - 3} more" if len(layers) > 3 else ""
    return f"{len(layers)} layers stay float32, which float16 would have harmed: {', '.join(layers[:3])}{more}"
