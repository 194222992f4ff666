"""The labels of VTAB-1k's structured tasks, made of what the original data says of an image.

Source: google-research/task_adaptation, `task_adaptation/data/{clevr,kitti,dsprites}.py` (commit d2a72ed).
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from head2toe.store.common.errors import DataError

CLEVR_LEAST_OBJECTS = 3
"""Number of objects that every scene of CLEVR has at least; ten are the most."""
CLEVR_DISTANCES = (0.0, 8.0, 8.5, 9.0, 9.5, 10.0, 100.0)
"""Bounds of CLEVR's distances, in the units of its `pixel_coords`."""
KITTI_DISTANCES = (-100.0, 8.0, 20.0, 999.0)
"""Bounds of KITTI's distances in metres; what lies past the last has no vehicle."""
KITTI_VEHICLES = 3
"""Types below this one are vehicles: car, van, truck."""
KITTI_NO_VEHICLE = 1000.0
"""The distance in metres that an image without a vehicle is given."""

CLEVR_COUNT_CLASSES = tuple(f"{n} objects" for n in range(CLEVR_LEAST_OBJECTS, 11))
CLEVR_DISTANCE_CLASSES = tuple(f"nearest in ({a:g}, {b:g}]" for a, b in pairwise(CLEVR_DISTANCES))
KITTI_CLASSES = ("vehicle within 8 m", "vehicle in (8, 20] m", "vehicle beyond 20 m", "no vehicle")


def bin_below(value: float, bounds: Sequence[float]) -> int:
    """Return the highest i with bounds[i] < value: a value on a bound belongs to the bin under it.

    Raises
    ------
    DataError
        The value lies under all bounds, or is no number.
    """
    below = [i for i, bound in enumerate(bounds) if bound < value]
    if not below:
        raise DataError(f"{value:g} is not above {bounds[0]:g}, the least bound of this task's classes")
    return below[-1]


def clevr_count(n_objects: int) -> int:
    """Return the label of CLEVR's count task: the number of objects, less the 3 that every scene has at least."""
    return n_objects - CLEVR_LEAST_OBJECTS


def clevr_distance(pixel_coords: np.ndarray) -> int:
    """Return the label of CLEVR's distance task: the bin of the nearest object's distance.

    Parameters
    ----------
    pixel_coords : (n_objects, 3) array
        Where each object is seen; the third number is its distance from the camera.

    Raises
    ------
    DataError
        A distance is not above 0.
    """
    return bin_below(float(np.min(pixel_coords[:, 2])), CLEVR_DISTANCES)


def kitti_distance(types: np.ndarray, locations: np.ndarray) -> int:
    """Return the label of KITTI's task: the bin of the nearest vehicle's distance, the last one without a vehicle.

    Parameters
    ----------
    types : (n_objects,) integer array
        Classes of the objects in the order of TensorFlow Datasets.
    locations : (n_objects, 3) array
        Where each object is, in metres from the camera; the third number points away from it.

    Raises
    ------
    DataError
        A distance is not above -100 m.
    """
    depths = np.asarray(locations).reshape(-1, 3)[np.asarray(types) < KITTI_VEHICLES, 2]
    return bin_below(float(np.min(depths, initial=KITTI_NO_VEHICLE)), KITTI_DISTANCES)


def merged_label(value: int, n_values: int, n_classes: int) -> int:
    """Return a value's label where neighbours are merged: floor(value / (n_values / n_classes)), in integers.

    dSprites' 32 positions become 16 classes of two; its 40 orientations 16 of three or two (there are 2.5 a class).
    """
    return value * n_classes // n_values


def merged_class_names(word: str, n_values: int, n_classes: int) -> tuple[str, ...]:
    """Return the names of the classes of `merged_label`: the word, and the range of values in each."""
    values = [[v for v in range(n_values) if merged_label(v, n_values, n_classes) == c] for c in range(n_classes)]
    return tuple(f"{word} {members[0]}-{members[-1]}" for members in values)
