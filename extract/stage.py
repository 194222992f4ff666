"""Stage one as a whole: a task's images through a backbone, into one complete store for each view and target size."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any, cast

from head2toe.extract.backbone.backbone import Backbone, torch_device
from head2toe.extract.backbone.cost import forward_flops
from head2toe.extract.backbone.taps import Tap, discover
from head2toe.extract.backbone.windows import MEAN, Statistics, Tokens, height_matters
from head2toe.extract.cluster.address import Address, rows_per_block
from head2toe.extract.cluster.filling import fill_on_cluster
from head2toe.extract.features import loop
from head2toe.extract.features.extraction import Extraction
from head2toe.extract.features.loop import Slot
from head2toe.extract.features.network import backbone_of, precision_of
from head2toe.extract.features.notes import (
    class_notes,
    float32_note,
    nearest_note,
    repeated_notes,
    untapped_note,
    version_note,
    views_note,
)
from head2toe.extract.features.precision import FLOAT32, Precision, amp_note, torch_flags
from head2toe.extract.features.reader import layer_index
from head2toe.extract.features.views import PLAIN, View
from head2toe.extract.images.batches import unreadable
from head2toe.extract.images.frames import several_frames_note
from head2toe.extract.images.sources import ImageSource, with_limit
from head2toe.extract.options import ExtractOptions
from head2toe.extract.tasks.task import Task, image_formats
from head2toe.store.cloud.catalogue import catalogue_of
from head2toe.store.common.errors import BadRequest
from head2toe.store.console.progress import progress
from head2toe.store.management.catalogue import Catalogue
from head2toe.store.reading.feature_store import FeatureStore
from head2toe.store.writing.space import remaining, require_space
from head2toe.store.writing.writer import StoreWriter


def extract_task(task: Task, options: ExtractOptions, *, splits: str, versions: Mapping[str, str]) -> Extraction:
    """Extract what no store holds yet.

    Parameters
    ----------
    task : Task
        Whose images.
    options : ExtractOptions
        The options, with one backbone.
    splits : {"all", "train"}
        Which rows.
    versions : dict
        Versions of the libraries that numbers depend on.

    Returns
    -------
    Extraction
        The complete stores, and what was done.

    Raises
    ------
    Head2ToeError
        One line saying what is wrong with the request, the images, the weights or the store.
    """
    if len(options.backbones) != 1:
        raise BadRequest(f"one backbone at a time is extracted, not {', '.join(options.backbones)}")
    start = time.perf_counter()
    cluster = Address.asked(options.cluster, options.devices)
    task = replace(task, images=with_limit(task.images, options.max_pixels))
    task, skipped = _without_unreadable(task, options)
    task = replace(task, provenance={**task.provenance, **image_formats(task.images)})
    images = task.images if splits == "all" else task.images[: task.n_train]
    digests = tuple(image.digest() for image in images)
    task = replace(
        task, notes=(*task.notes, *class_notes(task), *several_frames_note(images), *repeated_notes(task, digests))
    )
    backbone = backbone_of(options)
    discovery = discover(backbone, options.taps, include_input=options.include_input)
    catalogue = catalogue_of(options.store)
    provenance = _provenance(backbone, task, options, versions)
    lookup = _look_up(catalogue, backbone, discovery.taps, digests, options, provenance)
    missing = {view.name: len(images) for view, images in loop.missing_by_view(lookup.writers).items()}
    extracted = _fill(lookup, catalogue, images, digests, backbone, discovery.taps, options, cluster)
    written = {slot: writer.seal() for slot, writer in lookup.writers.items()}
    stores = lookup.stores | written
    notes = [*task.notes, *backbone.notes, *untapped_note(discovery.untapped), *lookup.notes]
    notes += amp_note(precision_of(options, backbone), amp=options.amp, tf32=options.tf32)
    notes += views_note(options.view_names, missing)
    sizes = tuple(dict.fromkeys(options.target_sizes))
    return Extraction(
        task=task,
        backbone=options.backbones[0],
        network=_network_document(backbone),
        stores={size: stores[PLAIN, size] for size in sizes},
        views={view.name: {size: stores[view, size] for size in sizes} for view in _views(options)},
        taps=discovery.taps,
        digests=digests,
        images_extracted=extracted,
        images_reused=sum(lookup.reused_by_view().values()),
        skipped=skipped,
        notes=(*notes, *(float32_note(store) for store in written.values() if store.fallbacks)),
        seconds=time.perf_counter() - start,
    )


def store_identity(
    backbone: Backbone,
    taps: Sequence[Tap],
    target_size: int,
    tokens: Tokens,
    dtype: str,
    *,
    statistics: Statistics = MEAN,
    precision: Precision = FLOAT32,
    view: View = PLAIN,
) -> dict[str, Any]:
    """Return everything but the images that determines the numbers in a store: what its key is made of."""
    identity = view.identity | {
        "backbone": {"architecture": backbone.architecture, "weights_sha256": backbone.weights_sha256},
        "preprocessing": backbone.preprocessing.describe(),
        "taps": [tap.name for tap in taps],
        "target_size": target_size,
        "tokens": tokens,
        "precision": precision.name,
        "dtype": dtype,
    }
    # Only where it makes a difference, so that all other stores of before are found.
    if statistics != MEAN:
        identity["pool"] = ",".join(statistics)
    if any(height_matters(tap.shape, target_size, tap.layout) for tap in taps):
        identity["map_windows"] = "of the height"
    return identity


def _views(options: ExtractOptions) -> tuple[View, ...]:
    """The views that are asked for beside the whole image."""
    return tuple(View.of(name, options.seed) for name in options.view_names)


def _without_unreadable(task: Task, options: ExtractOptions) -> tuple[Task, tuple[str, ...]]:
    """Leave unreadable images out of the task, if that is asked for, and say why each was."""
    skipped = unreadable(task.images) if options.on_error == "skip" else {}
    return (task.without(list(skipped)) if skipped else task), tuple(skipped.values())


def _provenance(backbone: Backbone, task: Task, options: ExtractOptions, versions: Mapping[str, str]) -> dict[str, Any]:
    """Return what a new store records beside its identity; no part of its key."""
    provenance = {"weights": backbone.weights, "source": task.source, "versions": dict(versions)}
    provenance["torch"] = torch_flags(precision_of(options, backbone))
    return provenance | {"compiled": True} if options.compile else provenance


def _of_columns(taps: Sequence[Tap], target_size: int, tokens: Tokens, statistics: Statistics) -> dict[str, Any]:
    """Return which columns of a layer hold which statistic, for readers of a store that has not the mean alone."""
    if statistics == MEAN:
        return {}
    blocks = {tap.name: tap.blocks(target_size, tokens, statistics) for tap in taps}
    return {"columns": {name: [list(block) for block in of_layer] for name, of_layer in blocks.items()}}


@dataclass(frozen=True)
class _Lookup:
    """What there is for each view and target size: a store that holds all images, or a writer of one that is to."""

    stores: dict[Slot, FeatureStore]
    writers: dict[Slot, StoreWriter]
    notes: list[str]

    def reused_by_view(self) -> dict[View, int]:
        """How many rows of each view other stores hold already."""
        reused: dict[View, int] = {}
        for (view, _), writer in self.writers.items():
            reused[view] = max(reused.get(view, 0), writer.reused)
        return reused


def _look_up(
    catalogue: Catalogue,
    backbone: Backbone,
    taps: Sequence[Tap],
    digests: Sequence[str],
    options: ExtractOptions,
    provenance: dict[str, Any],
) -> _Lookup:
    """Find the stores that hold all images already, and begin those that are missing."""
    tokens, statistics = cast(Tokens, options.tokens), cast(Statistics, options.pool)
    lookup, shared = _Lookup({}, {}, []), options.cluster or len(options.devices) > 1
    precision = precision_of(options, backbone)
    identity_of = partial(store_identity, backbone, taps, tokens=tokens, dtype=options.dtype, precision=precision)
    for view, size in product((PLAIN, *_views(options)), dict.fromkeys(options.target_sizes)):
        identity = identity_of(size, statistics=statistics, view=view)
        if (store := catalogue.find(identity, digests)) is not None:
            lookup.stores[view, size] = store
            lookup.notes.extend(version_note(store, provenance["versions"]))
        else:
            for device in options.devices:
                torch_device(device)  # raises where torch has no such device: from here on it is needed
            if view == PLAIN:  # of the others `views_note` speaks
                lookup.notes.extend(nearest_note(catalogue, identity, digests))
            layers = layer_index(taps, size, tokens, statistics)
            about = provenance | _of_columns(taps, size, tokens, statistics)
            rows = rows_per_block(len(set(digests)), options.dtype) if shared else None
            how: dict[str, Any] = {"format": options.format, "provenance": about, "rows_per_block": rows}
            writer = catalogue.writer(identity, digests, layers, **how)
            lookup.writers[view, size] = writer
    return lookup


def _fill(
    lookup: _Lookup,
    catalogue: Catalogue,
    images: Sequence[ImageSource],
    digests: Sequence[str],
    backbone: Backbone,
    taps: Sequence[Tap],
    options: ExtractOptions,
    cluster: Address | None,
) -> int:
    """Run the backbone over what the writers miss; returns how many images went through it."""
    writers = lookup.writers
    if not writers:
        return 0
    kind = backbone.device.type
    # Each writer asked for its own room; all views and target sizes together need theirs.
    needed = [remaining(writer.spec, writer.pending()) for writer in writers.values()]
    require_space(catalogue.root, needed, writers=loop.MOST_BLOCKS if loop.writes_behind(kind) else 1)
    with progress("extracting", unit="img") as report:
        if cluster is not None:
            told: dict[str, Any] = {"progress": report, "note": lookup.notes.append}
            weights = backbone.weights_sha256
            here = replace(options, store=catalogue.root)  # of a bucket that is its copy, which `seal` sends
            return fill_on_cluster(cluster, images, digests, writers, here, weights_sha256=weights, **told)
        return loop.run(
            images,
            digests,
            backbone,
            taps,
            writers,
            tokens=cast(Tokens, options.tokens),
            statistics=cast(Statistics, options.pool),
            precision=precision_of(options, backbone),
            compiled=options.compile,
            batch_size=options.batch_size_on(kind),
            progress=report,
            note=lookup.notes.append,
        )


def _network_document(backbone: Backbone) -> dict[str, Any]:
    """Describe the network as JSON, for results."""
    return {
        "weights": backbone.weights,
        "weights_sha256": backbone.weights_sha256,
        "preprocessing": backbone.preprocessing.describe(),
        "device": str(backbone.device),
        "flops_per_image": forward_flops(backbone.model, backbone.input_size, backbone.device),
    }
