"""Folds and hold-outs: which training row is held out when, and which rows are the test where a task brings none."""

import warnings
from collections.abc import Sequence

import numpy as np
from head2toe.store.errors import DataError

N_FOLDS = 5
HOLD_OUT = 0.2
"""The fraction of the images of a task without test images that become its test."""


def contiguous_folds(n: int) -> np.ndarray:
    """Five contiguous slices, as the paper cuts VTAB-1k's thousand rows (`vtab5`)."""
    return np.arange(n, dtype=np.int64) * N_FOLDS // n


def stratified_folds(labels: np.ndarray, seed: int) -> np.ndarray:
    """Five folds with every class dealt out as evenly as its size allows."""
    rng = np.random.default_rng(seed)
    folds = np.empty(len(labels), dtype=np.int64)
    dealt = 0
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        # Go on where the last class stopped: else all small classes would land in the first folds.
        folds[rows] = (dealt + np.arange(len(rows))) % N_FOLDS
        dealt += len(rows)
    return folds


def grouped_folds(labels: np.ndarray, groups: Sequence[str], seed: int) -> np.ndarray:
    """Five folds, as even in classes as they can be with every group (a patient, a scene) whole in one of them.

    Raises
    ------
    DataError
        There are fewer than five groups.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if (n_groups := len(set(groups))) < N_FOLDS:
        raise DataError(f"{n_groups} groups of images: {N_FOLDS} folds need {N_FOLDS} groups at least")
    if (largest := int(np.bincount(labels).max(initial=0))) < N_FOLDS:
        raise DataError(f"the largest class has {largest} images: {N_FOLDS} folds need a class of {N_FOLDS} at least")
    splitter = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=seed)
    folds = np.empty(len(labels), dtype=np.int64)
    with warnings.catch_warnings():
        # It warns of classes with fewer rows than folds: those can't be even, whatever the folds.
        warnings.simplefilter("ignore", UserWarning)
        for fold, (_, held_out) in enumerate(splitter.split(labels, labels, groups)):
            folds[held_out] = fold
    return numbered(folds)


def numbered(folds: np.ndarray) -> np.ndarray:
    """Folds of any numbering as 0, 1, 2, … in the same order."""
    return np.unique(folds, return_inverse=True)[1].astype(np.int64)


def hold_out(labels: np.ndarray, groups: Sequence[str] | None, seed: int) -> np.ndarray:
    """Mask (n,) of the rows that become the test: a fifth of every class, or about a fifth with whole groups.

    At least one row of every class with two or more is held out, and at least one is left; a class with a single row
    stays with the training rows.
    """
    if groups is not None:
        return grouped_folds(labels, groups, seed) == 0
    rng = np.random.default_rng(seed)
    held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        held_out[rows[: max(1, round(HOLD_OUT * len(rows))) if len(rows) > 1 else 0]] = True
    return held_out
