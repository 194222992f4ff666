"""Which backbone, before all images go through it: successive halving over backbones, layers and target sizes.

All contenders are tried on a few training images; those that do worse go, and the others are tried on twice as many
(Jamieson & Talwalkar 2016). What was extracted stays in the stores, and is not extracted again when the task is run.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from head2toe.probe.methods.failures import Failures
from head2toe.probe.planning.subsets import stratified_order
from head2toe.store.common.errors import BadRequest
from head2toe.store.common.labelled import numbered

if TYPE_CHECKING:
    from head2toe.store.reading.feature_store import FeatureStore

LAYERS = {"linear": "the last layer", "all-l2": "all layers"}
"""The methods that a backbone is tried with, and what they read."""
FIRST, PER_CLASS = 100, 3
"""Images of the first round: so many, or so many of each class."""

Makes = Callable[[Any, Any], Any]
"""Takes a task and options of one backbone and returns an `Experiment` on its rows."""


@dataclass(frozen=True)
class Contender:
    """A backbone with one target size and a choice of layers."""

    backbone: str
    weights: str | None
    target_size: int
    method: str

    def __str__(self) -> str:
        return f"{self.backbone} (target size {self.target_size}, {LAYERS[self.method]})"


@dataclass(frozen=True, eq=False)
class Tried:
    """How a contender did in a round.

    Attributes
    ----------
    contender : Contender
    images : int
        Training images of the round.
    right : (images,) bool array
        Which were predicted right by heads of the other folds; the rows are the same for all contenders.
    log_loss : float
        Of these predictions, in nats.
    seconds : float, optional
        What an image took, with decoding, pooling and a share of loading the network; None where nothing was extracted.
    flops : float
        Of an image's forward pass.
    bytes : float
        What an image takes in the store.
    """

    contender: Contender
    images: int
    right: np.ndarray
    log_loss: float
    seconds: float | None
    flops: float
    bytes: float

    @property
    def accuracy(self) -> float:
        """Share of the images that were predicted right."""
        return float(self.right.mean())

    def behind(self, best: "Tried") -> tuple[float, float]:
        """By how much the accuracy is below another's on the same images, and its paired standard error."""
        difference = best.right.astype(float) - self.right
        return float(difference.mean()), float(difference.std(ddof=1) / len(difference) ** 0.5)


def bytes_of_image(store: "FeatureStore") -> int:
    """Return what an image takes in a store: its features in the dtype of their layer."""
    sizes = [np.dtype(dtype).itemsize for dtype in store.dtypes]
    return sum(width * size for width, size in zip(store.layers.widths, sizes, strict=True))


def contenders(options: Any) -> list[Contender]:
    """List all contenders of some options: of each backbone the last layer, and all layers at each target size.

    The last layer is stored as it is, or as its mean: its target size says next to nothing.
    """
    return [
        Contender(name, weights, size, method)
        for name, weights in options.networks
        for method in LAYERS
        for size in (options.target_sizes if method != "linear" else (min(options.target_sizes),))
    ]


def sizes_of_rounds(n: int, n_classes: int, most: int) -> list[int]:
    """Choose the numbers of images of the rounds: doubling, up to `most` of n. Raises BadRequest where they are few."""
    first = max(FIRST, PER_CLASS * n_classes)
    most = min(most, n)
    if most < 2 * n_classes:
        raise BadRequest(f"{most} images are too few to try backbones on: {2 * n_classes} at least, two of each class")
    sizes = []
    while first < most:
        sizes.append(first)
        first *= 2
    return [*sizes, most]


def subset(task: Any, size: int, seed: int) -> Any:
    """Return a task of so many training rows, stratified and nested in larger ones, without a test.

    Strata are classes and, of a task with rows that always train, whether a fold holds a row out.

    Raises
    ------
    BadRequest
        Fewer than two of the rows are held out, or all of them at once.
    """
    strata = 2 * task.labels[: task.n_train] + (task.folds >= 0)
    order = stratified_order(strata, np.random.default_rng([seed, 7]))
    rows = np.sort(order[:size])
    folds = numbered(task.folds[rows])
    if np.count_nonzero(folds >= 0) < 2 or len(np.unique(folds)) < 2:
        raise BadRequest(f"of {size} images no fold holds out two and leaves others: give more with --images")
    images = tuple(task.images[row] for row in rows)
    return replace(task, images=images, labels=task.labels[rows], folds=folds)


def halving(task: Any, options: Any, most: int, makes: Makes, failures: Failures) -> Iterator[list[Tried]]:
    """Try contenders in rounds; one that fails is out, and the others go on.

    Parameters
    ----------
    task : Task
        With all its images.
    options : Options
        With all backbones and target sizes.
    most : int
        Images of the last round at most.
    makes : callable
        See `Makes`.
    failures : Failures
        Takes the contenders that failed.

    Yields
    ------
    list of Tried
        A round's, the best first. The better half goes on, two contenders at least.

    Raises
    ------
    Head2ToeError
        All contenders of a round failed.
    """
    left = contenders(options)
    for size in sizes_of_rounds(task.n_train, len(task.classes), most):
        part = subset(task, size, options.seed)
        found = [one for each in _networks(left) for one in _tried(part, options, each, left, makes, failures)]
        if not found:
            raise failures.none_left()
        found.sort(key=lambda one: (-one.accuracy, one.log_loss))
        yield found
        left = [one.contender for one in found[: max(2, (len(found) + 1) // 2)]]


def _networks(left: Sequence[Contender]) -> list[tuple[str, str | None]]:
    return list(dict.fromkeys((one.backbone, one.weights) for one in left))


def _tried(
    part: Any,
    options: Any,
    network: tuple[str, str | None],
    left: Sequence[Contender],
    makes: Makes,
    failures: Failures,
) -> Iterator[Tried]:
    """Try what is left of a backbone: one pass for all its target sizes."""
    own = [one for one in left if (one.backbone, one.weights) == network]
    sizes = tuple(dict.fromkeys(one.target_size for one in own))
    of_network = replace(options, backbone=network[0], weights=network[1], methods=tuple(LAYERS))
    every = makes(part, replace(of_network, target_sizes=sizes))  # all sizes come from one pass
    (extraction,) = every.extractions
    seconds = extraction.seconds / extraction.images_extracted if extraction.images_extracted else None
    for size in sizes:
        methods = tuple(one.method for one in own if one.target_size == size)
        of_size = replace(extraction, stores={size: extraction.stores[size]})
        of_methods = replace(of_network, methods=methods)
        experiment = replace(every, extractions=(of_size,), probe_options=of_methods, failures=Failures())
        for outcome in experiment.outcomes():
            labels, logp = part.labels, outcome.fold_log_probabilities
            held = np.flatnonzero(~np.isnan(logp).any(axis=1))
            yield Tried(
                contender=Contender(*network, size, outcome.name),
                images=len(part.images),
                right=logp[held].argmax(axis=1) == labels[held],
                log_loss=float(-logp[held, labels[held]].mean()),
                seconds=seconds,
                flops=float(extraction.network["flops_per_image"]),
                bytes=float(bytes_of_image(extraction.stores[size])),
            )
        failures.errors.update(
            {str(Contender(*network, size, name)): line for name, line in experiment.failures.errors.items()}
        )
