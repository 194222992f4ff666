"""What a user may wonder about after an extraction, a line each."""

from collections.abc import Mapping, Sequence
from typing import Any

from head2toe.extract.tasks.task import Task
from head2toe.store.management.catalogue import Catalogue
from head2toe.store.reading.feature_store import FeatureStore


def nearest_note(catalogue: Catalogue, identity: Mapping[str, Any], digests: Sequence[str]) -> list[str]:
    """Why there is no store yet, as far as the nearest one tells; nothing if there is none of any of these images."""
    nearest = catalogue.nearest(identity, digests)
    if nearest is None:
        return []
    store, fields = nearest
    if store.row_by_image.keys().isdisjoint(digests):
        return []
    return [f"no store holds these features yet; the nearest, {store.key[:12]}, differs in {', '.join(fields)}"]


def repeated_notes(task: Task, digests: Sequence[str]) -> list[str]:
    """Images that a head would have learned from before it is judged on them: the same bytes on both sides."""
    n, folds = task.n_train, dict[str, set[int]]()
    for digest, fold in zip(digests[:n], task.folds.tolist(), strict=True):
        folds.setdefault(digest, set()).add(fold)
    tested = [image.name for image, digest in zip(task.images[n:], digests[n:], strict=False) if digest in folds]
    split = [image.name for image, digest in zip(task.images, digests[:n], strict=False) if len(folds[digest]) > 1]
    said = (
        (tested, f"of {len(task.images) - n} test images are training images, too", "the test flatters"),
        (split, f"of {n} training images repeat one in another fold", "the folds flatter"),
    )
    return [f"{len(names)} {what}, such as {names[0]}: {so}" for names, what, so in said if names]


def untapped_note(untapped: Mapping[str, str]) -> list[str]:
    """What the backbone has but can't be read."""
    if not untapped:
        return []
    name, why = next(iter(untapped.items()))
    return [f"{len(untapped)} points can't be tapped, the first is {name}: {why} (`head2toe layers` lists all)"]


def version_note(store: FeatureStore, versions: Mapping[str, str]) -> list[str]:
    """Libraries that have changed since the store was written; they are no part of its key."""
    changes = [f"{name} {then} (now {now})" for name, (then, now) in store.version_changes(versions).items()]
    return [f"store {store.key[:12]} was extracted with {', '.join(changes)}"] if changes else []


def float32_note(store: FeatureStore) -> str:
    """Which layers float16 would have harmed."""
    layers = list(store.fallbacks)
    more = f" and {len(layers) - 3} more" if len(layers) > 3 else ""
    return f"{len(layers)} layers stay float32, which float16 would have harmed: {', '.join(layers[:3])}{more}"
