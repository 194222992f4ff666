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
from head2toe.probe.methods.candidates import Candidate, Choice, HeadOnColumns
from head2toe.probe.methods.outcome import Outcome, SweepPoint
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.probe.methods.registry import METHODS
from head2toe.probe.methods.viewed import AS_PUBLISHED, with_views
from head2toe.probe.metrics import classification
from head2toe.probe.options import RULES
from head2toe.store.common.errors import BadRequest
from head2toe.store.console.progress import Progress

BUILT_ON = "lambda_ratio"
"""The setting that all candidates have which build on an exact selection."""


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
    merit : float
        Mean of the metric over the folds, its sign changed where less is better.
    standard_error : float
        The merit's; 0 for one fold.
    """

    candidate: Choice
    head: Mapping[str, Any]
    point: SweepPoint
    log_probabilities: np.ndarray
    merit: float
    standard_error: float

    def merit_then_loss(self) -> tuple[float, float]:
        """Sort by merit; the log-loss settles ties, so that a clearer head wins over a later one."""
        return round(self.merit, 12), -self.point.log_loss


def evaluate(
    name: str, data: ProbeData, *, metric: str = "accuracy", rule: str = "best", progress: Progress | None = None
) -> Outcome:
    """Try a method's grid over the folds, refit the winner on all training rows, predict the test rows once.

    Parameters
    ----------
    name : str
        One of `METHODS`.
    data : ProbeData
        What the method is tried on.
    metric : str
        One of `classification.METRICS`: its mean over the folds decides; the log-loss settles ties.
    rule : {"best", "simplest"}
        `simplest` takes the candidate with the fewest features among those within one standard error of the best
        (Breiman et al. 1984, section 3.4.3); with one fold, which has no standard error, among those that are as good
        as the best.
    progress : callable, optional
        Told after every candidate how many are done, of how many.

    Raises
    ------
    BadRequest
        The method, the metric or the rule is unknown.
    DataError
        A method predicted NaN, or the store lacks a layer that the method reads.
    """
    if metric not in classification.METRICS or rule not in RULES:
        raise BadRequest(
            f"unknown metric or rule {metric!r}, {rule!r}: {', '.join(classification.METRICS)}; {', '.join(RULES)}"
        )
    start = time.perf_counter()
    data = replace(data, views={}) if name in AS_PUBLISHED else data
    grid = candidates(name, data)
    tried = try_all(grid, data, metric, averaging=METHODS[name].averages, progress=progress)
    outcome = refitted(name, choose(tried, rule), tried, data)
    flops = sum(training_flops(data, candidate) for candidate in grid)
    return replace(outcome, flops=flops, seconds=time.perf_counter() - start)


def candidates(name: str, data: ProbeData) -> list[Candidate]:
    """List a method's grid.

    Where features were selected under several normalisations, so that the folds choose, what builds on a selection (its
    settings have a λ) stands there once for each.

    Raises
    ------
    BadRequest
        There is no such method.
    """
    if name not in METHODS:
        raise BadRequest(f"unknown method {name!r}: {', '.join(METHODS)}")
    method = METHODS[name]
    grid = list(method.candidates(data))
    if not data.further or "exact" not in method.needs:
        return grid
    whole = [candidate for candidate in grid if BUILT_ON not in candidate.settings]
    for variant in data.variants:
        normalisation = {"standardize": variant.standardize}
        built: Iterator[Any] = (one for one in method.candidates(variant) if BUILT_ON in one.settings)
        whole += [replace(candidate, settings={**normalisation, **candidate.settings}) for candidate in built]
    return whole


def try_all(
    grid: Sequence[Candidate], data: ProbeData, metric: str, *, averaging: bool, progress: Progress | None = None
) -> list[Trial]:
    """Judge every candidate with every setting of its head, the best with views, and averages if asked for."""
    tried: list[Trial] = []
    bests: list[Trial] = []  # of every candidate
    work: list[Candidate] = list(grid)
    for done, candidate in enumerate(work, start=1):
        heads = [judge(candidate, head, logp, data, metric) for head, logp in candidate.cross_validate(data)]
        tried += heads
        bests.append(max(heads, key=Trial.merit_then_loss))
        if done == len(grid):
            ranked = sorted(bests, key=Trial.merit_then_loss, reverse=True)
            work += with_views([(trial.candidate, trial.head) for trial in ranked], data)
        if progress:
            progress(done, len(work))
    return tried + averages(bests, data, metric) if averaging else tried


def averages(bests: Sequence[Trial], data: ProbeData, metric: str) -> list[Trial]:
    """Judge the averages of the best two, three and four candidates of the best one's target size."""
    ranked = sorted(bests, key=Trial.merit_then_loss, reverse=True)
    size = ranked[0].candidate.target_size
    members = [trial for trial in ranked if trial.candidate.target_size == size][:MOST]
    trials = []
    for m in range(2, len(members) + 1):
        settings = {**members[0].point.settings, "average_of": m}
        average = Average(settings, tuple((trial.candidate, trial.head) for trial in members[:m]))
        logp = averaged([trial.log_probabilities for trial in members[:m]])
        trials.append(judge(average, {}, logp, data, metric))
    return trials


