"""A method's learning curve on a task: its accuracy at fewer labels, and what a power law promises at more."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from head2toe.probe.choice.nested import Split
from head2toe.probe.methods.outcome import Outcome
from head2toe.probe.metrics.uncertainty import Interval
from head2toe.probe.planning.power_law import PowerLaw, drawn_laws, fit, interval_at

BEYOND = (1.5, 2.0, 4.0)
"""How many times the labels the law is asked about."""


@dataclass(frozen=True)
class Point:
    """The accuracy at a number of labels.

    Attributes
    ----------
    labels : int
        How many there would be.
    accuracy : float
        Mean over the folds, each judged by heads that did not see it and were given so many labels but for a fold's.
    error : float
        Its standard error.
    """

    labels: int
    accuracy: float
    error: float

    @classmethod
    def of(cls, size: int, splits: Sequence[Split], outcomes: Sequence[Outcome], labels: np.ndarray) -> "Point":
        """Judge the outcome of each split on the rows that it predicted; `labels` are those of all rows."""
        right = [
            np.mean(outcome.test_log_probabilities.argmax(axis=1) == labels[split.predicted])
            for split, outcome in zip(splits, outcomes, strict=True)
        ]
        return cls(size, float(np.mean(right)), float(np.std(right, ddof=1) / len(right) ** 0.5))


@dataclass(frozen=True)
class LearningCurve:
    """A method's learning curve.

    Attributes
    ----------
    method : str
    points : tuple of Point
        Labels ascending, those of the task last.
    seed : int
        Of what the interval of a promise is drawn with.
    """

    method: str
    points: tuple[Point, ...]
    seed: int = 0

    @cached_property
    def law(self) -> PowerLaw:
        """The power law through the points."""
        return fit(*self._columns)

    def at(self, labels: int) -> tuple[float, Interval]:
        """Return the accuracy that the law promises at so many labels, and its interval."""
        return float(self.law(labels)), interval_at(labels, self._drawn)

    @cached_property
    def _drawn(self) -> list[PowerLaw]:
        """Laws through points drawn by their errors."""
        return drawn_laws(*self._columns, self.seed)

    def document(self) -> dict[str, Any]:
        """Return the curve as JSON."""
        law, n = self.law, self.points[-1].labels
        promises = []
        for times in BEYOND:
            accuracy, interval = self.at(round(times * n))
            ends = [round(interval.low, 4), round(interval.high, 4)]
            promises.append({"labels": round(times * n), "accuracy": round(accuracy, 4), "interval": ends})
        return {
            "method": self.method,
            "points": [
                {"labels": one.labels, "accuracy": round(one.accuracy, 6), "stderr": round(one.error, 6)}
                for one in self.points
            ],
            "law": {
                "limit": round(law.limit, 4),
                "half": round(law.half, 1),
                "exponent": round(law.exponent, 4),
            },
            "promises": promises,
        }

    @property
    def _columns(self) -> tuple[list[int], list[float], list[float]]:
        points = self.points
        return [p.labels for p in points], [p.accuracy for p in points], [p.error for p in points]


def learning_curves(
    experiment: Any, sizes: Sequence[int], splits: Sequence[Sequence[Split]]
) -> Iterator[tuple[int, dict[str, Point]]]:
    """Solve again on every subset; what was solved before is recalled, for each method and subset by itself.

    Parameters
    ----------
    experiment : Experiment
        On all rows of a task.
    sizes : sequence of int
        Numbers of labels.
    splits : sequence
        Of `subsets`: for each size a split for each fold.

    Yields
    ------
    int, dict
        A size, and the point of each method; a method that fails on one of its subsets has none.
    """
    for size, of_folds in zip(sizes, splits, strict=True):
        by_method: dict[str, list[Outcome]] = {}
        for k, split in enumerate(of_folds, start=1):
            part = replace(experiment, split=split, where=f", {size} labels, fold {k} of {len(of_folds)}")
            for outcome in part.outcomes():
                by_method.setdefault(outcome.name, []).append(outcome)
        whole = {name: outcomes for name, outcomes in by_method.items() if len(outcomes) == len(of_folds)}
        yield size, {name: Point.of(size, of_folds, found, experiment.task.labels) for name, found in whole.items()}
