"""Notes on an extraction: what a user may wonder about, each in one line."""

from collections.abc import Mapping, Sequence
from typing import Any

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


def repeated_notes(task: Task, digests: Sequence[str]) -> list[str]:
    """Name images that a head would learn from before it is judged on them: the same bytes stand on both sides.

    Parameters
    ----------
    task : Task
        The task.
    digests : sequence of str
        Content hashes of its images in their order; those of the test rows may be left out.
    """
    n, folds_of = task.n_train, dict[str, set[int]]()
    for digest, fold in zip(digests[:n], task.folds.tolist(), strict=True):
        folds_of.setdefault(digest, set()).add(fold)
    pairs = [(image.name, digest) for image, digest in zip(task.images, digests, strict=False)]
    tested = [name for name, digest in pairs[n:] if digest in folds_of]
    split = [name for name, digest in pairs[:n] if len(folds_of[digest]) > 1]
    repeats = (
        (tested, f"of {len(task.images) - n} test images are training images, too", "the test flatters"),
        (split, f"of {n} training images repeat one in another fold", "the folds flatter"),
    )
    return [f"{len(names)} {fact}, such as {names[0]}: {effect}" for names, fact, effect in repeats if names]


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
