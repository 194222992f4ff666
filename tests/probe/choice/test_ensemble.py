"""A weighted mean of heads is one linear model, and no better-informed than its members."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from head2toe.probe.choice.ensemble import Ensemble, Member
from head2toe.probe.choice.sweep import evaluate
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.probe.heads.scaling import standardized_rows, unit_rows
from head2toe.probe.methods.candidates import HeadOnColumns
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.probe.methods.registry import METHODS
from head2toe.probe.methods.viewed import on_means
from head2toe.store.reading.design_matrix import ArrayDesign
from scipy.special import log_softmax


@pytest.fixture
def data(posed: Callable[[np.ndarray], ProbeData]) -> ProbeData:
    """Five contiguous folds."""
    return posed(np.arange(100) * 5 // 100)


def predicted(model: LinearModel, data: ProbeData) -> np.ndarray:
    """Log-probabilities of the test rows by a model, from raw features of all its target sizes side by side."""
    X = np.concatenate([data.designs[size].columns(np.arange(160)) for size in model.target_sizes])
    raw = X[model.columns, 100:].astype(np.float64)
    Z = ((raw - model.mean[:, None]) * model.scale[:, None]).T @ model.coef + model.intercept
    return np.asarray(log_softmax(Z, axis=1))


def test_the_combined_model_predicts_what_its_members_average(data: ProbeData) -> None:
    heads = [
        HeadOnColumns({}, 512, [columns] * 5, columns, standardized_rows)
        for columns in (np.arange(0, 60), np.arange(30, 150), np.arange(2, 90, 3))
    ]
    weights = (0.5, 0.3, 0.2)
    members = tuple(Member(head, {"C": 10.0 ** (k + 1)}, weights[k]) for k, head in enumerate(heads))
    ensemble = Ensemble({}, members, {512: 160})
    logp, model = ensemble.refit(data, {})
    assert model is not None
    assert np.array_equal(model.columns, ensemble.columns)
    np.testing.assert_allclose(predicted(model, data), logp, atol=2e-4)
    alone = [head.refit(data, {"C": 10.0 ** (k + 1)})[0] for k, head in enumerate(heads)]
    mean = sum(weight * one for weight, one in zip(weights, alone, strict=True))
    np.testing.assert_allclose(logp, log_softmax(mean, axis=1), atol=1e-12)


def test_heads_on_whole_images_and_on_means_of_views_are_one_model(data: ProbeData) -> None:
    """The weights of both stand apart, and each predicts from what it was trained on."""
    design, columns = data.designs[512], np.arange(160)
    flipped = design.columns(columns).T + 0.5 * np.random.default_rng(5).standard_normal((140, 160)).astype(np.float32)
    data = replace(data, views={"flip": {512: ArrayDesign(flipped, design.layers)}})
    whole = HeadOnColumns({}, 512, [columns] * 5, columns, standardized_rows)
    (viewed,) = on_means([replace(whole, columns=columns[::2])], data)
    members = (Member(whole, {"C": 1.0}, 0.6), Member(viewed, {"C": 10.0}, 0.4))
    logp, model = Ensemble({}, members, {512: 160}).refit(data, {})
    assert model is not None
    assert model.views == ("flip",)
    assert model.coef_whole is not None
    x = [of.columns(model.columns).T.astype(np.float64)[100:] for of in (design, data.on_means.designs[512])]
    of_whole, of_mean = ((values - model.mean) * model.scale for values in x)
    scores = of_mean @ model.coef + of_whole @ model.coef_whole + model.intercept
    np.testing.assert_allclose(log_softmax(scores, axis=1), logp, atol=2e-4)
    assert model.nbytes == model.at_temperature(2.0).nbytes
    np.testing.assert_allclose(model.at_temperature(2.0).coef_whole, model.coef_whole / 2)  # type: ignore[arg-type]
    only = Ensemble({}, (Member(viewed, {"C": 10.0}, 1.0),), {512: 160}).refit(data, {})[1]
    assert only is not None
    assert only.coef_whole is None


def test_members_of_several_target_sizes_are_one_model(data: ProbeData) -> None:
    """Columns count through the designs side by side, as a bundle of both stores has them."""
    rng = np.random.default_rng(5)
    finer = ArrayDesign(rng.standard_normal((140, 160)).astype(np.float32), data.designs[512].layers)
    both = replace(data, designs={512: data.designs[512], 4096: finer})
    columns = np.arange(10, 70)
    members = tuple(
        Member(HeadOnColumns({}, size, [columns] * 5, columns, standardized_rows), {"C": 1.0}, weight)
        for size, weight in ((4096, 0.6), (512, 0.4))
    )
    ensemble = Ensemble({}, members, {512: 160, 4096: 160})
    assert ensemble.target_sizes == (512, 4096)
    assert np.array_equal(ensemble.columns, np.concatenate([columns, 160 + columns]))
    logp, model = ensemble.refit(both, {})
    assert model is not None
    assert model.target_sizes == (512, 4096)
    np.testing.assert_allclose(predicted(model, both), logp, atol=2e-4)
    layers = both.layers(model.target_sizes)
    assert layers.names == ("512/a", "512/pre_logits", "4096/a", "4096/pre_logits")
    assert layers.counts(model.columns).tolist() == [60, 0, 60, 0]


def test_the_default_method_averages_and_its_model_is_what_was_judged(data: ProbeData) -> None:
    outcome = evaluate("head2toe", data)
    assert outcome.settings == {"members": len(outcome.members)}
    assert 2 <= len(outcome.members) <= data.members
    assert sum(member["weight"] for member in outcome.members) == pytest.approx(1)
    weights = [member["weight"] for member in outcome.members]
    assert weights == sorted(weights, reverse=True)
    assert outcome.chosen == outcome.sweep[-1]
    assert outcome.features_kept == sum(outcome.kept_by_layer.values())
    assert outcome.model is not None
    np.testing.assert_allclose(predicted(outcome.model, data), outcome.test_log_probabilities, atol=5e-4)
    settings = [point.settings for point in outcome.sweep]
    assert {"target_size": 512, "layer": "a", "C": 1.0} in settings
    assert any(one.get("head") == "ridge" and "lambda_ratio" in one for one in settings)


@pytest.mark.parametrize(("members", "rule"), [(1, "best"), (20, "simplest")])
def test_one_head_alone_can_be_asked_for(data: ProbeData, members: int, rule: str) -> None:
    outcome = evaluate("head2toe", replace(data, members=members), rule=rule)
    assert outcome.members == ()
    assert outcome.settings in [point.settings for point in outcome.sweep]
    best = max(point.accuracy for point in outcome.sweep)
    assert outcome.chosen.accuracy == best if rule == "best" else outcome.chosen.accuracy >= best - 0.2
    if members == 1:
        layers = {point.settings.get("layer") for point in outcome.sweep}
        assert layers == {None, "pre_logits"}
    assert outcome.model is not None
    np.testing.assert_allclose(predicted(outcome.model, data), outcome.test_log_probabilities, atol=5e-4)


def test_every_method_has_the_same_outcome(data: ProbeData) -> None:
    for method in ("linear", "knn", "layerwise", "random", "all-l2", "l21"):
        outcome = evaluate(method, data, metric="balanced_accuracy")
        assert outcome.fold_log_probabilities.shape == (100, 3)
        assert np.isfinite(outcome.test_log_probabilities).all()
        assert (outcome.model is None) == (method == "knn")
        assert set(outcome.corrected) == {"accuracy", "balanced_accuracy", "log_loss", "auroc"}
        assert outcome.members == ()


def test_the_null_model_is_averaged_and_predicts_the_frequencies(data: ProbeData) -> None:
    null = next(one for one in METHODS["l21"].candidates(data) if one.settings["lambda_ratio"] == 1.0)
    logp, model = null.refit(data, {})
    frequencies = np.bincount(data.labels[:100]) / 100
    np.testing.assert_allclose(np.exp(logp), np.tile(frequencies, (40, 1)), rtol=1e-6)
    assert model is not None
    assert model.coef.shape == (0, 3)
    np.testing.assert_allclose(np.exp(log_softmax(model.intercept)), frequencies, rtol=1e-6)
    columns = np.arange(0, 60)
    head = HeadOnColumns({}, 512, [columns] * 5, columns, standardized_rows)
    members = (Member(head, {"C": 1.0}, 0.5), Member(null, {}, 0.5))
    averaged, combined = Ensemble({}, members, {512: 160}).refit(data, {})
    assert combined is not None
    assert np.array_equal(combined.columns, columns)
    np.testing.assert_allclose(averaged, log_softmax((head.refit(data, {"C": 1.0})[0] + logp) / 2, axis=1))


def test_a_member_on_rows_of_unit_norm_leaves_predictions_but_no_model(data: ProbeData) -> None:
    columns = np.arange(0, 60)
    heads = [HeadOnColumns({}, 512, [columns] * 5, columns, scaling) for scaling in (standardized_rows, unit_rows)]
    members = tuple(Member(head, {"C": 1.0}, 0.5) for head in heads)
    logp, model = Ensemble({}, members, {512: 160}).refit(data, {})
    assert model is None
    assert np.isfinite(logp).all()
