"""Folds and hold-outs: which fold holds out each training row, and which rows are the test if a task brings none."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from head2toe.extract.options import FOLDS, is_folds
from head2toe.extract.readers.group_splits import group_folds, held_out_groups
from head2toe.extract.readers.listing import Listing
from head2toe.store.common.errors import BadRequest, DataError
from head2toe.store.common.labelled import numbered

N_FOLDS = 5
"""Number of folds that are drawn where the task brings none and has images enough (the paper's, too)."""
FEWEST_FOLDS = 2
HOLD_OUT = 0.2
"""The fraction of its images that a task without test images holds out as the test; of validation rows likewise."""
NEVER = -1
"""The fold of a training row that no fold holds out: it always trains (as in scikit-learn's `PredefinedSplit`)."""
_ALWAYS_TRAINS = ("-1", "-1.0")
"""What the column `fold` says of a row that no fold holds out."""
VTAB_SPLIT = (800, 200)
"""How many rows of VTAB-1k train while settings are chosen, and how many judge."""


def choose_folds(listing: Listing, how: str, seed: int) -> np.ndarray:
    """Choose the fold that holds out each training row of a listing.

    `auto` takes the folds that the task brings; else `vtab5` where the order of its rows is part of it; else five folds
    as of `stratified`, or fewer (see `adapted_folds`). `vtab5` is five contiguous slices of the training rows, the
    paper's; `stratified` five folds with every class dealt out evenly, each group whole in one fold; a number is that
    many of these. `800/200` is one fold, VTAB's: the first 800 training rows always train, the 200 after them are held
    out; `holdout` one fold of the task's own validation rows, else of a fifth of its training rows.

    Parameters
    ----------
    listing : Listing
        The task's images and labels.
    how : str
        One of `FOLDS`, or a number in digits.
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
    if not is_folds(how):
        raise BadRequest(f"unknown folds {how!r}: choose from {', '.join(FOLDS)}, or a number from 2 on")
    groups = listing.groups
    if how == "800/200":
        folds = vtab_split(listing)
    elif how == "holdout":
        folds = np.where(np.asarray(hold_out_validation(listing, seed).validation), 0, NEVER)
    elif how == "auto" and listing.folds is not None:
        folds = numbered(listing.folds)
    elif how == "vtab5" or (how == "auto" and listing.ordered):
        folds = contiguous_folds(len(listing.train))
    else:
        n_folds = adapted_folds(listing)[0] if how == "auto" else N_FOLDS if how == "stratified" else int(how)
        if n_folds > len(listing.train):
            raise DataError(f"{len(listing.train)} training images in {listing.source}: too few for {n_folds} folds")
        if groups is not None:
            return grouped_folds(listing.train_labels, groups, seed, n_folds)
        return stratified_folds(listing.train_labels, seed, n_folds)
    if groups is not None:
        _check_groups(folds, groups, listing.source)
    return folds


def adapted_folds(listing: Listing) -> tuple[int, str]:
    """Return how many folds `auto` draws, five or fewer, and why they are fewer; two at least.

    There are no more than groups, and no more than images (or groups) of the smallest class. A class of one, which no
    number of folds can share, does not count.
    """
    labels = listing.train_labels.tolist()
    groups = range(len(labels)) if listing.groups is None else listing.groups
    what = "training images" if listing.groups is None else "groups of training images"
    counts = np.bincount([label for label, _ in set(zip(labels, groups, strict=True))], minlength=len(listing.classes))
    n_groups, least = len(set(groups)), int(min((n for n in counts if n > 1), default=N_FOLDS))
    if min(n_groups, least) >= N_FOLDS:
        return N_FOLDS, ""
    if n_groups <= least:
        return max(FEWEST_FOLDS, n_groups), f"there are {n_groups} {what}"
    name = listing.classes[int(np.flatnonzero(counts == least)[0])]
    return max(FEWEST_FOLDS, least), f"class {name!r} has {least} {what} (--folds {N_FOLDS} draws five nevertheless)"


def fold_notes(listing: Listing, how: str) -> tuple[str, ...]:
    """Return the note that `auto` draws fewer folds than five, and why; empty where it draws five, or none."""
    if how != "auto" or listing.folds is not None or listing.ordered:
        return ()
    n_folds, why = adapted_folds(listing)
    return (f"{n_folds} folds instead of {N_FOLDS}: {why}",) if why else ()


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
        There are too few groups for a test and two folds.
    """
    if listing.test or not listing.train:
        return listing
    if listing.groups is not None and (n_groups := len(set(listing.groups))) <= FEWEST_FOLDS:
        raise DataError(
            f"{n_groups} group{'' if n_groups == 1 else 's'} of images in {listing.source}, of which one would be held "
            "out as the test, and two folds need two more: give it more groups, or no column group"
        )
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


def stratified_folds(labels: np.ndarray, seed: int, n_folds: int = N_FOLDS) -> np.ndarray:
    """Draw folds (n,) int64 with every class dealt out as evenly as its size allows."""
    rng = np.random.default_rng(seed)
    folds = np.empty(len(labels), dtype=np.int64)
    dealt = 0
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        # Go on where the last class stopped: else all small classes would land in the first folds.
        folds[rows] = (dealt + np.arange(len(rows))) % n_folds
        dealt += len(rows)
    return folds


def grouped_folds(labels: np.ndarray, groups: Sequence[str], seed: int, n_folds: int = N_FOLDS) -> np.ndarray:
    """Draw folds (n,) int64 as even in classes as they can be with every group (a patient, a scene) whole in one fold.

    See `group_folds`.

    Raises
    ------
    DataError
        There are fewer groups than folds.
    """
    if (n_groups := len(set(groups))) < n_folds:
        raise DataError(
            f"{n_groups} groups of training images: {n_folds} folds need {n_folds} groups; --folds auto takes fewer"
        )
    return group_folds(labels, groups, n_folds, seed)


def hold_out(labels: np.ndarray, groups: Sequence[str] | None, seed: int, fraction: float = HOLD_OUT) -> np.ndarray:
    """Draw the mask (n,) of the rows that become the test: a fraction of every class, or about that in whole groups.

    Of a class with three or more rows at least one is held out, and at least two are left to learn from and to judge
    on; a smaller class stays with the training rows. Groups are chosen as of `held_out_groups`.
    """
    if groups is not None:
        return held_out_groups(labels, groups, fraction, seed)
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


def folds_of_column(values: list[str], where: str) -> np.ndarray:
    """Return the column `fold`, whatever its numbers or names, as 0, 1, 2, …; -1 is a row that is never held out.

    Raises
    ------
    DataError
        All rows have the same; `where` says of which table.
    """
    held = np.array([value not in _ALWAYS_TRAINS for value in values])
    names = [value for value, out in zip(values, held, strict=True) if out]
    folds = np.full(len(values), NEVER, dtype=np.int64)
    folds[held] = np.unique([float(name) for name in names] if _numbers(names) else names, return_inverse=True)[1]
    if len(np.unique(folds)) < 2:
        raise DataError(f"the column fold in {where} has one value: cross-validation needs two or more")
    return folds


def _numbers(values: list[str]) -> bool:
    """Whether all are numbers; a table with gaps writes integers as 1.0."""
    return all(value.replace(".", "", 1).isdecimal() for value in values)
