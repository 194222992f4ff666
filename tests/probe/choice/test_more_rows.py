"""What more rows bring: the law is read off two numbers of rows, and the figure nearer to what the refit does."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from head2toe.probe.choice import sweep
from head2toe.probe.choice.more_rows import MOST_WARMER, STEEPEST, TwoSizes, on_all_rows, two_sizes
from head2toe.probe.choice.rules import Stacking
from head2toe.probe.choice.sweep import candidates, evaluate, try_all
from head2toe.probe.choice.trials import library_of
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.probe.metrics.calibration import at_temperature
from head2toe.probe.metrics.classification import accuracy
from head2toe.probe.metrics.uncertainty import Estimate, Interval
from head2toe.select.compute.arrays import numpy_arrays
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design_matrix import ArrayDesign

FOLDS = np.arange(100) * 5 // 100
Posed = Callable[[np.ndarray], ProbeData]


def predictions(labels: np.ndarray, errors: int) -> np.ndarray:
    """Log-probabilities with so many errors, evenly spread."""
    guess = labels.copy()
    guess[np.linspace(0, len(labels) - 1, errors).astype(int)] += 1
    return np.log(np.where(np.eye(3)[guess % 3] > 0, 0.8, 0.1))


def sizes(errors: int, errors_of_fewer: int, n_folds: int = 5) -> TwoSizes:
    labels = np.arange(1000) % 3
    return TwoSizes(predictions(labels, errors), predictions(labels, errors_of_fewer), labels, n_folds)


@pytest.mark.parametrize("n_folds", [3, 5, 10])
@pytest.mark.parametrize("exponent", [0.2, 0.5, 1.0])
def test_a_power_law_is_continued(n_folds: int, exponent: float) -> None:
    K = n_folds
    many, fewer = (round(90 * (share * K / (K - 1)) ** -exponent) for share in ((K - 1) / K, (K - 2) / K))
    found = sizes(many, fewer, K).factor("accuracy")
    assert found == pytest.approx(((K - 1) / K) ** exponent, rel=0.02)


def test_the_factor_is_never_one_that_more_rows_harm_nor_steeper_than_any_task() -> None:
    assert sizes(0, 0).factor("accuracy") == 1
    assert sizes(0, 50).factor("accuracy") == 1
    assert sizes(90, 80).factor("accuracy") == 1
    assert sizes(10, 500).factor("accuracy") == pytest.approx(0.8**STEEPEST)
    assert 0.8**STEEPEST < sizes(90, 110).factor("log_loss") < 1


@pytest.mark.parametrize("n_folds", [3, 5, 10])
@pytest.mark.parametrize("exponent", [-0.3, 0.0, 0.6])
def test_a_temperature_is_continued_by_a_power_law(n_folds: int, exponent: float) -> None:
    K, rng = n_folds, np.random.default_rng(0)
    calibrated = np.log(rng.dirichlet(np.ones(3), 2000))
    labels = (np.exp(calibrated).cumsum(axis=1) < rng.random((2000, 1))).sum(axis=1)
    many, fewer = (calibrated * share**-exponent for share in ((K - 1) / K, (K - 2) / K))
    found = TwoSizes(many, fewer, labels, K).temperature_factor()
    assert found == pytest.approx(np.clip(((K - 1) / K) ** exponent, 1 / MOST_WARMER, MOST_WARMER), rel=1e-3)
    assert TwoSizes(many, 50 * fewer, labels, K).temperature_factor() == pytest.approx(1 / MOST_WARMER)


def test_the_model_leaves_at_the_temperature_of_all_rows(posed: Posed) -> None:
    data = posed(FOLDS)
    outcome = evaluate("linear", data)
    model = outcome.model
    assert model is not None
    tried = try_all(candidates("linear", data), data)
    best = next(trial for trial in tried if trial.point.settings == outcome.settings)
    found = two_sizes(tried, np.array([float(trial is best) for trial in tried]), data)
    assert found is not None
    assert outcome.temperature == pytest.approx(outcome.fold_temperature * found.temperature_factor())
    assert outcome.temperature != outcome.fold_temperature
    plain, _ = best.candidate.refit(data, best.head)
    assert np.allclose(outcome.test_log_probabilities, at_temperature(plain, outcome.temperature), atol=1e-5)


def test_an_interval_moves_with_its_figure_and_grows() -> None:
    before = {"accuracy": Estimate(0.90, Interval(0.88, 0.92)), "log_loss": Estimate(0.3, None)}
    after = on_all_rows(before, sizes(100, 130), 0)
    factor = sizes(100, 130).factor("accuracy")
    assert after["accuracy"].value == pytest.approx(1 - 0.1 * factor)
    interval = after["accuracy"].interval
    assert interval is not None
    assert interval.low < 1 - 0.12 * factor
    assert interval.high > 1 - 0.08 * factor
    assert after["log_loss"].interval is None
    assert after["log_loss"].value < 0.3
    assert on_all_rows(before, sizes(100, 130), 0) == after


def chosen_weights(name: str, data: ProbeData) -> tuple[Any, np.ndarray]:
    tried = try_all(candidates(name, data), data)
    return tried, Stacking(60).choose(library_of(tried, data), 0).weights


def test_heads_of_fewer_rows_have_not_seen_the_fold_after_theirs(posed: Posed) -> None:
    """Whatever stands in the fold after it, a fold is predicted alike."""
    data = posed(FOLDS)
    tried, weights = chosen_weights("layerwise", data)
    found = two_sizes(tried, weights, data)
    X, labels = data.designs[512].columns(np.arange(160)).T.copy(), data.labels.copy()
    X[:100][FOLDS == 1] = np.random.default_rng(5).standard_normal((20, 160)) * 50
    labels[:100][FOLDS == 1] = (labels[:100][FOLDS == 1] + 1) % 3
    other = replace(data, designs={512: ArrayDesign(X, data.designs[512].layers)}, labels=labels)
    of_other = two_sizes(tried, weights, other)
    assert found is not None
    assert of_other is not None
    np.testing.assert_array_equal(found.fewer[FOLDS == 0], of_other.fewer[FOLDS == 0])
    assert not np.array_equal(found.fewer[FOLDS == 3], of_other.fewer[FOLDS == 3])


@pytest.mark.parametrize("method", ["linear", "knn", "ncm", "l21", "head2toe", "layerwise"])
def test_every_method_of_cheap_heads_is_trained_again(posed: Posed, method: str) -> None:
    data = posed(FOLDS)
    tried, weights = chosen_weights(method, data)
    found = two_sizes(tried, weights, data)
    assert found is not None
    assert found.many.shape == found.fewer.shape == (100, 3)
    assert not np.array_equal(found.many, found.fewer)


@pytest.mark.parametrize(
    ("method", "folds", "changes"),
    [
        ("linear", np.arange(100) % 2, {}),
        ("linear", np.where(np.arange(100) < 80, -1, 0), {}),
        ("linear", FOLDS, {"head": "adam"}),
        ("all-l21", FOLDS, {}),
    ],
)
def test_what_cannot_be_told_or_would_cost_as_much_again_is_left(
    posed: Posed, method: str, folds: np.ndarray, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("head2toe.probe.heads.kinds.RECIPE_STEPS", 3)
    data = replace(posed(folds), **changes)
    assert two_sizes(*chosen_weights(method, data), data) is None


def simulated(seed: int) -> ProbeData:
    """250 rows of 6 classes in 60 weak features, where a fifth more rows matters, and 4000 to test on."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(250) % 6, rng.integers(0, 6, 4000)])
    X = rng.standard_normal((len(y), 60))
    X[:, :30] += 0.42 * rng.standard_normal((6, 30))[y]
    design = ArrayDesign(X.astype(np.float32), LayerIndex(("a", "pre_logits"), (20, 40)))
    return ProbeData({512: design}, y, np.arange(250) * 5 // 250, 6, numpy_arrays(), {}, {}, seed=seed)


def test_the_figure_is_nearer_to_the_test_than_that_of_the_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    off, before = [], []
    for seed in range(12):
        data = simulated(seed)
        outcome = evaluate("all-l2", data)
        truth = accuracy(outcome.test_log_probabilities, data.test_labels)
        off.append(outcome.corrected["accuracy"].value - truth)
        with monkeypatch.context() as patch:
            patch.setattr(sweep, "two_sizes", lambda *_: None)
            before.append(evaluate("all-l2", data).corrected["accuracy"].value - truth)
    assert np.mean(before) < -0.015  # heads of four fifths of the rows are worse
    assert abs(np.mean(off)) < 0.5 * abs(np.mean(before))
