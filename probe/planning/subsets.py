"""Fewer labels than there are: nested parts of the training rows, with what is left out of all of them to judge by.

A task of n labels in K folds, had it m labels, would train on (K - 1) / K · m rows. For each fold of the task, heads
are trained on so many rows of the other folds, and judged on all rows of that fold: each point of a learning curve is
thus judged on all n rows, however few labels it is about, and no row has a part in what it is predicted by.

Which m rows these are is chance, and what an accuracy owes to that is as large as its standard error over the folds:
so they are drawn repeatedly.
"""

from collections.abc import Sequence

import numpy as np
from head2toe.probe.choice.nested import FEWEST as FEWEST_FOLDS
from head2toe.probe.choice.nested import Split, outer_folds
from head2toe.store.common.errors import BadRequest
from head2toe.store.common.labelled import numbered

STEP = 2**-0.5
"""From one size to the next smaller one."""
POINTS = 6
FEWEST_PER_CLASS = 3
FEWEST = 12


def usual_sizes(n: int, n_classes: int) -> tuple[int, ...]:
    """Choose at most `POINTS` numbers of labels, ascending, the last n: each half as many as the next but one.

    Raises
    ------
    BadRequest
        There are too few rows for three sizes.
    """
    fewest = max(FEWEST, FEWEST_PER_CLASS * n_classes)
    sizes = [round(n * STEP**step) for step in range(POINTS)]
    kept = tuple(sorted(size for size in sizes if size >= fewest))
    if len(kept) < 3:
        raise BadRequest(
            f"a learning curve takes three sizes of {fewest} rows or more, the largest of all: {n} rows are too few "
            "for that"
        )
    return kept


def subsets(
    labels: np.ndarray, folds: np.ndarray, sizes: Sequence[int], seed: int, repeats: int
) -> list[list[list[Split]]]:
    """Make the splits of every size.

    Parameters
    ----------
    labels : (n,) int array
        Of the training rows.
    folds : (n,) int array
        The fold that holds each out; rows of fold -1 always train, and are part of every subset first.
    sizes : sequence of int
        Numbers of labels, of n at most.
    seed : int
        Draws the orders in which rows are taken: the same seed draws the same subsets, and a larger one holds every
        smaller one of its repeat and fold.
    repeats : int
        How many orders are drawn for each fold.

    Returns
    -------
    list of list of list of Split
        For each size its repeats, and for each of these a split for each fold. All n rows are taken once.

    Raises
    ------
    BadRequest
        The task has fewer than three folds; or a size leaves a fold nothing to be trained on, or one class alone.
    """
    n, n_folds = len(labels), int(folds.max()) + 1
    if n_folds < FEWEST_FOLDS:
        raise BadRequest(
            f"a learning curve needs {FEWEST_FOLDS} folds or more, and the task has {n_folds}: try --folds stratified"
        )
    outer = outer_folds(folds)
    orders = [[_order(labels, split, [seed, k, repeat]) for k, split in enumerate(outer)] for repeat in range(repeats)]
    return [
        [
            [_part(labels, split, order, size, n) for split, order in zip(outer, of_folds, strict=True)]
            for of_folds in (orders if size < n else orders[:1])
        ]
        for size in sizes
    ]


def _order(labels: np.ndarray, split: Split, seed: list[int]) -> np.ndarray:
    """Order a split's training rows, those of fold -1 first."""
    order = stratified_order(labels[split.training], np.random.default_rng(seed))
    always = split.folds[order] < 0
    return np.concatenate([order[always], order[~always]])


def _part(labels: np.ndarray, split: Split, order: np.ndarray, size: int, n: int) -> Split:
    """Return a split with as many of its training rows, in this order, as a task of `size` labels instead of n has."""
    taken = np.sort(order[: round(size * len(order) / n)])
    _require_heads(labels[split.training[taken]], split.folds[taken], size)
    return Split(np.concatenate([split.training[taken], split.predicted]), numbered(split.folds[taken]))


def _require_heads(labels: np.ndarray, folds: np.ndarray, size: int) -> None:
    """Raise BadRequest where a fold of a subset leaves fewer than two classes to train on, or none holds out a row."""
    held_out = np.unique(folds[folds >= 0])
    if not len(held_out) or any(len(np.unique(labels[folds != fold])) < 2 for fold in held_out):
        raise BadRequest(f"{size} labels are too few for a point of a learning curve: a fold must leave two classes")


def stratified_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Order rows (n,) so that every beginning has about the shares of classes that all of them have.

    Parameters
    ----------
    labels : (n,) int array
    rng : Generator
    """
    place = np.empty(len(labels))
    for label in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == label))
        place[own] = (np.arange(len(own)) + rng.uniform()) / len(own)
    return np.argsort(place, kind="stable")
