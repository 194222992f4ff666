"""Folds and hold-outs: which fold holds out each training row, and which rows are the test if a task brings none."""

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from head2toe.extract.readers.listing import Listing
from head2toe.store.common.errors import BadRequest, DataError

N_FOLDS = 5
"""Number of folds that are drawn where the task brings none (the paper's, too)."""
HOLD_OUT = 0.2
"""The fraction of its images that a task without test images holds out as the test; of validation rows likewise."""
NEVER = -1
"""The fold of a training row that no fold holds out: it always trains (as in scikit-learn's `PredefinedSplit`)."""
VTAB_SPLIT = (800, 200)
"""How many rows of VTAB-1k train while settings are chosen, and how many judge."""
FOLDS = ("auto", "vtab5", "stratified", "800/200", "holdout")
"""The ways to make folds.

auto        the folds that the task brings; else vtab5 where the order of its rows is part of it, else stratified
vtab5       five contiguous slices of the training rows, the paper's
stratified  five folds, every class dealt out evenly; with groups, each of them whole in one fold
800/200     one fold, VTAB's: the first 800 training rows always train, the 200 after them are held out
holdout     one fold: the task's own validation rows, else a fifth of its training rows
"""


def choose_folds(listing: Listing, how: str, seed: int) -> np.ndarray:
    """Choose the fold that holds out each training row of a listing.

    Parameters
    ----------
    listing : Listing
        The task's images and labels.
    how : str
        One of `FOLDS`.
    seed : int
        Draws the folds that are drawn.

    Returns
    -------
    (n_train,) int64 array
        Folds 0, 1, 2, …; `NEVER` for a row that always trains.

    Raises
    ------
    BadRequest
        There is no such way to make folds.
    DataError
        The listing's groups or its number of rows forbid it.
    """
    if how not in FOLDS:
        raise BadRequest(f"unknown folds {how!r}: choose from {', '.join(FOLDS)}")
    groups = listing.groups
    if how == "800/200":
        folds = vtab_split(listing)
    elif how == "holdout":
        folds = np.where(np.asarray(hold_out_validation(listing, seed).validation), 0, NEVER)
    elif how == "auto" and listing.folds is not None:
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
    """Return the listing with a test: its own, or a part of its training rows, which a note says.

    Parameters
    ----------
    listing : Listing
        The task's images and labels.
    seed : int
        Draws the part.
    fraction : float
        How much of every class becomes the test.

    Raises
    ------
    DataError
        There are too few groups, or too few images in each class, to hold out whole groups.
    """
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
        validation=None if listing.validation is None else listing.validation[kept],
        groups=None if listing.groups is None else tuple(listing.groups[i] for i in kept),
        notes=(*listing.notes, note),
    )


def hold_out_validation(listing: Listing, seed: int, fraction: float = HOLD_OUT) -> Listing:
    """Return the listing with validation rows: its own, or a part of its training rows, which a note says.

    That part is the last one where the order of the rows is part of the task, else it is drawn. Parameters and errors
    are those of `hold_out_test`.
    """
    if listing.validation is not None and listing.validation.any():
        return listing
    n = len(listing.train)
    if listing.ordered:
        out, how = np.arange(n) >= n - round(fraction * n), "the last ones"
    else:
        out = hold_out(listing.train_labels, listing.groups, seed, fraction)
        how = f"groups whole, seed {seed}" if listing.groups else f"stratified, seed {seed}"
    note = f"no validation images: {out.sum()} of {n} training rows are held out to choose settings by ({how})"
    return replace(listing, validation=out, notes=(*listing.notes, note))


def vtab_split(listing: Listing) -> np.ndarray:
    """Return VTAB's single split as folds (1000,) int64: 800 rows that always train, then 200 that are held out.

    Raises
    ------
    DataError
        The task has another number of training rows.
    """
    fit, held = VTAB_SPLIT
    if len(listing.train) != fit + held:
        raise DataError(
            f"{len(listing.train)} training images in {listing.source}: --folds 800/200 is for VTAB-1k's {fit + held}; "
            "--folds holdout takes the task's own validation images, or a fifth of the others"
        )
    return np.repeat(np.array([NEVER, 0], dtype=np.int64), VTAB_SPLIT)


def contiguous_folds(n: int) -> np.ndarray:
    """Return folds (n,) int64 of five contiguous slices, as the paper cuts VTAB-1k's thousand rows (`vtab5`)."""
    return np.arange(n, dtype=np.int64) * N_FOLDS // n


def stratified_folds(labels: np.ndarray, seed: int) -> np.ndarray:
    """Draw five folds (n,) int64 with every class dealt out as evenly as its size allows."""
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
    """Draw folds (n,) int64 as even in classes as they can be with every group (a patient, a scene) whole in one fold.

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
    """Return folds of any numbering as 0, 1, 2, … in the same order, none of them empty; `NEVER` stays what it is."""
    held = folds != NEVER
    consecutive = np.full(len(folds), NEVER, dtype=np.int64)
    consecutive[held] = np.unique(folds[held], return_inverse=True)[1]
    return consecutive


def hold_out(labels: np.ndarray, groups: Sequence[str] | None, seed: int, fraction: float = HOLD_OUT) -> np.ndarray:
    """Draw the mask (n,) of the rows that become the test: a fraction of every class, or about that in whole groups.

    Of a class with three or more rows at least one is held out, and at least two are left to learn from and to judge
    on; a smaller class stays with the training rows.
    """
    if groups is not None:
        held_out: np.ndarray = grouped_folds(labels, groups, seed, max(2, round(1 / fraction))) == 0
        return held_out
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
