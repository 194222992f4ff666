"""The assignment of whole groups of rows to a test or to folds, as even in every class as groups allow.

Rows of one group (a patient, a scene) stay together, so that only sums over groups can be chosen. Written as numbers
n_gc of rows of class c in group g, both questions are subset sums in every class at once: small ones are solved by
trying all assignments, others by descent from several starts (moves of one group, swaps of two).
"""

from collections.abc import Iterator, Sequence
from itertools import product
from math import comb, prod
from typing import Protocol

import numpy as np

_MOST_TRIED = 50_000
"""So many assignments are tried one and all; beyond that, descent looks for a good one."""
_MOST_STARTS = 8
_MOST_SWAPPED = 200
"""Groups up to which descent swaps pairs; with more of them, moves of one come as near."""
_NEVER = 1e6
"""The cost of a class that is on one side alone and could be on both: no unevenness outweighs it."""
_EMPTY = 1e12
"""The cost of a part without any group."""
_RATHER_NOT = 1e3
"""The cost of a class of which a part has fewer groups than it could need."""


class PartCost(Protocol):
    """What a part costs, given what it holds; an assignment costs as much as all its parts together."""

    def __call__(self, part: int, rows: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Return the costs (m,) of m states of a part: rows (m, C) and groups (m, C) of each class, and all groups."""


def held_out_groups(labels: np.ndarray, groups: Sequence[str], fraction: float, seed: int) -> np.ndarray:
    """Choose the groups whose rows become a test: of every class as near to a fraction of its rows as groups allow.

    Unevenness is the sum over classes of (held out - fraction n)² / n. Before that comes: every class of two groups or
    more has rows on both sides, and every class of three or more leaves two groups, so that folds can train on one and
    judge on the other; two groups at least are left.

    Parameters
    ----------
    labels : (n,) int array
        The class of each row.
    groups : sequence of str
        The group of each row.
    fraction : float
        How much of every class is to be held out.
    seed : int
        Draws among assignments that are as good.

    Returns
    -------
    (n,) bool array
        Whether a row is held out.
    """
    counts, of_row = _counts(labels, groups)
    n_groups, sizes, spread = len(counts), counts.sum(axis=0), (counts > 0).sum(axis=0)

    def cost(part: int, rows: np.ndarray, groups: np.ndarray) -> np.ndarray:
        missing = _NEVER * ((rows == 0) & (spread >= 2)).sum(axis=1)
        if part == 0:  # what is left
            few = ((groups[:, :-1] < 2) & (spread >= 3)).sum(axis=1) + (groups[:, -1] < min(2, n_groups - 1))
            return np.asarray(missing + _RATHER_NOT * few)
        uneven = ((rows - fraction * sizes) ** 2 / sizes).sum(axis=1)
        return np.asarray(missing + uneven + _EMPTY * (groups[:, -1] == 0))

    held_out: np.ndarray = _best(counts, 2, cost, seed)[of_row] == 1
    return held_out


def group_folds(labels: np.ndarray, groups: Sequence[str], n_folds: int, seed: int) -> np.ndarray:
    """Choose folds of whole groups, of every class as near to n / n_folds rows in each as groups allow.

    Unevenness is the sum over classes and folds of (rows in the fold - n / n_folds)² / n. Before that comes: no fold is
    empty, none holds out all of a class of two groups or more, and as few as possible lack a class.

    Parameters
    ----------
    labels : (n,) int array
        The class of each row.
    groups : sequence of str
        The group of each row; there are `n_folds` or more.
    n_folds : int
        Number of folds.
    seed : int
        Draws among assignments that are as good.

    Returns
    -------
    (n,) int64 array
        The fold of each row.
    """
    counts, of_row = _counts(labels, groups)
    sizes, spread = counts.sum(axis=0), (counts > 0).sum(axis=0)

    def cost(part: int, rows: np.ndarray, groups: np.ndarray) -> np.ndarray:  # noqa: ARG001 (all parts are alike)
        whole = _NEVER * ((rows == sizes) & (spread >= 2)).sum(axis=1)
        uneven = ((rows - sizes / n_folds) ** 2 / sizes).sum(axis=1)
        return np.asarray(whole + _RATHER_NOT * (rows == 0).sum(axis=1) + uneven + _EMPTY * (groups[:, -1] == 0))

    folds: np.ndarray = _best(counts, n_folds, cost, seed)[of_row].astype(np.int64)
    return folds


def _counts(labels: np.ndarray, groups: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of each class that occurs in each group (n_groups, C), and the group's number of each row."""
    names, of_row = np.unique(np.asarray(groups), return_inverse=True)
    _, classes = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(names), int(classes.max()) + 1))
    np.add.at(counts, (of_row, classes), 1)
    return counts, of_row


