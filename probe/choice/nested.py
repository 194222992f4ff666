"""Nested cross-validation: every fold is judged by heads whose settings, too, were chosen without it.

The folds that choose settings are a little hopeful: of many settings, the one that suits them best wins. Where there is
no test to look at, every fold in turn (the outer one) plays the test of the task that the other folds are, with those
as its folds: features are ranked, settings chosen and heads refitted on them alone (Stone 1974, JRSS B 36, 111-147;
Varma & Simon 2006, BMC Bioinformatics 7, 91).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from head2toe.probe.methods.outcome import Outcome
from head2toe.store.common.errors import BadRequest

FEWEST = 3
"""How many folds there must be: the outer one, and two to choose by."""


@dataclass(frozen=True, eq=False)
class Split:
    """Which rows of a task are learned from, in which folds, and which are predicted.

    Attributes
    ----------
    rows : (n,) int64 array
        Numbers of rows of the task: those that are learned from, then those that are predicted.
    folds : (m,) int64 array
        The fold that holds out each of the first m rows; -1 for a row that always trains.
    """

    rows: np.ndarray
    folds: np.ndarray

    @classmethod
    def whole(cls, n: int, folds: np.ndarray) -> "Split":
        """Take all n rows of a task whose first rows have these folds."""
        return cls(np.arange(n), folds)

    @property
    def training(self) -> np.ndarray:
        """Numbers (m,) of the rows that are learned from."""
        return self.rows[: len(self.folds)]

    @property
    def predicted(self) -> np.ndarray:
        """Numbers (n - m,) of the rows that are predicted."""
        return self.rows[len(self.folds) :]


def outer_folds(folds: np.ndarray) -> list[Split]:
    """Make every fold the test of the others.

    Parameters
    ----------
    folds : (n_train,) int array
        The fold of every training row of a task; rows of fold -1 always train.

    Raises
    ------
    BadRequest
        There are too few folds for that.
    """
    n_folds = int(folds.max()) + 1
    if n_folds < FEWEST:
        raise BadRequest(f"--nested needs {FEWEST} folds or more, and the task has {n_folds}: try --folds stratified")
    splits = []
    for outer in range(n_folds):
        left, held = np.flatnonzero(folds != outer), np.flatnonzero(folds == outer)
        splits.append(Split(np.concatenate([left, held]), folds[left] - (folds[left] > outer)))
    return splits


def with_nested(
    outcomes: Sequence[Outcome], splits: Sequence[Split], by_split: Sequence[Sequence[Outcome]]
) -> list[Outcome]:
    """Complete the outcomes of some methods with what the outer folds say of each.

    Parameters
    ----------
    outcomes : sequence of Outcome
        One for each method, on the whole task.
    splits : sequence of Split
        Those of `outer_folds`.
    by_split : sequence of sequences of Outcome
        For every split, the outcome of each method on it.
    """
    completed = []
    for outcome, parts in zip(outcomes, zip(*by_split, strict=True), strict=True):
        logp = np.full_like(outcome.fold_log_probabilities, np.nan)
        for split, part in zip(splits, parts, strict=True):
            logp[split.predicted] = part.test_log_probabilities
        settings = tuple(part.settings for part in parts)
        completed.append(replace(outcome, nested_log_probabilities=logp, nested_settings=settings))
    return completed
