"""The choice that every method makes alike: all candidates over the folds, the best refitted, one look at the test."""

import math
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from head2toe.probe.heads.kinds import Logistic
from head2toe.probe.methods.averaging import MOST, Average, averaged
from head2toe.probe.methods.candidates import Candidate, Choice, HeadOn, Problem
from head2toe.probe.methods.outcome import Outcome, SweepPoint
from head2toe.probe.methods.registry import METHODS
from head2toe.probe.metrics import classification
from head2toe.probe.options import RULES
from head2toe.store.common.errors import BadRequest
from head2toe.store.common.progress import Progress

BUILT_ON = "lambda_ratio"
"""The setting that all candidates have which build on an exact selection."""


@dataclass(frozen=True, eq=False)
class Trial:
    """A candidate with a head of some strength, and how it did; `merit` is the metric's mean, larger if better."""

    candidate: Choice
    head: Mapping[str, Any]
    point: SweepPoint
    log_probabilities: np.ndarray  # (n_train, classes), out of fold; NaN for rows that always train
    merit: float
    standard_error: float

    def merit_then_loss(self) -> tuple[float, float]:
        """The log-loss settles ties, so that a clearer head wins over a later one."""
        return round(self.merit, 12), -self.point.log_loss


def evaluate(
    name: str, problem: Problem, *, metric: str = "accuracy", rule: str = "best", progress: Progress | None = None
) -> Outcome:
    """Try a method's grid over the folds, refit the winner on all training rows, predict the test rows once.

    Parameters
    ----------
    name : str
        One of `METHODS`.
    metric : str
        One of `classification.METRICS`: its mean over the folds decides; the log-loss settles ties.
    rule : {"best", "simplest"}
        `simplest` takes the candidate with the fewest features among those within one standard error of the best
        (Breiman et al. 1984); with one fold, which has no standard error, among those that are as good as the best.
    """
    if metric not in classification.METRICS or rule not in RULES:
        raise BadRequest(
            f"unknown metric or rule {metric!r}, {rule!r}: {', '.join(classification.METRICS)}; {', '.join(RULES)}"
        )
    start = time.perf_counter()
    grid = candidates(name, problem)
    tried: list[Trial] = []
    bests: list[Trial] = []  # of every candidate
    for done, candidate in enumerate(grid, start=1):
        heads = [judge(candidate, head, logp, problem, metric) for head, logp in candidate.cross_validate(problem)]
        tried += heads
        bests.append(max(heads, key=Trial.merit_then_loss))
        if progress:
            progress(done, len(grid))
    if METHODS[name].averages:
        tried += averages(bests, problem, metric)
    best = choose(tried, rule)
    winner, head, point = best.candidate, best.head, best.point
    test, model = winner.refit(problem, head)
    design = problem.designs[winner.target_size]
    counts = design.layers.counts(winner.columns)
    return Outcome(
        name=name,
        settings=point.settings,
        sweep=tuple(trial.point for trial in tried),
        fold_log_probabilities=best.log_probabilities.astype(np.float32),
        test_log_probabilities=test.astype(np.float32),
        kept_by_layer={n: int(c) for n, c in zip(design.layers.names, counts, strict=True) if c},
        features_total=design.shape[1],
        seconds=time.perf_counter() - start,
        flops=sum(training_flops(problem, candidate) for candidate in grid),
        bytes_stored=0 if model is None else sum(np.asarray(array).nbytes for array in _arrays(model)),
        model=model,
        layers=dict(zip(design.layers.names, design.layers.widths, strict=True)),
    )


def candidates(name: str, problem: Problem) -> list[Candidate]:
    """A method's grid. Where features were selected under several normalisations, so that the folds choose, what builds
    on a selection (its settings have a λ) stands there once for each.
    """
    grid = list(METHODS[name].candidates(problem))
    if not problem.further or "exact" not in METHODS[name].needs:
        return grid
    found = [candidate for candidate in grid if BUILT_ON not in candidate.settings]
    for variant in problem.variants:
        told = {"standardize": variant.standardize}
        built: Iterator[Any] = (
            candidate for candidate in METHODS[name].candidates(variant) if BUILT_ON in candidate.settings
        )
        found += [replace(candidate, settings={**told, **candidate.settings}) for candidate in built]
    return found


def averages(bests: Sequence[Trial], problem: Problem, metric: str) -> list[Trial]:
    """The best two, three and four candidates of a target size, averaged."""
    ranked = sorted(bests, key=Trial.merit_then_loss, reverse=True)
    size = ranked[0].candidate.target_size
    members = [trial for trial in ranked if trial.candidate.target_size == size][:MOST]
    found = []
    for m in range(2, len(members) + 1):
        settings = {**members[0].point.settings, "average_of": m}
        mean = Average(settings, tuple((trial.candidate, trial.head) for trial in members[:m]))
        found.append(judge(mean, {}, averaged([t.log_probabilities for t in members[:m]]), problem, metric))
    return found


def judge(candidate: Choice, head: Mapping[str, Any], logp: np.ndarray, problem: Problem, metric: str) -> Trial:
    """How out-of-fold predictions (n_train, classes) did."""
    folds = [np.flatnonzero(problem.folds == fold) for fold in range(problem.n_folds)]
    parts = [(classification.normalized(logp[held]), problem.labels[held]) for held in folds if len(held)]

    def over_folds(name: str) -> tuple[float, ...]:
        return tuple(float(classification.METRICS[name](*part)) for part in parts)

    point = SweepPoint({**candidate.settings, **head}, over_folds("accuracy"), over_folds("log_loss"))
    sign = -1 if metric in classification.LESS_IS_BETTER else 1
    # (AUROC is NaN for a fold of one class: such a fold has no say.)
    merits = [sign * merit for merit in over_folds(metric) if math.isfinite(merit)] or [-math.inf]
    spread = statistics.stdev(merits) / math.sqrt(len(merits)) if len(merits) > 1 else 0.0
    return Trial(candidate, head, point, logp, statistics.fmean(merits), spread)


def choose(tried: Sequence[Trial], rule: str) -> Trial:
    """The best trial, or the one of fewest features among those within one standard error of it."""
    best = max(tried, key=Trial.merit_then_loss)
    if rule == "best":
        return best
    enough = [trial for trial in tried if trial.merit >= best.merit - best.standard_error]
    fewest = min(len(trial.candidate.columns) for trial in enough)
    return max((t for t in enough if len(t.candidate.columns) == fewest), key=Trial.merit_then_loss)


def training_flops(problem: Problem, candidate: Choice) -> float:
    """Of a candidate's heads, over all folds; what is no head on columns counts as the exact one would."""
    kind = candidate.kind_of(problem) if isinstance(candidate, HeadOn) else Logistic()
    return problem.n_folds * kind.flops(len(candidate.columns), problem.n_train, problem.n_classes)


def _arrays(model: Any) -> tuple[Any, ...]:
    columns = model.columns.astype(np.int32)
    return (columns, model.mean, model.scale, model.coef, model.intercept)