def _best(counts: np.ndarray, n_parts: int, cost: PartCost, seed: int) -> np.ndarray:
    """The part (0, 1, …) of each group at the least cost found; the least there is where few are to be tried."""
    rng = np.random.default_rng(seed)
    holds = np.concatenate([counts > 0, np.ones((len(counts), 1))], axis=1).astype(np.float64)
    tried = _assignments(_kinds(counts, rng), n_parts, len(counts))
    if tried is None:
        starts = min(_MOST_STARTS, max(1, 2 * _MOST_SWAPPED // len(counts)))
        tried = np.stack([_descend(counts, holds, n_parts, cost, rng) for _ in range(starts)])
    costs = np.zeros(len(tried))
    for part in range(n_parts):
        inside = (tried == part).astype(np.float64)
        costs += cost(part, inside @ counts, inside @ holds)
    best = np.flatnonzero(costs <= costs.min() * (1 + 1e-12) + 1e-12)
    chosen: np.ndarray = tried[best[rng.integers(len(best))]]
    return chosen


def _kinds(counts: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """The groups of each kind in random order: which of two groups with the same rows is taken makes no difference."""
    order = rng.permutation(len(counts))
    _, kind = np.unique(counts[order], axis=0, return_inverse=True)
    return [order[kind.ravel() == number] for number in range(int(kind.max()) + 1)]


def _assignments(kinds: Sequence[np.ndarray], n_parts: int, n_groups: int) -> np.ndarray | None:
    """Assignments (m, n_groups) that differ in how many groups of a kind a part gets; None if they are too many."""
    if prod(comb(len(members) + n_parts - 1, n_parts - 1) for members in kinds) > _MOST_TRIED:
        return None
    shares = [list(_shares(len(members), n_parts)) for members in kinds]
    rows = np.empty((prod(map(len, shares)), n_groups), dtype=np.int64)
    for row, choice in zip(rows, product(*shares), strict=True):
        for members, share in zip(kinds, choice, strict=True):
            row[members] = np.repeat(np.arange(n_parts), share)
    return rows


def _shares(n: int, n_parts: int) -> Iterator[tuple[int, ...]]:
    """All ways to share n things of a kind among parts."""
    if n_parts == 1:
        yield (n,)
        return
    for first in range(n + 1):
        for rest in _shares(n - first, n_parts - 1):
            yield (first, *rest)


def _descend(
    counts: np.ndarray, holds: np.ndarray, n_parts: int, cost: PartCost, rng: np.random.Generator
) -> np.ndarray:
    """An assignment that no move of one group, and no swap of two, betters, from a random start; large groups first."""
    n_groups = len(counts)
    state = _State(counts, holds, rng.integers(n_parts, size=n_groups), n_parts, cost)
    order = np.lexsort((rng.random(n_groups), -counts.sum(axis=1)))
    improved = True
    while improved:
        improved = False
        for swapping in (False, True)[: 1 + (n_groups <= _MOST_SWAPPED)]:
            while sum(state.improve(int(group), swapping=swapping) for group in order):
                improved = True
    return state.part


class _State:
    """An assignment, what its parts hold and what they cost, all kept in step."""

    def __init__(self, counts: np.ndarray, holds: np.ndarray, part: np.ndarray, n_parts: int, cost: PartCost) -> None:
        self.part, self._counts, self._holds, self._cost = part, counts, holds, cost
        inside = (part == np.arange(n_parts)[:, None]).astype(np.float64)
        self._rows, self._groups = inside @ counts, inside @ holds
        self._costs = np.array([self._of(p, self._rows[p], self._groups[p])[0] for p in range(n_parts)])

    def improve(self, group: int, *, swapping: bool) -> bool:
        """Move a group, alone or in exchange for another, to where that betters the cost most; False if nowhere."""
        here = self.part[group]
        options = []
        for there in range(len(self._costs)):
            partners = np.flatnonzero(self.part == there) if swapping else np.array([-1])
            if there == here or not len(partners):
                continue
            rows, groups = self._counts[group] + 0.0, self._holds[group] + 0.0
            if swapping:
                rows, groups = rows - self._counts[partners], groups - self._holds[partners]
            changed = self._of(here, self._rows[here] - rows, self._groups[here] - groups)
            changed = changed + self._of(there, self._rows[there] + rows, self._groups[there] + groups)
            gains = self._costs[here] + self._costs[there] - changed
            best = int(gains.argmax())
            options.append((gains[best], there, int(partners[best])))
        gain, there, partner = max(options, default=(0.0, 0, -1))
        if gain <= 1e-9:
            return False
        self._put(group, there)
        if swapping:
            self._put(partner, here)
        for changed_part in (here, there):
            self._costs[changed_part] = self._of(changed_part, self._rows[changed_part], self._groups[changed_part])[0]
        return True

    def _put(self, group: int, there: int) -> None:
        here = self.part[group]
        self._rows[[here, there]] += np.stack([-self._counts[group], self._counts[group]])
        self._groups[[here, there]] += np.stack([-self._holds[group], self._holds[group]])
        self.part[group] = there

    def _of(self, part: int, rows: np.ndarray, groups: np.ndarray) -> np.ndarray:
        return self._cost(part, np.atleast_2d(rows), np.atleast_2d(groups))
