"""An average of heads is one linear model, and no better-informed than its members."""

from collections.abc import Callable

import numpy as np
import pytest
from head2toe.probe.heads.scaling import standardized_rows
from head2toe.probe.choice.ensemble import Average
from head2toe.probe.methods.candidates import HeadOnColumns
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.probe.methods.registry import METHODS
from head2toe.probe.choice.sweep import evaluate
from scipy.special import log_softmax


@pytest.fixture
def data(posed: Callable[[np.ndarray], ProbeData]) -> ProbeData:
    """Five contiguous folds."""
    return posed(np.arange(100) * 5 // 100)


def test_the_combined_model_predicts_what_its_members_average(data: ProbeData) -> None:
    heads = [
        HeadOnColumns({}, 512, [columns] * 5, columns, standardized_rows)
        for columns in (np.arange(0, 60), np.arange(30, 150), np.arange(2, 90, 3))
    ]
    average = Average({}, tuple((head, {"C": 10.0 ** (k + 1)}) for k, head in enumerate(heads)))
    logp, model = average.refit(data, {})
    assert model is not None
    assert np.array_equal(model.columns, average.columns)
    raw = data.designs[512].columns(model.columns)[:, 100:].astype(np.float64)
    Z = ((raw - model.mean[:, None]) * model.scale[:, None]).T @ model.coef + model.intercept
    np.testing.assert_allclose(log_softmax(Z, axis=1), logp, atol=2e-4)
    alone = [head.refit(data, {"C": 10.0 ** (k + 1)})[0] for k, head in enumerate(heads)]
    np.testing.assert_allclose(logp, log_softmax(sum(alone) / 3, axis=1), atol=1e-12)


@pytest.mark.parametrize("rule", ["best", "simplest"])
def test_the_winner_is_among_what_was_tried_and_its_model_is_what_was_judged(data: ProbeData, rule: str) -> None:
    outcome = evaluate("head2toe", data, rule=rule)
    assert any(point.settings == outcome.settings for point in outcome.sweep)
    assert any("average_of" in point.settings for point in outcome.sweep)
    assert outcome.fold_log_probabilities.shape == (100, 3)
    assert outcome.test_log_probabilities.shape == (40, 3)
    assert outcome.features_kept == sum(outcome.kept_by_layer.values())
    best = max(point.accuracy for point in outcome.sweep)
    chosen = next(point for point in outcome.sweep if point.settings == outcome.settings)
    assert chosen.accuracy == best if rule == "best" else chosen.accuracy >= best - 0.2
    y, model = data.labels, outcome.model
    held = outcome.fold_log_probabilities.argmax(1) == y[:100]
    assert held.mean() == pytest.approx(chosen.accuracy)
    assert model is not None
    raw = data.designs[512].columns(model.columns)[:, 100:].astype(np.float64)
    Z = ((raw - model.mean[:, None]) * model.scale[:, None]).T @ model.coef + model.intercept
    np.testing.assert_allclose(log_softmax(Z, axis=1), outcome.test_log_probabilities, atol=5e-4)


def test_every_method_has_the_same_outcome(data: ProbeData) -> None:
    for method in ("linear", "knn", "layerwise", "random", "all-l2", "l21"):
        outcome = evaluate(method, data, metric="balanced_accuracy")
        assert outcome.fold_log_probabilities.shape == (100, 3)
        assert np.isfinite(outcome.test_log_probabilities).all()
        assert (outcome.model is None) == (method == "knn")


def test_the_null_model_is_chosen_averaged_and_predicts_the_frequencies(data: ProbeData) -> None:
    null = next(one for one in METHODS["l21"].candidates(data) if one.settings["lambda_ratio"] == 1.0)
    logp, model = null.refit(data, {})
    frequencies = np.bincount(data.labels[:100]) / 100
    np.testing.assert_allclose(np.exp(logp), np.tile(frequencies, (40, 1)), rtol=1e-6)
    assert model is not None
    assert model.coef.shape == (0, 3)
    np.testing.assert_allclose(np.exp(log_softmax(model.intercept)), frequencies, rtol=1e-6)
    columns = np.arange(0, 60)
    head = HeadOnColumns({}, 512, [columns] * 5, columns, standardized_rows)
    averaged, combined = Average({}, ((head, {"C": 1.0}), (null, {}))).refit(data, {})
    assert combined is not None
    assert np.array_equal(combined.columns, columns)
    np.testing.assert_allclose(averaged, log_softmax((head.refit(data, {"C": 1.0})[0] + logp) / 2, axis=1))
