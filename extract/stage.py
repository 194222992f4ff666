"""Stage one as a whole: a task's images through a backbone, into one complete store for each target size."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from head2toe.extract.backbone.backbone import Backbone, load_backbone
from head2toe.extract.backbone.cost import forward_flops
from head2toe.extract.backbone.pooling import Tokens
from head2toe.extract.backbone.taps import Tap, discover
from head2toe.extract.features import loop
from head2toe.extract.options import ExtractOptions
from head2toe.extract.tasks.registry import Task, image_formats
from head2toe.store.common.errors import BadRequest
from head2toe.store.common.progress import progress
from head2toe.store.management.catalogue import Catalogue
from head2toe.store.reading.feature_store import FeatureStore
from head2toe.store.writing.space import remaining, require_space


@dataclass(frozen=True, eq=False)
class Extraction:
    """What stage one leaves.

    Attributes
    ----------
    task : Task
        Without the images that were skipped.
    backbone : str
        timm's name of the network.
    network : dict
        Its weights' origin and hash, preprocessing, the device it ran on, and the floating-point operations of a
        forward pass of one image.
    stores : dict
        Target size to its store.
    taps : tuple of Tap
        Where the stores' layers are read, in their order.
    digests : tuple of str
        Content hash of every extracted row's image, in the task's order: how its rows are found in a store.
    images_extracted, images_reused : int
        How many went through the backbone now, and how many rows other stores already held.
    skipped : tuple of str
        Why each unreadable image was left out.
    notes : tuple of str
        What a user may wonder about: what was decided for the task, how the nearest store differs where none fitted,
        layers that stayed float32.
    """

    task: Task
    backbone: str
    network: dict[str, Any]
    stores: Mapping[int, FeatureStore]
    taps: tuple[Tap, ...]
    digests: tuple[str, ...]
    images_extracted: int
    images_reused: int
    skipped: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float

    @property
    def store(self) -> FeatureStore:
        """The first target size's store."""
        return next(iter(self.stores.values()))

    def of_network(self) -> dict[str, Any]:
        """The network, and the keys of its stores, as JSON."""
        stores = {str(size): store.key for size, store in self.stores.items()}
        return {"name": self.backbone, **self.network, "stores": stores}

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "task": self.task.name,
            "source": self.task.source,
            "provenance": dict(self.task.provenance),
            "backbone": self.backbone,
            "network": self.network,
            "store": str(self.store.path),
            "stores": {str(size): str(store.path) for size, store in self.stores.items()},
            "rows": len(self.digests),
            "layers": len(self.store.layers),
            "features": sum(store.layers.n_features for store in self.stores.values()),
            "bytes": sum(store.nbytes for store in self.stores.values()),
            "images_extracted": self.images_extracted,
            "images_reused": self.images_reused,
            "skipped": list(self.skipped),
            "notes": list(self.notes),
            "seconds": self.seconds,
        }


def extract_task(task: Task, options: ExtractOptions, *, splits: str, versions: Mapping[str, str]) -> Extraction:
    """Extract what no store holds yet.

    Parameters
    ----------
    task : Task
        Whose images.
    options : ExtractOptions
        With one backbone.
    splits : {"all", "train"}
        Which rows.
    versions : dict
        Of the libraries that numbers depend on.

    Raises
    ------
    Head2ToeError
        One line saying what is wrong with the request, the images, the weights or the store.
    """
    o = options
    if len(o.backbones) != 1:
        raise BadRequest(f"one backbone at a time is extracted, not {', '.join(o.backbones)}")
    tokens: Tokens = o.tokens  # type: ignore[assignment]
    start = time.perf_counter()
    skipped: dict[int, str] = {}
    if o.on_error == "skip" and (skipped := loop.unreadable(task.images)):
        task = task.without(list(skipped))
    task = replace(task, provenance={**task.provenance, **image_formats(task.images)})
    images = task.images if splits == "all" else task.images[: task.n_train]
    digests = tuple(image.digest() for image in images)
    task = replace(task, notes=(*task.notes, *repeated_notes(task, digests)))
    network = load_backbone(
        o.backbones[0],
        weights=o.weights,
        input_size=o.input_size,
        preprocess=o.preprocess,
        device=o.device,
        seed=o.seed,
    )
    discovery = discover(network, o.taps, include_input=o.include_input)
    points = discovery.taps
    catalogue = Catalogue(o.store)
    stores, writers, notes = {}, {}, [*task.notes, *untapped_note(discovery.untapped)]
    for size in dict.fromkeys(o.target_sizes):
        identity = store_identity(network, points, size, tokens, o.dtype, amp=o.amp)
        if (store := catalogue.find(identity, digests)) is not None:
            stores[size] = store
            notes += version_note(store, versions)
        else:
            provenance: dict[str, Any] = {"weights": network.weights, "source": task.source, "versions": dict(versions)}
            provenance |= {"compiled": True} if o.compile else {}
            notes += nearest_note(catalogue, identity, digests)
            layers = loop.layer_index(points, size, tokens)
            writers[size] = catalogue.writer(identity, digests, layers, format=o.format, provenance=provenance)
    extracted = 0
    if writers:
        # Each writer asked for its own room; all target sizes together need theirs.
        require_space(catalogue.root, [remaining(w.spec, w.pending()) for w in writers.values()])
        with progress("extracting", unit="img") as report:
            extracted = loop.run(
                images,
                digests,
                network,
                points,
                writers,
                tokens=tokens,
                amp=o.amp,
                compiled=o.compile,
                batch_size=o.batch_size,
                progress=report,
            )
        stores |= {size: writer.seal() for size, writer in writers.items()}
        notes += [float32_note(stores[size]) for size in writers if stores[size].fallbacks]
    return Extraction(
        task=task,
        backbone=o.backbones[0],
        network={
            "weights": network.weights,
            "weights_sha256": network.weights_sha256,
            "preprocessing": network.preprocessing.describe(),
            "device": str(network.device),
            "flops_per_image": forward_flops(network.model, network.input_size, network.device),
        },
        stores={size: stores[size] for size in dict.fromkeys(o.target_sizes)},
        taps=points,
        digests=digests,
        images_extracted=extracted,
        images_reused=max((writer.reused for writer in writers.values()), default=0),
        skipped=tuple(skipped.values()),
        notes=tuple(notes),
        seconds=time.perf_counter() - start,
    )


def store_identity(
    backbone: Backbone, taps: Sequence[Tap], target_size: int, tokens: Tokens, dtype: str, *, amp: bool = False
) -> dict[str, Any]:
    """Everything but the images that determines the numbers in a store: what its key is made of."""
    return {
        "backbone": {"architecture": backbone.architecture, "weights_sha256": backbone.weights_sha256},
        "preprocessing": backbone.preprocessing.describe(),
        "taps": [tap.name for tap in taps],
        "target_size": target_size,
        "tokens": tokens,
        "precision": f"amp, {backbone.device.type}" if amp else "float32",
        "dtype": dtype,
    }


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
