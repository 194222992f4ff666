"""Folds and hold-outs: which training row is held out when, and which rows are the test where a task brings none."""

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from head2toe.extract.listing import Listing
from head2toe.store.errors import BadRequest, DataError

N_FOLDS = 5
HOLD_OUT = 0.2
"""The fraction of the images of a task without test images that become its test."""
FOLDS = ("auto", "vtab5", "stratified")
"""
auto        the folds that the task brings; else vtab5 where the order of its rows is part of it, else stratified
vtab5       five contiguous slices of the training rows, the paper's
stratified  five folds, every class dealt out evenly; with groups, each of them whole in one fold
"""


def choose_folds(listing: Listing, how: str, seed: int) -> np.ndarray:
    """Folds (n_train,) int64 for a listing's training rows, in one of the ways of `FOLDS`.

    Raises
    ------
    BadRequest
        There is no such way.
    DataError
        The listing's groups forbid it.
    """
    if how not in FOLDS:
        raise BadRequest(f"unknown folds {how!r}: choose from {', '.join(FOLDS)}")
    groups = listing.groups
    if how == "auto" and listing.folds is not None:
        folds = numbered(listing.folds)
    elif how == "vtab5" or (how == "auto" and listing.ordered):
        folds = contiguous_folds(len(listing.train))
    elif groups is not None:
        return grouped_folds(listing.train_labels, groups, seed)
    else:
        return stratified_folds(listing.train_labels, seed)
    if groups is not None:
        _check_groups(folds, groups, listing.source)
    return folds


def hold_out_test(listing: Listing, seed: int, fraction: float = HOLD_OUT) -> Listing:
    """The listing with a test: its own, or a part of its training rows, which a note says."""
    if listing.test or not listing.train:
        return listing
    out = hold_out(listing.train_labels, listing.groups, seed, fraction)
    kept = np.flatnonzero(~out)
    how = f"groups whole, seed {seed}" if listing.groups else f"stratified, seed {seed}"
    note = f"no test images: {out.sum()} of {len(out)} rows are held out as the test ({how})"
    return replace(
        listing,
        train=[listing.train[i] for i in kept],
        test=[listing.train[i] for i in np.flatnonzero(out)],
        folds=None if listing.folds is None else listing.folds[kept],
        groups=None if listing.groups is None else tuple(listing.groups[i] for i in kept),
        notes=(*listing.notes, note),
    )


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


def grouped_folds(labels: np.ndarray, groups: Sequence[str], seed: int, n_folds: int = N_FOLDS) -> np.ndarray:
    """Folds, as even in classes as they can be with every group (a patient, a scene) whole in one of them.

    Raises
    ------
    DataError
        There are fewer groups than folds, or no class has as many images.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if (n_groups := len(set(groups))) < n_folds:
        raise DataError(f"{n_groups} groups of images: {n_folds} folds need {n_folds} groups at least")
    if (largest := int(np.bincount(labels).max(initial=0))) < n_folds:
        raise DataError(f"the largest class has {largest} images: {n_folds} folds need a class of {n_folds} at least")
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    folds = np.empty(len(labels), dtype=np.int64)
    with warnings.catch_warnings():
        # It warns of classes with fewer rows than folds: those can't be even, whatever the folds.
        warnings.simplefilter("ignore", UserWarning)
        for fold, (_, held_out) in enumerate(splitter.split(labels, labels, groups)):
            folds[held_out] = fold
    return numbered(folds)


def numbered(folds: np.ndarray) -> np.ndarray:
    """Folds of any numbering as 0, 1, 2, … in the same order, none of them empty."""
    return np.unique(folds, return_inverse=True)[1].astype(np.int64)


def hold_out(labels: np.ndarray, groups: Sequence[str] | None, seed: int, fraction: float = HOLD_OUT) -> np.ndarray:
    """Mask (n,) of the rows that become the test: a fraction of every class, or about as much with whole groups.

    Of a class with three or more rows at least one is held out, and at least two are left to learn from and to judge
    on; a smaller class stays with the training rows.
    """
    if groups is not None:
        return grouped_folds(labels, groups, seed, max(2, round(1 / fraction))) == 0
    rng = np.random.default_rng(seed)
    held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        held_out[rows[: min(max(1, round(fraction * len(rows))), max(0, len(rows) - 2))]] = True
    return held_out


def _check_groups(folds: np.ndarray, groups: Sequence[str], source: str) -> None:
    """No group on both sides of a fold. Raises DataError that names one."""
    fold_of: dict[str, int] = {}
    for group, fold in zip(groups, folds.tolist(), strict=True):
        if fold_of.setdefault(group, fold) != fold:
            raise DataError(
                f"group {group!r} in {source} has rows in several folds: a group must be whole in one; "
                "--folds stratified draws such folds"
            )
