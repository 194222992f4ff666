"""The heads that a method tries, and what they predict of held-out rows: what choices are made on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from head2toe.probe.heads.kinds import Tried
from head2toe.probe.methods.batches import cross_validated_in_batches
from head2toe.probe.methods.candidates import Candidate, Choice
from head2toe.probe.methods.outcome import SweepPoint
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.probe.metrics.classification import FLOOR, METRICS, normalized
from head2toe.select.compute.threads import side_by_side
from head2toe.store.console.progress import Counter, Progress


@dataclass(frozen=True, eq=False)
class Trial:
    """A candidate with one setting of its head, and how it did on the folds.

    Attributes
    ----------
    candidate : Choice
    head : dict
        Settings of the head.
    point : SweepPoint
        All settings, with the accuracy and log-loss of each fold.
    log_probabilities : (n_train, classes) float array
        Out of fold, in nats; NaN for rows that always train.
    """

    candidate: Choice
    head: Mapping[str, Any]
    point: SweepPoint
    log_probabilities: np.ndarray


@dataclass(frozen=True, eq=False)
class Library:
    """Heads to choose from, and what they predict of rows that did not train them.

    Attributes
    ----------
    log_probabilities : (heads, n, classes) float32 array
        In nats, of every row that a fold holds out; none is below `FLOOR`.
    labels : (n,) int array
    folds : (n,) int array
        The fold that holds each row out.
    sizes : (heads,) int array
        How many features each head reads: of level heads, the one that reads fewer is the simpler.
    """

    log_probabilities: np.ndarray
    labels: np.ndarray
    folds: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of(
        cls, log_probabilities: Sequence[np.ndarray], labels: np.ndarray, folds: np.ndarray, sizes: Sequence[int]
    ) -> "Library":
        """Gather the predictions of heads, each (n_train, classes); a row of fold -1 always trains and is left out.

        Raises
        ------
        DataError
            A prediction is NaN or plus infinity.
        """
        held = folds >= 0
        predictions = np.empty((len(sizes), int(held.sum()), log_probabilities[0].shape[1]), np.float32)
        for k, logp in enumerate(log_probabilities):
            predictions[k] = np.maximum(normalized(logp[held]), FLOOR)
        return cls(predictions, labels[held], folds[held], np.asarray(sizes, np.int64))

    @property
    def n_folds(self) -> int:
        """How many folds there are."""
        return int(self.folds.max()) + 1

    @cached_property
    def losses(self) -> np.ndarray:
        """The log-loss of every head in every row, (heads, n) float32, in nats."""
        return -np.take_along_axis(self.log_probabilities, self.labels[None, :, None], axis=2)[:, :, 0]


def tried_each(grid: Sequence[Candidate], data: ProbeData, progress: Progress | None) -> list[Trial]:
    """Judge every candidate with every setting of its head.

    Candidates are tried side by side, each with a BLAS of one thread: what they predict does not depend on how many
    threads there are.
    """
    by_candidate: dict[int, list[Trial]] = {}
    counter = Counter(progress, len(grid))

    def judge_all(k: int, tried: Iterable[Tried]) -> None:
        by_candidate[k] = [judge(grid[k], head, logp, data) for head, logp in tried]
        counter.add()

    if data.arrays.memory is None:
        side_by_side(lambda k: judge_all(k, grid[k].cross_validate(data)), len(grid), data.arrays)
    else:
        for k, tried in cross_validated_in_batches(grid, data):
            judge_all(k, tried)
    return [trial for k in range(len(grid)) for trial in by_candidate[k]]


def judge(candidate: Choice, head: Mapping[str, Any], logp: np.ndarray, data: ProbeData) -> Trial:
    """Judge out-of-fold predictions.

    Parameters
    ----------
    candidate : Choice
        What predicted, with these settings of its `head`.
    logp : (n_train, classes) array
        Log-probabilities in nats; rows that always train are not looked at.

    Raises
    ------
    DataError
        A prediction is NaN.
    """
    folds = [np.flatnonzero(data.folds == fold) for fold in range(data.n_folds)]
    parts = [(normalized(logp[held]), data.labels[held]) for held in folds if len(held)]

    def over_folds(name: str) -> tuple[float, ...]:
        return tuple(float(METRICS[name](*part)) for part in parts)

    point = SweepPoint({**candidate.settings, **head}, over_folds("accuracy"), over_folds("log_loss"))
    return Trial(candidate, head, point, logp)


def library_of(tried: Sequence[Trial], data: ProbeData) -> Library:
    """Gather what was tried, to choose from."""
    return Library.of(
        [trial.log_probabilities for trial in tried],
        data.train_labels,
        data.folds,
        [len(trial.candidate.columns) for trial in tried],
    )
