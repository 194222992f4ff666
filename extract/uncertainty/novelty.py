"""How unlike its training images a model finds an image: what is kept of them to measure it by."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

DTYPES = {
    "positions": "int32",
    "mean": "float32",
    "scale": "float32",
    "axes": "float16",
    "rows": "float16",
    "distances": "float32",
}


@dataclass(frozen=True, eq=False)
class Novelty:
    """Training images in the principal directions of some kept features, and how far held-out ones were from others.

    An image's distance is the mean over its nearest training images (k-nearest-neighbour distance, Sun, Ming, Zhu & Li,
    ICML 2022); its novelty the share of held-out training images that were nearer to those that they were held out of.

    Attributes
    ----------
    positions : (q,) int32 array
        Which of the head's features are looked at, ascending.
    mean, scale : (q,) float32 arrays
        What is subtracted from them, and what they are multiplied with then.
    axes : (q, r) float16 array
        The principal directions.
    rows : (m, r) float16 array
        Training images in these directions.
    distances : (n,) float32 array
        Of training images to those of the other folds, in directions found on these alone; ascending.
    neighbours : int
        How many nearest training images the distance is the mean over.
    """

    positions: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    axes: np.ndarray
    rows: np.ndarray
    distances: np.ndarray
    neighbours: int

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All of it as arrays, for a file."""
        values = {name: np.ascontiguousarray(getattr(self, name), dtype) for name, dtype in DTYPES.items()}
        return {**values, "neighbours": np.asarray([self.neighbours], np.int32)}

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> "Novelty":
        """Make it of `arrays`."""
        neighbours = int(max(arrays["neighbours"].ravel(), default=0))
        return cls(**{name: arrays[name] for name in DTYPES}, neighbours=neighbours)

    def fault(self, n_features: int) -> str:
        """Say what does not fit together, or to a head of so many features; empty if nothing."""
        q, r = self.axes.shape if self.axes.ndim == 2 else (-1, -1)
        shapes = {
            "positions": (q,),
            "mean": (q,),
            "scale": (q,),
            "rows": (*self.rows.shape[:1], r),
            "distances": (self.distances.size,),
        }
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.shape != shape:
                return f"{name} of the novelty has the shape {array.shape} instead of {shape}"
        if not all(np.isfinite(getattr(self, name)).all() for name in DTYPES):
            return "the novelty holds NaN or infinity"
        if q < 1 or self.positions[0] < 0 or self.positions[-1] >= n_features or (np.diff(self.positions) < 1).any():
            return f"the positions of the novelty are not ascending ones below {n_features}"
        if (self.scale < 0).any() or (self.distances < 0).any():
            return "the novelty holds a negative scale or distance"
        if not 1 <= self.neighbours <= len(self.rows):
            return f"the novelty looks at {self.neighbours} of {len(self.rows)} training images"
        return "" if len(self.distances) else "the novelty has no distance to compare with"


NAMES = frozenset(field.name for field in fields(Novelty))
"""The arrays of a `Novelty`."""
