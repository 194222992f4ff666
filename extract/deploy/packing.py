"""A model bundle made of an extraction and a head; it needs neither afterwards."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
from head2toe.extract.deploy.bundle import Bundle, KeptLayer
from head2toe.extract.features.extraction import Extraction
from head2toe.extract.tasks.task import Task
from head2toe.extract.uncertainty.calibration import Calibration
from head2toe.extract.uncertainty.novelty import DTYPES, Novelty
from head2toe.store.common.errors import DataError
from head2toe.store.format.layer_index import LayerIndex


class Head(Protocol):
    """A linear head on columns of a design; `head2toe.probe.heads.linear_model.LinearModel` is one."""

    @property
    def target_sizes(self) -> tuple[int, ...]:
        """Which of the extraction's stores the columns count through, side by side."""

    @property
    def columns(self) -> np.ndarray:
        """The k columns that the head reads, ascending."""

    @property
    def unit(self) -> bool:
        """Whether the chosen part of every layer is brought to unit norm first."""

    @property
    def mean(self) -> np.ndarray:
        """What is subtracted from each column (k,)."""

    @property
    def scale(self) -> np.ndarray:
        """What each centred column is multiplied with (k,)."""

    @property
    def coef(self) -> np.ndarray:
        """The coefficients (k, classes)."""

    @property
    def coef_whole(self) -> np.ndarray | None:
        """The coefficients (k, classes) of what reads the whole image alone, beside heads on several views."""

    @property
    def intercept(self) -> np.ndarray:
        """The intercepts (classes,)."""

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the views that it was trained on beside the whole image, of the extraction's."""


class Compared(Protocol):
    """Training images to compare with; `head2toe.probe.methods.novelty.TrainingImages` is one. See `Novelty`."""

    @property
    def positions(self) -> np.ndarray:
        """Which of the head's columns are looked at (q,)."""

    @property
    def mean(self) -> np.ndarray:
        """What is subtracted from each (q,)."""

    @property
    def scale(self) -> np.ndarray:
        """What each is multiplied with (q,)."""

    @property
    def axes(self) -> np.ndarray:
        """The principal directions (q, r)."""

    @property
    def rows(self) -> np.ndarray:
        """The training images in them (m, r)."""

    @property
    def distances(self) -> np.ndarray:
        """How far held-out training images were from others, ascending (n,)."""

    @property
    def neighbours(self) -> int:
        """How many nearest ones a distance is the mean over."""


class HeldOut(Protocol):
    """What held-out rows say of a head; `head2toe.probe.methods.held_out.HeldOutRows` is such a record."""

    @property
    def probabilities(self) -> np.ndarray:
        """Those of the true classes, ascending (n,)."""

    @property
    def images(self) -> Compared | None:
        """The training images to compare with, if there are enough."""


def bundle_of(
    extraction: Extraction,
    head: Head,
    *,
    method: str,
    settings: Mapping[str, Any],
    metrics: Mapping[str, Any],
    versions: Mapping[str, str],
    held_out: HeldOut | None = None,
    certificate: Mapping[str, Any] | None = None,
) -> Bundle:
    """Pack a head with all that says how its features are made.

    Parameters
    ----------
    extraction : Extraction
        The extraction of the task that the head was trained on, with the stores of `head.target_sizes`.
    head : Head
        The head.
    method : str
        What chose columns and head.
    settings, metrics, versions : mapping
        The method's settings, its scores, and the packages that made them; JSON, for people and the model card.
    held_out : HeldOut, optional
        What the rows that the folds held out say; without it, the model has neither prediction sets nor novelty.
    certificate : mapping, optional
        JSON: which images of the task the head was not trained on, and what is proved of it; see `Bundle`.

    Raises
    ------
    DataError
        A store's layers are not those of the extraction's taps.
    """
    stores = [extraction.stores[size] for size in head.target_sizes]
    index = LayerIndex.concat([store.layers for store in stores], [f"{size}/" for size in head.target_sizes])
    identity = stores[0].identity
    return Bundle(
        backbone={
            "name": extraction.backbone,
            "architecture": identity["backbone"]["architecture"],
            "weights": extraction.network["weights"],
            "weights_sha256": identity["backbone"]["weights_sha256"],
        },
        preprocessing=identity["preprocessing"],
        tokens=identity["tokens"],
        pool=tuple(identity.get("pool", "mean").split(",")),
        precision=identity["precision"],
        classes=extraction.task.classes,
        layers=_kept_layers(extraction, head.target_sizes, index.counts(head.columns)),
        unit=head.unit,
        columns=(head.columns - index.offsets[index.layer_of(head.columns)]).astype(np.int32),
        mean=np.asarray(head.mean, np.float32),
        scale=np.asarray(head.scale, np.float32),
        coef=np.asarray(head.coef, np.float32),
        coef_whole=None if head.coef_whole is None else np.asarray(head.coef_whole, np.float32),
        intercept=np.asarray(head.intercept, np.float32),
        method=method,
        settings=dict(settings),
        metrics=dict(metrics),
        task=_task_document(extraction.task) | ({"n_train": certificate["training"]["images"]} if certificate else {}),
        versions=dict(versions),
        views=_views_document(extraction, head.views),
        calibration=None if held_out is None else _calibration(held_out),
        certificate=dict(certificate or {}),
    )


def _calibration(held_out: HeldOut) -> Calibration:
    """Round what held-out rows say to what a file holds, so that a model is the same before and after it is saved."""
    images = held_out.images
    novelty = None
    if images is not None:
        values = {name: np.asarray(getattr(images, name), dtype) for name, dtype in DTYPES.items()}
        novelty = Novelty(**values, neighbours=images.neighbours)
    return Calibration(np.asarray(held_out.probabilities, np.float32), novelty)


def _views_document(extraction: Extraction, names: Sequence[str]) -> dict[str, Any]:
    """Name the views that a head was trained on, with the seed of what was drawn of them."""
    if not names:
        return {}
    identities = [extraction.views[name][size].identity["view"] for name in names for size in extraction.stores]
    return {"names": list(names), "seed": max(int(view.get("seed", 0)) for view in identities)}


def _kept_layers(extraction: Extraction, target_sizes: Sequence[int], counts: np.ndarray) -> tuple[KeptLayer, ...]:
    """Describe the layers of the stores of these target sizes, side by side, that have kept features.

    `counts` holds the number of kept features of every layer.
    """
    taps = {tap.name: tap for tap in extraction.taps}
    layers = []
    side_by_side = (
        (size, *layer)
        for size, store in ((size, extraction.stores[size]) for size in target_sizes)
        for layer in zip(store.layers.names, store.layers.widths, store.dtypes, strict=True)
    )
    for (size, name, width, dtype), kept in zip(side_by_side, counts.tolist(), strict=True):
        if not kept:
            continue
        if name not in taps:
            raise DataError(f"layer {name!r} of store {extraction.stores[size].path} is none of the taps asked for")
        tap = asdict(taps[name])
        tap["shape"] = list(tap["shape"])
        layers.append(KeptLayer(tap.pop("name"), tap, size, width, dtype, kept))
    return tuple(layers)


def _task_document(task: Task) -> dict[str, Any]:
    """Say as JSON where the images come from, and how many there are."""
    return {
        "name": task.name,
        "source": task.source,
        "n_train": task.n_train,
        "n_test": len(task.images) - task.n_train,
    }
