"""From what an extraction and a head leave to a model bundle that needs neither."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
from head2toe.extract.deploy.bundle import Bundle, KeptLayer
from head2toe.extract.features.extraction import Extraction
from head2toe.store.common.errors import DataError
from head2toe.store.format.layer_index import LayerIndex


class Head(Protocol):
    """A linear head on columns of a design; `head2toe.probe.heads.linear_model.LinearModel` is one."""

    @property
    def target_sizes(self) -> tuple[int, ...]:
        """Which of the extraction's stores the columns count through, side by side."""

    @property
    def columns(self) -> np.ndarray:
        """(k,) ascending."""

    @property
    def unit(self) -> bool:
        """Whether the chosen part of every layer is brought to unit norm first."""

    @property
    def mean(self) -> np.ndarray:
        """(k,)."""

    @property
    def scale(self) -> np.ndarray:
        """(k,)."""

    @property
    def coef(self) -> np.ndarray:
        """(k, classes)."""

    @property
    def intercept(self) -> np.ndarray:
        """(classes,)."""


def bundle_of(
    extraction: Extraction,
    head: Head,
    *,
    method: str,
    settings: Mapping[str, Any],
    metrics: Mapping[str, Any],
    versions: Mapping[str, str],
) -> Bundle:
    """Pack a head with all that says how its features are made.

    Parameters
    ----------
    extraction : Extraction
        Of the task that the head was trained on, with the stores of `head.target_sizes`.
    method, settings, metrics, versions
        What made the head, how good it is, and with which packages; JSON, for people and the model card.

    Raises
    ------
    DataError
        A store's layers are not those of the extraction's taps.
    """
    stores = [extraction.stores[size] for size in head.target_sizes]
    index = LayerIndex.concat([store.layers for store in stores], [f"{size}/" for size in head.target_sizes])
    counts = index.counts(head.columns)
    taps = {tap.name: tap for tap in extraction.taps}
    layers = []
    of_design = [
        (size, name, width, dtype)
        for size, store in zip(head.target_sizes, stores, strict=True)
        for name, width, dtype in zip(store.layers.names, store.layers.widths, store.dtypes, strict=True)
    ]
    for (size, name, width, dtype), kept in zip(of_design, counts.tolist(), strict=True):
        if not kept:
            continue
        if name not in taps:
            raise DataError(f"layer {name!r} of store {extraction.stores[size].path} is none of the taps asked for")
        where = asdict(taps[name])
        where["shape"] = list(where["shape"])
        layers.append(KeptLayer(where.pop("name"), where, size, width, dtype, kept))
    identity, task = stores[0].identity, extraction.task
    return Bundle(
        backbone={
            "name": extraction.backbone,
            "architecture": identity["backbone"]["architecture"],
            "weights": extraction.network["weights"],
            "weights_sha256": identity["backbone"]["weights_sha256"],
        },
        preprocessing=identity["preprocessing"],
        tokens=identity["tokens"],
        precision=identity["precision"],
        classes=task.classes,
        layers=tuple(layers),
        unit=head.unit,
        columns=(head.columns - index.offsets[index.layer_of(head.columns)]).astype(np.int32),
        mean=np.asarray(head.mean, np.float32),
        scale=np.asarray(head.scale, np.float32),
        coef=np.asarray(head.coef, np.float32),
        intercept=np.asarray(head.intercept, np.float32),
        method=method,
        settings=dict(settings),
        metrics=dict(metrics),
        task={
            "name": task.name,
            "source": task.source,
            "n_train": task.n_train,
            "n_test": len(task.images) - task.n_train,
        },
        versions=dict(versions),
    )
