"""Stage one as a whole: a task's images through a backbone, into one complete store for each target size."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from head2toe.extract.backbone.backbone import Backbone, load_backbone
from head2toe.extract.backbone.cost import forward_flops
from head2toe.extract.backbone.pooling import Tokens
from head2toe.extract.backbone.taps import Tap, discover
from head2toe.extract.features import loop
from head2toe.extract.features.extraction import Extraction
from head2toe.extract.features.notes import (
    class_notes,
    float32_note,
    nearest_note,
    repeated_notes,
    untapped_note,
    version_note,
)
from head2toe.extract.features.reader import layer_index
from head2toe.extract.images.batches import unreadable
from head2toe.extract.options import ExtractOptions
from head2toe.extract.tasks.task import Task, image_formats
from head2toe.store.common.errors import BadRequest
from head2toe.store.common.progress import progress
from head2toe.store.management.catalogue import Catalogue
from head2toe.store.writing.space import remaining, require_space


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
    if o.on_error == "skip" and (skipped := unreadable(task.images)):
        task = task.without(list(skipped))
    task = replace(task, provenance={**task.provenance, **image_formats(task.images)})
    images = task.images if splits == "all" else task.images[: task.n_train]
    digests = tuple(image.digest() for image in images)
    task = replace(task, notes=(*task.notes, *class_notes(task), *repeated_notes(task, digests)))
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
            layers = layer_index(points, size, tokens)
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
