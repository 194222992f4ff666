"""Candidates are judged on the rows that the folds hold out, alike for any number of threads, and calibrated there."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from head2toe.probe.choice.sweep import candidates, evaluate, try_all
from head2toe.probe.choice.trials import judge
from head2toe.probe.heads.kinds import ExactHeads
from head2toe.probe.methods.candidates import HeadOnColumns
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.probe.metrics import calibration, classification
from threadpoolctl import threadpool_limits

FOLDS = np.arange(100) * 5 // 100


def test_a_fold_is_judged_by_its_held_out_rows(posed: Callable[[np.ndarray], ProbeData]) -> None:
    """Fold k is right in 20 - k of its 20 rows."""
    data = posed(FOLDS)
    wrong = data.labels[:100].copy()
    for fold in range(5):
        wrong[20 * fold : 20 * fold + fold] += 1
    logp = np.log(0.1 + 0.7 * np.eye(3)[wrong % 3])
    candidate: Any = SimpleNamespace(settings={"a": 1}, columns=np.arange(3))
    trial = judge(candidate, {"C": 1.0}, logp, data)
    assert trial.point.settings == {"a": 1, "C": 1.0}
    assert trial.point.accuracies == pytest.approx([1 - fold / 20 for fold in range(5)])
    assert trial.point.log_losses == pytest.approx(
        [-(fold * np.log(0.1 / 1.0) + (20 - fold) * np.log(0.8)) / 20 for fold in range(5)]
    )


@pytest.mark.parametrize("method", ["head2toe", "linear"])
def test_the_outcome_is_the_same_for_any_number_of_threads(
    posed: Callable[[np.ndarray], ProbeData], method: str
) -> None:
    outcomes = []
    for threads in (1, 2, 3):
        with threadpool_limits(threads, "blas"):
            outcomes.append(evaluate(method, posed(FOLDS)))
    for other in outcomes[1:]:
        assert other.settings == outcomes[0].settings
        assert other.members == outcomes[0].members
        assert np.array_equal(other.fold_log_probabilities, outcomes[0].fold_log_probabilities)
        assert np.array_equal(other.test_log_probabilities, outcomes[0].test_log_probabilities)
        assert other.model is not None
        assert np.array_equal(other.model.coef, outcomes[0].model.coef)  # type: ignore[union-attr]


def test_rounding_moves_no_choice(posed: Callable[[np.ndarray], ProbeData], monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictions as another machine's arithmetic would round them lead to the same members."""
    data = posed(FOLDS)
    plain = evaluate("head2toe", data)
    rng = np.random.default_rng(0)
    exact = ExactHeads.cross_validate

    def rounded(*arguments: Any) -> Any:
        for settings, logp in exact(*arguments):
            noise = (1 + 1e-6 * rng.standard_normal(logp.shape)).astype(logp.dtype)
            yield settings, logp * noise

    monkeypatch.setattr(ExactHeads, "cross_validate", rounded)
    other = evaluate("head2toe", data)
    assert {_names(m) for m in other.members} == {_names(m) for m in plain.members}
    shares = {_names(member): member["weight"] for member in other.members}
    assert [shares[_names(m)] for m in plain.members] == pytest.approx([m["weight"] for m in plain.members], abs=1e-4)
    assert other.test_log_probabilities == pytest.approx(plain.test_log_probabilities, abs=1e-3)


def _names(member: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells a member from others: its settings, but for the scale that is fitted to predictions."""
    return tuple(sorted((name, value) for name, value in member["settings"].items() if name != "scale"))


def test_held_out_rows_are_at_the_temperature_that_suits_them(posed: Callable[[np.ndarray], ProbeData]) -> None:
    """No other temperature makes what one head predicted out of fold more probable."""
    data = posed(FOLDS)
    for method in ("linear", "l21", "layerwise"):
        outcome = evaluate(method, data)
        logp = classification.normalized(outcome.fold_log_probabilities)
        labels, of_folds = data.labels[:100], outcome.fold_temperature

        def improbable(factor: float, logp=logp, labels=labels, of_folds=of_folds) -> float:
            prior = ((1 / (of_folds * factor) - 1) / calibration.SPREAD) ** 2 / (2 * len(labels))
            return classification.log_loss(classification.normalized(logp, factor), labels) + prior

        if of_folds < 19:  # not at the bound, where predictions know nothing
            assert improbable(1) <= min(improbable(0.999), improbable(1.001))
        before = classification.normalized(logp, 1 / outcome.fold_temperature)
        assert classification.log_loss(logp, data.labels[:100]) <= 1e-3 + classification.log_loss(
            before, data.labels[:100]
        )


def test_progress_counts_candidates(posed: Callable[[np.ndarray], ProbeData]) -> None:
    data, told = posed(FOLDS), []
    grid = candidates("layerwise", data)
    try_all(grid, data, lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]


def test_a_chosen_head_is_that_of_the_run_where_one_is_asked_for(posed: Callable[[np.ndarray], ProbeData]) -> None:
    grid = candidates("head2toe", replace(posed(FOLDS), head="ridge"))
    assert {one.kind for one in grid if isinstance(one, HeadOnColumns)} == {None}


def test_a_further_normalisation_repeats_what_builds_on_a_selection(posed: Callable[[np.ndarray], ProbeData]) -> None:
    data = posed(FOLDS)
    alone = candidates("head2toe", replace(data, members=1))
    both = candidates("head2toe", replace(data, members=1, further={"unit": data.exact}))
    of_layers = [one for one in alone if "lambda_ratio" not in one.settings]
    assert len(of_layers) == 1
    assert len(both) == 2 * len(alone) - len(of_layers)
    named = [one.settings.get("standardize") for one in both]
    assert named.count("feature") == named.count("unit") == len(alone) - len(of_layers)