def judge(candidate: Choice, head: Mapping[str, Any], logp: np.ndarray, data: ProbeData, metric: str) -> Trial:
    """Judge out-of-fold predictions.

    Parameters
    ----------
    candidate : Choice
        What predicted, with these settings of its `head`.
    logp : (n_train, classes) array
        Log-probabilities in nats; rows that always train are not looked at.
    metric : str
        One of `classification.METRICS`.

    Raises
    ------
    DataError
        A prediction is NaN.
    """
    folds = [np.flatnonzero(data.folds == fold) for fold in range(data.n_folds)]
    parts = [(classification.normalized(logp[held]), data.labels[held]) for held in folds if len(held)]

    def over_folds(name: str) -> tuple[float, ...]:
        return tuple(float(classification.METRICS[name](*part)) for part in parts)

    point = SweepPoint({**candidate.settings, **head}, over_folds("accuracy"), over_folds("log_loss"))
    sign = -1 if metric in classification.LESS_IS_BETTER else 1
    # (AUROC is NaN for a fold of one class: such a fold has no say.)
    merits = [sign * merit for merit in over_folds(metric) if math.isfinite(merit)] or [-math.inf]
    spread = statistics.stdev(merits) / math.sqrt(len(merits)) if len(merits) > 1 else 0.0
    return Trial(candidate, head, point, logp, statistics.fmean(merits), spread)


def choose(tried: Sequence[Trial], rule: str) -> Trial:
    """Return the best trial or, by the rule `simplest`, the one of fewest features within one standard error of it."""
    best = max(tried, key=Trial.merit_then_loss)
    if rule == "best":
        return best
    enough = [trial for trial in tried if trial.merit >= best.merit - best.standard_error]
    fewest = min(len(trial.candidate.columns) for trial in enough)
    return max((t for t in enough if len(t.candidate.columns) == fewest), key=Trial.merit_then_loss)


def refitted(name: str, best: Trial, tried: Sequence[Trial], data: ProbeData) -> Outcome:
    """Refit a method's best trial on all training rows, and gather what is known of it but for the costs."""
    design, columns = data.designs[best.candidate.target_size], best.candidate.columns
    test, model = best.candidate.refit(data, best.head)
    layers = design.layers
    return Outcome(
        name=name,
        settings=best.point.settings,
        sweep=tuple(trial.point for trial in tried),
        fold_log_probabilities=best.log_probabilities.astype(np.float32),
        test_log_probabilities=test.astype(np.float32),
        kept_by_layer={n: int(c) for n, c in zip(layers.names, layers.counts(columns), strict=True) if c},
        features_total=design.shape[1],
        seconds=0.0,
        bytes_stored=0 if model is None else model.nbytes,
        model=model,
        layers=dict(zip(layers.names, layers.widths, strict=True)),
    )


def training_flops(data: ProbeData, candidate: Choice) -> float:
    """Estimate the floating-point operations of a candidate's heads, over all folds.

    What is no head on columns counts as the exact one would.
    """
    kind = candidate.kind_of(data) if isinstance(candidate, HeadOnColumns) else Logistic()
    return data.n_folds * kind.flops(len(candidate.columns), data.n_train, data.n_classes)
