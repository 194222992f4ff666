"""The choice that every method makes alike: all candidates over the folds, the best refitted, one look at the test."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from head2toe.probe.choice.ensemble import Ensemble, Member, weighted_mean
from head2toe.probe.choice.halving import thinned
from head2toe.probe.choice.more_rows import on_all_rows, two_sizes
from head2toe.probe.choice.rules import BestHead, Rule, Stacking
from head2toe.probe.choice.stacking import stacked
from head2toe.probe.choice.trials import Trial, judge, library_of, tried_each
from head2toe.probe.heads.kinds import Logistic
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.probe.methods.candidates import Candidate, Choice, HeadOnColumns
from head2toe.probe.methods.outcome import Outcome
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.probe.methods.registry import METHODS
from head2toe.probe.methods.viewed import AS_PUBLISHED, HeadOnViews, on_means, with_views
from head2toe.probe.metrics import classification
from head2toe.probe.metrics.calibration import at_temperature, temperature_of
from head2toe.probe.options import RULES
from head2toe.select.compute.threads import side_by_side
from head2toe.store.common.errors import BadRequest
from head2toe.store.console.progress import Progress

BUILT_ON = "lambda_ratio"
"""The setting that all candidates have which build on an exact selection."""


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
        One of `classification.METRICS`: its mean over the folds decides; the log-loss settles ties. Where heads are
        averaged, the log-loss decides which.
    rule : {"best", "simplest"}
        `simplest` takes the one head with the fewest features among those within one standard error of the best.
    progress : callable, optional
        Told after every candidate how many are done, of how many.

    Raises
    ------
    BadRequest
        The method, the metric or the rule is unknown.
    DataError
        A method predicted NaN, or the store lacks a layer that the method reads.
    """
    start = time.perf_counter()
    data = replace(data, views={}) if name in AS_PUBLISHED else data
    grid = candidates(name, data)
    averaging = METHODS[name].averages and data.members > 1 and rule == "best"
    one_head = best_head(metric, rule)
    choose = Stacking(data.members) if averaging else one_head
    grid = thinned(grid, data, partial(merits, averaging=averaging, progress=progress))
    if averaging:
        grid += on_means(grid, data)
        tried = tried_each(grid, data, progress)
    else:
        tried = try_all(grid, data, progress)
    outcome = decided(name, tried, data, choose)
    flops = sum(training_flops(data, one) for one in {id(trial.candidate): trial.candidate for trial in tried}.values())
    return replace(outcome, flops=flops, seconds=time.perf_counter() - start)


def best_head(metric: str, rule: str) -> BestHead:
    """Make the rule that chooses one head. Raises BadRequest where the metric or the rule is unknown."""
    if metric not in classification.METRICS or rule not in RULES:
        raise BadRequest(
            f"unknown metric or rule {metric!r}, {rule!r}: {', '.join(classification.METRICS)}; {', '.join(RULES)}"
        )
    return BestHead(metric, rule == "simplest")


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


def try_all(grid: Sequence[Candidate], data: ProbeData, progress: Progress | None = None) -> list[Trial]:
    """Judge every candidate with every setting of its head; then the best with views, if there are."""
    plain = tried_each(grid, data, progress)
    ranked = sorted(plain, key=lambda trial: trial.point.log_loss)
    return plain + tried_each(with_views([(trial.candidate, trial.head) for trial in ranked], data), data, progress)


def merits(grid: Sequence[Candidate], data: ProbeData, *, averaging: bool, progress: Progress | None) -> np.ndarray:
    """Try every candidate on some rows; return the merit of each, (candidates,) float64: the larger, the better.

    Where heads are averaged it is the weight of a candidate's heads in the mean that would be chosen on these rows.
    Those without any, and all where one head is chosen, come after that, by the log-loss of their best head.
    """
    tried = tried_each(grid, data, progress)
    place = {id(candidate): k for k, candidate in enumerate(grid)}
    of_trial = np.array([place[id(trial.candidate)] for trial in tried])
    merit = np.full(len(grid), -np.inf)
    np.maximum.at(merit, of_trial, [-trial.point.log_loss for trial in tried])
    if averaging:
        library = library_of(tried, data)
        (shares,) = stacked(library, np.ones((1, len(library.labels)), np.int64), members=data.members)
        weight = np.bincount(of_trial, shares, minlength=len(grid))
        merit = np.where(weight > 0, weight, merit)
    return merit


