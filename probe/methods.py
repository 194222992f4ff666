"""The methods side by side: each chooses its settings by cross-validation, refits, and looks at the test rows once."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from head2toe.probe.crossval import Columns, FoldScores, Labels, Rows, cross_validate, refit
from head2toe.probe.rows import scaled_rows, standardized_rows, unit_rows
from head2toe.select.arrays import Arrays
from head2toe.select.selection import Selection
from head2toe.store.design import Design
from head2toe.store.errors import DataError
from head2toe.store.progress import Progress

LAST_LAYER = "pre_logits"
FRACTIONS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)


@dataclass(frozen=True, eq=False)
class Problem:
    """What a method is given: designs by target size, whose first `n_train` rows train and whose others test."""

    designs: Mapping[int, Design]
    labels: np.ndarray
    folds: np.ndarray
    n_classes: int
    selections: Mapping[int, Selection]

    @property
    def n_train(self) -> int:
        """Number of training rows."""
        return len(self.folds)


@dataclass(frozen=True)
class ProbeResult:
    """What a method reached.

    Attributes
    ----------
    cv_accuracy, cv_stderr : float
        Mean over the folds, and its standard error, of the settings that were chosen by it.
    test_accuracy : float
        Of the refit on all training rows.
    features_kept, features_total : int
    kept_by_layer : dict
        Layer to number of its features that the head reads; layers with none are left out.
    settings : dict
        The chosen ones.
    seconds : float
        Wall time of search, refit and test; reading the store is part of it, selection is not.
    """

    name: str
    cv_accuracy: float
    cv_stderr: float
    fold_accuracies: tuple[float, ...]
    test_accuracy: float
    features_kept: int
    features_total: int
    kept_by_layer: dict[str, int]
    settings: dict[str, Any]
    seconds: float

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "ProbeResult":
        """From the JSON of an earlier run."""
        return cls(**{**document, "fold_accuracies": tuple(document["fold_accuracies"])})


@dataclass(frozen=True)
class Candidate:
    """One point of a method's grid: which columns each fold reads, and which the refit reads."""

    settings: dict[str, Any]
    target_size: int
    fold_columns: Sequence[Columns]
    columns: Columns
    rows: Rows


def linear(problem: Problem) -> Iterator[Candidate]:
    """The linear probe: all features of the last layer, normalised in the way that the folds prefer."""
    size, design = next(iter(problem.designs.items()))
    if LAST_LAYER not in design.layers.names:
        raise DataError(f"the store has no layer {LAST_LAYER!r}, which the linear probe reads: add it to --taps")
    span = design.layers.columns(LAST_LAYER)
    columns = np.arange(span.start, span.stop)
    n_folds = int(problem.folds.max()) + 1
    for normalize, rows in {"unit": unit_rows, "scale": scaled_rows, "feature": standardized_rows}.items():
        yield Candidate({"normalize": normalize}, size, [columns] * n_folds, columns, rows)


def head2toe(problem: Problem) -> Iterator[Candidate]:
    """The top fraction F of all layers' features by l2,1 relevance, each fold by its own ranking (eq. 2)."""
    n_folds = int(problem.folds.max()) + 1
    for size, selection in problem.selections.items():
        for ratio in selection.ratios:
            for fraction in FRACTIONS:
                yield Candidate(
                    {"target_size": size, "lambda_ratio": ratio, "fraction": fraction},
                    size,
                    [selection.columns(ratio, fold, fraction) for fold in range(n_folds)],
                    selection.columns(ratio, n_folds, fraction),
                    unit_rows,
                )


METHODS: dict[str, Callable[[Problem], Iterator[Candidate]]] = {"linear": linear, "head2toe": head2toe}


def evaluate(name: str, problem: Problem, arrays: Arrays, progress: Progress | None = None) -> ProbeResult:
    """Search a method's grid over the folds, refit the winner on all training rows, look at the test rows once."""
    start = time.perf_counter()
    labels = Labels.of(problem.labels[: problem.n_train], problem.folds, problem.n_classes, arrays)
    train_rows = np.arange(problem.n_train)
    training = {size: design.take(train_rows) for size, design in problem.designs.items()}
    grid = list(METHODS[name](problem))
    best: tuple[Candidate, FoldScores] | None = None
    for done, candidate in enumerate(grid, start=1):
        design = training[candidate.target_size]
        for scores in cross_validate(design, candidate.fold_columns, labels, STRENGTHS, candidate.rows, arrays):
            if best is None or _merit(scores) > _merit(best[1]):
                best = candidate, scores
        if progress:
            progress(done, len(grid))
    assert best is not None, "a method's grid is never empty"
    winner, scores = best
    design = problem.designs[winner.target_size]
    logp = refit(design, winner.columns, labels, scores.C, winner.rows, arrays)
    counts = design.layers.counts(winner.columns)
    return ProbeResult(
        name=name,
        cv_accuracy=scores.accuracy,
        cv_stderr=scores.standard_error,
        fold_accuracies=scores.accuracies,
        test_accuracy=float(np.mean(logp.argmax(axis=1) == problem.labels[problem.n_train :])),
        features_kept=len(winner.columns),
        features_total=design.shape[1],
        kept_by_layer={n: int(c) for n, c in zip(design.layers.names, counts, strict=True) if c},
        settings=winner.settings | {"C": scores.C},
        seconds=time.perf_counter() - start,
    )


def _merit(scores: FoldScores) -> tuple[float, float]:
    """Mean accuracy decides; the log-loss settles ties, so that a clearer head wins over a later one."""
    return (round(scores.accuracy, 12), -scores.log_loss)
