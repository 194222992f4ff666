"""The record of an extraction: what stage one leaves of one task and one backbone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from head2toe.extract.backbone.taps import Tap
from head2toe.extract.tasks.task import Task
from head2toe.store.reading.feature_store import FeatureStore


@dataclass(frozen=True, eq=False)
class Extraction:
    """What stage one leaves of one task and one backbone.

    Attributes
    ----------
    task : Task
        The task, without the images that were skipped.
    backbone : str
        timm's name of the network.
    network : dict
        The weights' origin and hash, the preprocessing, the device it ran on, and the floating-point operations of a
        forward pass of one image.
    stores : mapping of int to FeatureStore
        The complete store of each target size.
    taps : tuple of Tap
        Where the stores' layers are read, in their order.
    digests : tuple of str
        Content hash of every extracted row's image, in the task's order: how its rows are found in a store.
    images_extracted, images_reused : int
        How many images went through the backbone now, and how many rows other stores already held; each view of an
        image counts.
    skipped : tuple of str
        Why each unreadable image was left out.
    notes : tuple of str
        What a user may wonder about: what was decided for the task, how the nearest store differs where none fitted,
        layers that stayed float32.
    seconds : float
        How long it took.
    views : mapping of str to mapping
        For each view beside the whole image, by its name: the complete store of each target size.
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
    views: Mapping[str, Mapping[int, FeatureStore]] = field(default_factory=dict)

    @property
    def store(self) -> FeatureStore:
        """The first target size's store."""
        return next(iter(self.stores.values()))

    def of_network(self) -> dict[str, Any]:
        """Return the network and the keys of its stores as JSON."""
        document = {"name": self.backbone, **self.network, "stores": _by_size(self.stores, "key")}
        views = {name: _by_size(stores, "key") for name, stores in self.views.items()}
        return document | ({"views": views} if views else {})

    def document(self) -> dict[str, Any]:
        """Return the record as JSON: what `head2toe extract --json` prints."""
        return {
            "task": self.task.name,
            "source": self.task.source,
            "provenance": dict(self.task.provenance),
            "backbone": self.backbone,
            "network": self.network,
            "store": str(self.store.path),
            "stores": _by_size(self.stores, "path"),
            "views": {name: _by_size(stores, "path") for name, stores in self.views.items()},
            "rows": len(self.digests),
            "layers": len(self.store.layers),
            "features": sum(store.layers.n_features for store in self.stores.values()),
            "bytes": sum(store.nbytes for stores in (self.stores, *self.views.values()) for store in stores.values()),
            "images_extracted": self.images_extracted,
            "images_reused": self.images_reused,
            "skipped": list(self.skipped),
            "notes": list(self.notes),
            "seconds": self.seconds,
        }


def _by_size(stores: Mapping[int, FeatureStore], attribute: str) -> dict[str, str]:
    """An attribute of each target size's store as text."""
    return {str(size): str(getattr(store, attribute)) for size, store in stores.items()}
