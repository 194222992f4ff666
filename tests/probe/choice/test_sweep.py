"""What the folds choose: the best merit, clearer heads among equals, and by the rule `simplest` the fewest features."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from head2toe.probe.methods.outcome import SweepPoint
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.probe.choice.sweep import Trial, candidates, choose, judge

FOLDS = np.arange(100) * 5 // 100


def trial(merit: float, features: int, *, loss: float = 1.0, error: float = 0.02) -> Trial:
    candidate: Any = SimpleNamespace(settings={}, columns=np.arange(features))
    return Trial(candidate, {}, SweepPoint({}, (merit,), (loss,)), np.empty(0), merit, error)


def test_the_best_merit_wins_and_the_log_loss_settles_ties() -> None:
    tried = [trial(0.8, 10), trial(0.9, 500, loss=0.5), trial(0.9, 500, loss=0.4), trial(0.9 + 1e-14, 500, loss=0.6)]
    assert choose(tried, "best") is tried[2]


def test_the_simplest_has_the_fewest_features_within_one_standard_error() -> None:
    tried = [trial(0.9, 500), trial(0.885, 50), trial(0.889, 50), trial(0.87, 5)]
    assert choose(tried, "simplest") is tried[2]
    assert choose([trial(0.9, 500, error=0.0), *tried[1:]], "simplest").merit == 0.9


def test_a_fold_is_judged_by_its_held_out_rows(posed: Callable[[np.ndarray], ProbeData]) -> None:
    """Fold k is right in 20 - k of its 20 rows; where less is better, the sign of the merit is changed."""
    data = posed(FOLDS)
    predicted = data.labels[:100].copy()
    for fold in range(5):
        predicted[20 * fold : 20 * fold + fold] += 1
    logp = np.log(0.1 + 0.7 * np.eye(3)[predicted % 3])
    candidate: Any = SimpleNamespace(settings={"a": 1}, columns=np.arange(3))
    by_accuracy, by_loss = (judge(candidate, {"C": 1.0}, logp, data, metric) for metric in ("accuracy", "log_loss"))
    accuracies = [1 - fold / 20 for fold in range(5)]
    assert by_accuracy.point.settings == {"a": 1, "C": 1.0}
    assert by_accuracy.point.accuracies == pytest.approx(accuracies)
    assert by_accuracy.merit == pytest.approx(np.mean(accuracies))
    assert by_accuracy.standard_error == pytest.approx(np.std(accuracies, ddof=1) / np.sqrt(5))
    assert by_accuracy.standard_error == pytest.approx(by_accuracy.point.standard_error)
    assert by_loss.merit == pytest.approx(-by_loss.point.log_loss)


def test_a_further_normalisation_repeats_what_builds_on_a_selection(posed: Callable[[np.ndarray], ProbeData]) -> None:
    data = posed(FOLDS)
    alone = candidates("head2toe", data)
    both = candidates("head2toe", replace(data, further={"unit": data.exact}))
    of_layers = [one for one in alone if "lambda_ratio" not in one.settings]
    assert len(of_layers) == 1
    assert len(both) == 2 * len(alone) - len(of_layers)
    named = [one.settings.get("standardize") for one in both]
    assert named.count("feature") == named.count("unit") == len(alone) - len(of_layers)
