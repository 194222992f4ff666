"""What VTAB-1k's nineteen tasks are in TensorFlow Datasets: builders, rows of each split, labels.

Source: google-research/task_adaptation, `task_adaptation/data/*.py` (commit d2a72ed; `dmlab.py` of 577296a).
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from head2toe.extract.readers.vtab_lists import TEST_LIST, TRAIN800, VAL200
from head2toe.extract.vtab import labels
from head2toe.extract.vtab.tasks import N_TRAIN, N_VAL
from head2toe.store.common.errors import DataError
from PIL import Image

Example = Mapping[str, Any]
Sizes = Mapping[str, int]


@dataclass(frozen=True)
class Cut:
    """Rows of one of a builder's splits.

    Attributes
    ----------
    split : str
        The builder's split: `train`, `validation` or `test`.
    start, stop : int
        Percentages of the split between which the rows lie.
    rows : int, optional
        How many of these rows are taken, the first ones; all by default.
    """

    split: str
    start: int = 0
    stop: int = 100
    rows: int | None = None

    def bounds(self, sizes: Sizes) -> tuple[int, int]:
        """Return the first row and the row after the last one; p % of n rows are int(n p / 100).

        Parameters
        ----------
        sizes : mapping of str to int
            Number of rows in each of the builder's splits.

        Raises
        ------
        DataError
            The split is missing or too short.
        """
        n = sizes.get(self.split, 0)
        first = n * self.start // 100
        last = n * self.stop // 100 if self.rows is None else first + self.rows
        if not first < last <= n:
            raise DataError(f"split {self.split!r} has {n} rows: rows {first} to {last} are needed")
        return first, last

    def spec(self, sizes: Sizes) -> str:
        """Return the cut as TensorFlow Datasets writes it, in absolute rows: `train[45000:45200]`.

        Parameters and errors are those of `bounds`.
        """
        first, last = self.bounds(sizes)
        return f"{self.split}[{first}:{last}]"


def _label(example: Example) -> int:
    return int(example["label"])


def _as_stored(content: bytes) -> bytes:
    return content


def _times_255(content: bytes) -> np.ndarray:
    """Pixels of dSprites, which are 0 and 1, as grey."""
    return np.asarray(Image.open(io.BytesIO(content), formats=["PNG"]).convert("L")) * np.uint8(255)


@dataclass(frozen=True)
class Recipe:
    """Where a task is in TensorFlow Datasets, and what its rows and labels are there.

    Attributes
    ----------
    builder : str
        The builder and its version, as TensorFlow Datasets writes them: `dtd:3.*.*`.
    val, test : Cut
        Validation rows and test rows; training rows are the first 800 of the split `train`.
    label : callable
        Returns the label (int) of an example.
    definition : str
        The label in words.
    classes : tuple of str, or str
        Class names in label order, or the builder's feature that holds them.
    image : callable
        Returns an image file's bytes, or uint8 pixels, of the encoded image that the builder keeps.
    later : str, optional
        A version to take where TensorFlow Datasets no longer has that one; its rows may be others.
    """

    builder: str
    val: Cut
    test: Cut
    label: Callable[[Example], int] = _label
    definition: str = "label"
    classes: tuple[str, ...] | str = "label"
    image: Callable[[bytes], bytes | np.ndarray] = _as_stored
    later: str | None = None

    @property
    def cuts(self) -> dict[str, Cut]:
        """The rows of each list of the VTAB-1k layout."""
        return {TRAIN800: Cut("train", rows=N_TRAIN), VAL200: self.val, TEST_LIST: self.test}


def _official(builder: str) -> Recipe:
    """A builder that has all three splits."""
    return Recipe(builder, Cut("validation", rows=N_VAL), Cut("test"))


def _tail_of_train(builder: str, percent: int, test: str = "test", **others: Any) -> Recipe:
    """A builder without validation rows: they start behind `percent` of the training rows."""
    return Recipe(builder, Cut("train", percent, rows=N_VAL), Cut(test), **others)


def _all_from_train(builder: str, percent: int, percent_both: int, **others: Any) -> Recipe:
    """A builder with a single split: training, validation and test rows are cut from it."""
    return Recipe(builder, Cut("train", percent, rows=N_VAL), Cut("train", percent_both), **others)


def _dsprites(feature: str, word: str, n_values: int) -> Recipe:
    return _all_from_train(
        "dsprites:2.*.*",
        80,
        90,
        label=lambda example: labels.merged_label(int(example[feature]), n_values, 16),
        definition=f"floor({feature} / {n_values / 16:g})",
        classes=labels.merged_class_names(word, n_values, 16),
        image=_times_255,
    )


def _smallnorb(feature: str) -> Recipe:
    """Validation and test are the two halves of the builder's test split."""
    return Recipe(
        "smallnorb:2.*.*",
        val=Cut("test", rows=N_VAL),
        test=Cut("test", 50),
        label=lambda example: int(example[feature]),
        definition=feature,
        classes=feature,
    )


VTAB_RECIPES: dict[str, Recipe] = {
    "cifar": _tail_of_train("cifar100:3.*.*", 90),
    "caltech101": _tail_of_train("caltech101:3.*.*", 90),
    "dtd": _official("dtd:3.*.*"),
    "oxford_flowers102": _official("oxford_flowers102:2.*.*"),
    "oxford_iiit_pet": _tail_of_train("oxford_iiit_pet:3.*.*", 80, later="oxford_iiit_pet:4.*.*"),
    "svhn": _tail_of_train("svhn_cropped:3.*.*", 90),
    "sun397": _official("sun397/tfds:4.*.*"),
    "patch_camelyon": _official("patch_camelyon:2.*.*"),
    "eurosat": _all_from_train("eurosat/rgb:2.*.*", 60, 80),
    "resisc45": _all_from_train("resisc45:3.*.*", 60, 80),
    "diabetic_retinopathy": _official("diabetic_retinopathy_detection/btgraham-300:3.*.*"),
    "clevr_count": _tail_of_train(
        "clevr:3.*.*",
        90,
        test="validation",
        label=lambda example: labels.clevr_count(len(example["objects"]["size"])),
        definition="number of objects - 3",
        classes=labels.CLEVR_COUNT_CLASSES,
    ),
    "clevr_dist": _tail_of_train(
        "clevr:3.*.*",
        90,
        test="validation",
        label=lambda example: labels.clevr_distance(example["objects"]["pixel_coords"]),
        definition="least pixel_coords[:, 2] of all objects, binned at 0, 8, 8.5, 9, 9.5, 10, 100",
        classes=labels.CLEVR_DISTANCE_CLASSES,
    ),
    "dmlab": _official("dmlab:2.0.*"),  # task_adaptation says 2.0.0; where there is only 2.0.1, its data is the same
    "kitti": Recipe(
        "kitti:3.1.0",
        val=Cut("validation", rows=N_VAL),
        test=Cut("test"),
        label=lambda example: labels.kitti_distance(example["objects"]["type"], example["objects"]["location"]),
        definition="least location[:, 2] of the objects of type < 3 (1000 without any), binned at -100, 8, 20, 999",
        classes=labels.KITTI_CLASSES,
    ),
    "dsprites_loc": _dsprites("label_x_position", "x position", 32),
    "dsprites_ori": _dsprites("label_orientation", "orientation", 40),
    "smallnorb_azi": _smallnorb("label_azimuth"),
    "smallnorb_ele": _smallnorb("label_elevation"),
}
"""Recipes by the task's folder in the shared layout, the one name of a task that all sources agree on."""
