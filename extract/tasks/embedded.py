"""The tasks that need no files: handwritten digits and drawn shapes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from head2toe.extract.images.sources import ImageArray, ImageSource
from head2toe.extract.readers.listing import Listing
from head2toe.extract.tasks import shapes


def digits() -> Listing:
    """Scikit-learn's handwritten digits (8 x 8 grey), 1000 rows to learn from, the other 797 for the test.

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
class Embedded:
    """A task that comes with the package or its dependencies."""

    read: Callable[[], Listing]
    n_classes: int
    where: str
    group: str | None = None


EMBEDDED = {
    "digits": Embedded(digits, 10, "scikit-learn"),
    "shapes_count": Embedded(shapes.count, shapes.MOST, "drawn here", "structured"),
    "shapes_location": Embedded(shapes.location, shapes.GRID**2, "drawn here", "structured"),
    "shapes_orientation": Embedded(shapes.orientation, shapes.TURNS, "drawn here", "structured"),
}