def decided(name: str, tried: Sequence[Trial], data: ProbeData, rule: Rule) -> Outcome:
    """Choose by a rule, refit what was chosen on all training rows, and gather what is known but for the costs."""
    library = library_of(tried, data)
    verdict = rule.choose(library, data.seed)
    best = chosen(tried, verdict.weights, data)
    sizes = two_sizes(tried, verdict.weights, data)
    points = [trial.point for trial in tried]
    columns, layers = best.candidate.columns, data.layers(best.candidate.target_sizes)
    test, model = refitted(best, data)
    of_folds = temperature_of(verdict.log_probabilities, library.labels)
    temperature = of_folds if sizes is None else of_folds * sizes.temperature_factor()
    model = None if model is None else model.at_temperature(temperature)
    return Outcome(
        name=name,
        settings=best.point.settings,
        sweep=tuple(points if best in tried else [*points, best.point]),
        fold_log_probabilities=at_temperature(best.log_probabilities, of_folds),
        test_log_probabilities=at_temperature(test, temperature),
        kept_by_layer={n: int(c) for n, c in zip(layers.names, layers.counts(columns), strict=True) if c},
        features_total=sum(layers.widths),
        seconds=0.0,
        bytes_stored=0 if model is None else model.nbytes,
        model=model,
        layers=dict(zip(layers.names, layers.widths, strict=True)),
        members=members_of(best.candidate),
        temperature=temperature,
        fold_temperature=of_folds,
        corrected=verdict.corrected if sizes is None else on_all_rows(verdict.corrected, sizes, data.seed),
        unchosen_log_probabilities=at_temperature(of_all_rows(verdict.log_probabilities, data.folds), of_folds),
    )


def of_all_rows(logp: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Put predictions of the held-out rows in their places among all training rows; NaN for one that always trains."""
    everywhere = np.full((len(folds), logp.shape[1]), np.nan)
    everywhere[folds >= 0] = logp
    return everywhere


def chosen(tried: Sequence[Trial], weights: np.ndarray, data: ProbeData) -> Trial:
    """Return the trial that has all the weight or, where several have some, the trial of their weighted mean."""
    order = np.argsort(-weights, kind="stable")[: np.count_nonzero(weights)]
    if len(order) == 1:
        return tried[int(order[0])]
    trials, shares = [tried[k] for k in order], [float(weights[k]) for k in order]
    members = tuple(Member(trial.candidate, trial.head, share) for trial, share in zip(trials, shares, strict=True))
    used = {size for member in members for size in member.candidate.target_sizes}
    widths = {size: design.shape[1] for size, design in data.designs.items() if size in used}
    ensemble = Ensemble({"members": len(members)}, members, widths)
    logp = weighted_mean([at_temperature(trial.log_probabilities, 1.0) for trial in trials], shares)
    return judge(ensemble, {}, logp, data)


def refitted(trial: Trial, data: ProbeData) -> tuple[np.ndarray, LinearModel | None]:
    """Train what was chosen on all training rows; return its log-probabilities of the test rows, and the model."""
    if isinstance(trial.candidate, Ensemble):
        return trial.candidate.refit(data, trial.head)  # its members side by side
    refits = []
    side_by_side(lambda _: refits.append(trial.candidate.refit(data, trial.head)), 1, data.arrays)
    return refits[0]


def members_of(choice: Choice) -> tuple[dict[str, Any], ...]:
    """Describe the members of an ensemble: settings, weight and number of features; nothing else has members."""
    if not isinstance(choice, Ensemble):
        return ()
    return tuple(
        {"settings": member.settings, "weight": member.weight, "features": len(member.candidate.columns)}
        for member in choice.members
    )


def training_flops(data: ProbeData, candidate: Choice) -> float:
    """Estimate the floating-point operations of a candidate's heads, over all folds.

    What is no head on columns counts as the exact one would, and a view of an image as a row.
    """
    views, head = (candidate.n_views, candidate.base) if isinstance(candidate, HeadOnViews) else (1, candidate)
    kind = head.kind_of(data) if isinstance(head, HeadOnColumns) else Logistic()
    return data.n_folds * kind.flops(len(candidate.columns), views * data.n_train, data.n_classes)
