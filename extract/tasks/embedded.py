"""The tasks that come with the package and need no files: handwritten digits and drawn shapes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from head2toe.extract.images.sources import ImageArray, ImageSource
from head2toe.extract.readers.listing import Listing
from head2toe.extract.tasks import shapes


def digits() -> Listing:
    """Read scikit-learn's handwritten digits (8 x 8 grey): 1000 training rows, the other 797 for the test.

    The draw is a fixed shuffle, so that both splits hold all writers; folds are contiguous as in VTAB-1k.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    pixels = np.rint(data.images * (255 / 16)).astype(np.uint8)
    rows: list[tuple[ImageSource, int]] = [
        (ImageArray(f"digits/{i:04d}", pixels[i]), int(label))
        for i, label in zip(order, data.target[order], strict=True)
    ]
    return Listing(
        layout="embedded",
        source="sklearn.datasets.load_digits (UCI, optical recognition of handwritten digits)",
        classes=tuple(str(name) for name in data.target_names),
        train=rows[:1000],
        test=rows[1000:],
        ordered=True,
    )


@dataclass(frozen=True)
class EmbeddedTask:
    """A task that comes with the package or its dependencies.

    Attributes
    ----------
    read : callable
        Returns its images and labels.
    n_classes : int
        Number of classes.
    where : str
        Where its images come from, for `head2toe tasks`.
    group : str, optional
        VTAB's group that it is like.
    """

    read: Callable[[], Listing]
    n_classes: int
    where: str
    group: str | None = None


EMBEDDED_TASKS = {
    "digits": EmbeddedTask(digits, 10, "scikit-learn"),
    "shapes_count": EmbeddedTask(shapes.count, shapes.MAX_SHAPES, "drawn here", "structured"),
    "shapes_location": EmbeddedTask(shapes.location, shapes.GRID**2, "drawn here", "structured"),
    "shapes_orientation": EmbeddedTask(shapes.orientation, shapes.TURNS, "drawn here", "structured"),
}
