"""What stage two needs to know of what stage one left; `extract.features.extraction.Extraction` is one such record."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from head2toe.store.reading.feature_store import FeatureStore


class NamedImage(Protocol):
    """An image, of which stage two needs no more than its name."""

    @property
    def name(self) -> str:
        """The name that predictions bear."""


class LabelledTask(Protocol):
    """A task: n images of which the first n_train train and the others test; `extract.tasks.task.Task` is one."""

    @property
    def name(self) -> str:
        """Name of the task."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in label order."""

    @property
    def images(self) -> Sequence[NamedImage]:
        """The n images, training rows first."""

    @property
    def labels(self) -> "np.ndarray":
        """Labels of all rows, (n,) int64."""

    @property
    def test_labels(self) -> "np.ndarray":
        """Labels of the test rows, (n - n_train,) int64; there may be none."""

    @property
    def folds(self) -> "np.ndarray":
        """The fold that holds each training row out, (n_train,) int64; -1 for a row that always trains."""

    @property
    def n_train(self) -> int:
        """Number of training rows."""

    @property
    def source(self) -> str:
        """Where images and labels come from, in words."""

    @property
    def group(self) -> str | None:
        """VTAB's group, if it has one."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided while the task was read, in words."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Which copy of the task this is, as JSON."""


class ExtractedFeatures(Protocol):
    """The features of a task by one backbone."""

    @property
    def task(self) -> LabelledTask:
        """The task, without the images that were skipped."""

    @property
    def stores(self) -> "Mapping[int, FeatureStore]":
        """Target size to the store of its features."""

    @property
    def views(self) -> "Mapping[str, Mapping[int, FeatureStore]]":
        """For each view of the images beside the whole, by name: target size to the store of its features."""

    @property
    def store(self) -> "FeatureStore":
        """The first target size's store."""

    @property
    def digests(self) -> tuple[str, ...]:
        """Content hash of every row's image, in the task's order: how its rows are found in a store."""

    @property
    def network(self) -> dict[str, Any]:
        """The network as JSON; `flops_per_image` are the floating-point operations of a forward pass."""

    @property
    def skipped(self) -> tuple[str, ...]:
        """Why each unreadable image was left out."""

    @property
    def images_extracted(self) -> int:
        """How many images went through the backbone now."""

    def of_network(self) -> dict[str, Any]:
        """Describe the network and name the keys of its stores, as JSON."""
