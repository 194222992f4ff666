"""A method's learning curve on a task: its accuracy at fewer labels, and what a power law promises at more."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from head2toe.probe.choice.nested import Split
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
        Mean over the folds, each judged by heads that did not see it and were given so many labels but for a fold's,
        and over repeats with other labels.
    error : float
        Its standard error over the folds.
    """

    labels: int
    accuracy: float
    error: float

    @classmethod
    def of(cls, size: int, accuracies: np.ndarray) -> "Point":
        """Judge a size by the accuracies (R, K) of its R repeats on the K folds."""
        of_folds = accuracies.mean(axis=0)
        return cls(size, float(of_folds.mean()), float(of_folds.std(ddof=1) / len(of_folds) ** 0.5))


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
    experiment: Any, sizes: Sequence[int], splits: Sequence[Sequence[Sequence[Split]]], seed: int
) -> list[LearningCurve]:
    """Solve again on every subset; what was solved before is recalled, for each method and subset by itself.

    Parameters
    ----------
    experiment : Experiment
        On all rows of a task.
    sizes : sequence of int
        Numbers of labels, ascending.
    splits : sequence
        Of `subsets`: for each size its repeats, and for each of these a split for each fold.
    seed : int
        Of the curves.

    Returns
    -------
    list of LearningCurve
        One for each method but those that fail on one of the subsets, which the experiment names.
    """
    points: dict[str, list[Point]] = {}
    for size, repeats in zip(sizes, splits, strict=True):
        for method, accuracies in _accuracies(experiment, size, repeats).items():
            points.setdefault(method, []).append(Point.of(size, accuracies))
    whole = {method: found for method, found in points.items() if len(found) == len(sizes)}
    return [LearningCurve(method, tuple(found), seed) for method, found in whole.items()]


def _accuracies(experiment: Any, size: int, repeats: Sequence[Sequence[Split]]) -> dict[str, np.ndarray]:
    """Solve the R repeats of a size on K folds: accuracies (R, K) of each method that fails on none."""
    shape = len(repeats), len(repeats[0])
    found: dict[str, list[float]] = {}
    for r, of_folds in enumerate(repeats, start=1):
        where = f", {size} labels" + (f", repeat {r} of {len(repeats)}" if len(repeats) > 1 else "")
        for k, split in enumerate(of_folds, start=1):
            part = replace(experiment, split=split, where=f"{where}, fold {k} of {len(of_folds)}")
            truth = experiment.task.labels[split.predicted]
            for outcome in part.outcomes():
                right = outcome.test_log_probabilities.argmax(axis=1) == truth
                found.setdefault(outcome.name, []).append(float(np.mean(right)))
    return {method: np.reshape(of, shape) for method, of in found.items() if len(of) == shape[0] * shape[1]}
