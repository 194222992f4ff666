"""Heads on several views: weighted as one image, held out as one image, predicting as one linear model."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head2toe.pipeline import run
from head2toe.probe.choice.sweep import evaluate
from head2toe.probe.heads.kinds import KINDS, Logistic
from head2toe.probe.heads.scaling import standardized_rows, unit_rows
from head2toe.probe.many_rows import heads as many_rows
from head2toe.probe.methods.candidates import HeadOnColumns
from head2toe.probe.methods.outcome import Outcome
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.probe.methods.viewed import HeadOnViews, from_here, mean_over_views, on_means, view_sets, with_views
from head2toe.store.reading.design_matrix import ArrayDesign
from scipy.special import log_softmax

FOLDS = np.arange(100) * 5 // 100
ALL = np.arange(160)


def with_designs(data: ProbeData, **views: np.ndarray) -> ProbeData:
    """The same data with views of these values (n, d)."""
    layers = data.designs[512].layers
    return replace(data, views={name: {512: ArrayDesign(X, layers)} for name, X in views.items()})


def values_of(data: ProbeData) -> np.ndarray:
    return data.designs[512].columns(ALL).T


def head(data: ProbeData, scaling: Any = standardized_rows) -> HeadOnColumns:
    return HeadOnColumns({"of": "test"}, 512, [ALL] * data.n_folds, ALL, scaling)


@pytest.mark.parametrize("kind", ["logistic", "ridge"])
@pytest.mark.parametrize("scaling", [standardized_rows, unit_rows])
def test_views_that_are_copies_change_nothing(
    posed: Callable[[np.ndarray], ProbeData], kind: str, scaling: Any
) -> None:
    """Each of K views weighs 1 / K, and a fold holds an image out with all of them: else copies would be learned."""
    data = replace(posed(FOLDS), head=kind)
    data = with_designs(data, flip=values_of(data), **{"crop#1": values_of(data)})
    plain = head(data, scaling)
    viewed = HeadOnViews(plain, ("flip", "crop#1"), 1.0 if kind == "logistic" else None)
    of_plain = {settings["C"]: logp for settings, logp in plain.cross_validate(data)}
    of_views = [(settings["C"], logp) for settings, logp in viewed.cross_validate(data)]
    if kind == "logistic":
        assert [C for C, _ in of_views] == [1.0, 10.0]
        for C, logp in of_views:
            np.testing.assert_allclose(logp, of_plain[C], rtol=0, atol=0.05)  # a loose tolerance, in float32
            assert np.abs(logp - of_plain[100 * C]).max() > 0.2, "another strength would be noticed"
    settings = {"C": 10.0, "scale": 2.0}
    test, model = plain.refit(data, settings)
    test_of_views, model_of_views = viewed.refit(data, settings)
    assert model is not None
    assert model_of_views is not None
    np.testing.assert_allclose(test_of_views, test, rtol=0, atol=1e-3)
    np.testing.assert_allclose(model_of_views.coef, model.coef, rtol=0, atol=1e-3 * np.abs(model.coef).max())
    assert (model.views, model_of_views.views) == ((), ("flip", "crop#1"))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_of_head_predicts_the_mean_features_of_the_views(
    posed: Callable[[np.ndarray], ProbeData], kind: str
) -> None:
    """The mean of log-probabilities is what one linear model says of the mean of the features."""
    data, rng = replace(posed(FOLDS), head=kind), np.random.default_rng(1)
    data = with_designs(data, flip=values_of(data) + rng.standard_normal((140, 160)).astype(np.float32))
    viewed = HeadOnViews(head(data), ("flip",))
    settings, logp = next(iter(viewed.cross_validate(data)))
    assert logp.shape == (100, 3)
    np.testing.assert_allclose(np.exp(logp).sum(axis=1), 1, rtol=1e-4)
    test, model = viewed.refit(data, settings)
    assert model is not None
    mean = (values_of(data) + data.views["flip"][512].columns(ALL).T)[100:] / 2
    scores = ((mean - model.mean) * model.scale).astype(np.float64) @ model.coef + model.intercept
    np.testing.assert_allclose(test, log_softmax(scores, axis=1), rtol=0, atol=2e-3)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_head_on_the_mean_of_views_is_one_on_these_features(
    posed: Callable[[np.ndarray], ProbeData], kind: str
) -> None:
    """What it is trained on and what it predicts are means, of training rows and of others; the model says so."""
    data, rng = replace(posed(FOLDS), head=kind), np.random.default_rng(1)
    X, flip = values_of(data), rng.standard_normal((140, 160)).astype(np.float32)
    data = with_designs(data, flip=flip)
    means = replace(data, designs={512: ArrayDesign((X + flip) / 2, data.designs[512].layers)}, views={})
    (viewed,) = on_means([head(data)], data)
    assert viewed.settings == {"of": "test", "mean_of_views": "flip"}
    tried, expected = list(viewed.cross_validate(data)), list(head(data).cross_validate(means))
    assert [settings for settings, _ in tried] == [settings for settings, _ in expected]
    for (_, found), (_, wanted) in zip(tried, expected, strict=True):
        np.testing.assert_allclose(np.exp(found), np.exp(wanted), atol=1e-4)
    test, model = viewed.refit(data, tried[0][0])
    wanted, model_of_means = head(data).refit(means, tried[0][0])
    np.testing.assert_allclose(np.exp(test), np.exp(wanted), atol=1e-4)
    assert model is not None
    assert model_of_means is not None
    assert (model.views, model_of_means.views) == (("flip",), ())


def test_with_many_rows_means_of_views_are_read_as_with_few(
    posed: Callable[[np.ndarray], ProbeData], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = posed(FOLDS)
    data = with_designs(data, flip=values_of(data)[:, ::-1])
    (viewed,) = on_means([replace(head(data), kind=Logistic())], data)
    usual, model = viewed.refit(data, {"C": 10.0})
    monkeypatch.setattr(many_rows, "MANY", 50)
    assert many_rows.suits(Logistic(), viewed.fold_columns, viewed.scaling, data.n_train, data.arrays)
    found, model_of_many = viewed.refit(data, {"C": 10.0})
    np.testing.assert_allclose(np.exp(found), np.exp(usual), atol=5e-3)
    assert model is not None
    assert model_of_many is not None
    assert model.views == model_of_many.views == ("flip",)


def test_heads_at_unit_norm_and_data_without_views_have_no_twin(posed: Callable[[np.ndarray], ProbeData]) -> None:
    """The norm of a mean is not the mean of the norms: the model could not predict one view after the other."""
    data = posed(FOLDS)
    assert on_means([head(data)], data) == []
    data = with_designs(data, flip=values_of(data))
    assert len(on_means([head(data), head(data, unit_rows)], data)) == 1


@pytest.mark.parametrize("helps", [True, False])
def test_heads_on_means_of_views_speak_where_they_help(posed: Callable[[np.ndarray], ProbeData], helps: bool) -> None:
    """A second look with noise of its own helps; one that takes the classes out of the mean does no harm."""
    data, rng = posed(FOLDS), np.random.default_rng(1)
    signal = np.zeros((140, 160), np.float32)
    signal[:, 120:] = rng.standard_normal((3, 40))[data.labels] * 0.35
    plain = signal + rng.standard_normal((140, 160)).astype(np.float32)
    view = (signal if helps else -signal) + rng.standard_normal((140, 160)).astype(np.float32)
    data = with_designs(replace(data, designs={512: ArrayDesign(plain, data.designs[512].layers)}), flip=view)
    outcome, without = evaluate("head2toe", data), evaluate("head2toe", replace(data, views={}))
    weight = sum(one["weight"] for one in outcome.members if "mean_of_views" in one["settings"])
    assert (weight > 0.5) == helps
    assert outcome.model is not None
    assert outcome.model.views == ("flip",)
    assert not any("mean_of_views" in one["settings"] for one in without.members)
    held = data.train_labels[:, None]
    loss, loss_without = (
        -np.take_along_axis(one.fold_log_probabilities, held, axis=1).mean() for one in (outcome, without)
    )
    assert loss < (0.8 if helps else 1.02) * loss_without


def test_a_strong_head_on_views_is_approached_over_weaker_ones(posed: Callable[[np.ndarray], ProbeData]) -> None:
    """What it predicts does not depend on which strength was the first to be asked for."""
    data = posed(FOLDS)
    data = with_designs(data, flip=values_of(data)[:, ::-1])
    tried = [list(HeadOnViews(head(data), ("flip",), C).cross_validate(data)) for C in (100.0, 1000.0, 10_000.0)]
    assert [[settings["C"] for settings, _ in one] for one in tried] == [[100, 1000], [1000, 10_000], [10_000]]
    np.testing.assert_array_equal(tried[0][1][1], tried[1][0][1])
    np.testing.assert_array_equal(tried[1][1][1], tried[2][0][1])


def test_no_view_of_a_held_out_image_teaches(posed: Callable[[np.ndarray], ProbeData]) -> None:
    """Other labels of the images that fold 0 holds out leave its predictions as they are, and no other fold's."""
    data = posed(FOLDS)
    data = with_designs(data, flip=values_of(data)[:, ::-1], **{"crop#1": -values_of(data)})
    labels = data.labels.copy()
    labels[:20] = (labels[:20] + 1) % 3
    before, after = (
        next(iter(HeadOnViews(head(one), ("flip", "crop#1"), 1.0).cross_validate(one)))[1]
        for one in (data, replace(data, labels=labels))
    )
    np.testing.assert_array_equal(before[:20], after[:20])
    assert np.abs(before - after)[20:].max(axis=1).min() > 0


@pytest.mark.parametrize("helps", [True, False])
def test_the_folds_decide_whether_views_help(posed: Callable[[np.ndarray], ProbeData], helps: bool) -> None:
    """A second look with noise of its own helps; one in which the classes are swapped harms."""
    data, rng = posed(FOLDS), np.random.default_rng(1)
    signal = np.zeros((140, 160), np.float32)
    signal[:, 120:] = rng.standard_normal((3, 40))[data.labels] * (0.35 if helps else 1.0)
    plain = signal + rng.standard_normal((140, 160)).astype(np.float32)
    view = (signal if helps else -signal) + rng.standard_normal((140, 160)).astype(np.float32)
    layers = data.designs[512].layers
    data = with_designs(replace(data, designs={512: ArrayDesign(plain, layers)}), flip=view)
    outcome = evaluate("linear", data)
    tried = ["views" in point.settings for point in outcome.sweep]
    assert any(tried)
    assert not all(tried)
    assert ("views" in outcome.settings) == helps
    assert outcome.model is not None
    assert outcome.model.views == (("flip",) if helps else ())


def test_the_best_heads_on_columns_are_tried_with_every_set_of_views(
    posed: Callable[[np.ndarray], ProbeData],
) -> None:
    data = posed(FOLDS)
    views = {name: values_of(data) for name in ("flip", "crop#1", "crop#2")}
    data = with_designs(data, **views)
    first, second = head(data), replace(head(data), settings={"of": "another"})
    tried = with_views([(first, {"C": 10.0}), (second, {})], data)
    every, kinds = ("flip", "crop#1", "crop#2"), [("flip",), ("crop#1", "crop#2")]
    assert [(one.base, one.views) for one in tried] == [
        *((base, every) for base in (first, second)),
        *((first, views) for views in kinds),
    ]
    assert tried[0].strength == 10.0
    assert tried[0].settings == {"of": "test", "views": "flip+crop#1+crop#2"}
    assert with_views([(first, {})], posed(FOLDS)) == []
    assert view_sets(("crop#1",)) == [("crop#1",)]
    assert from_here(10.0) == [10.0, 100.0]
    assert from_here(10000.0) == [10000.0]


def test_the_papers_methods_look_at_no_views(posed: Callable[[np.ndarray], ProbeData]) -> None:
    data = posed(FOLDS)
    data = with_designs(replace(data, by_recipe=data.exact), flip=values_of(data))
    settings = [point.settings for point in evaluate("head2toe-paper", data).sweep]
    assert settings
    assert not any("views" in one for one in settings)
    assert any("views" in point.settings for point in evaluate("ncm", data).sweep)


def test_a_mean_over_one_view_is_the_prediction() -> None:
    logp = log_softmax(np.random.default_rng(0).standard_normal((6, 3)), axis=1)
    np.testing.assert_allclose(mean_over_views(logp, 1), logp)
    np.testing.assert_allclose(mean_over_views(np.concatenate([logp, logp]), 2), logp)


def test_an_outcome_with_views_is_recalled(posed: Callable[[np.ndarray], ProbeData], tmp_path: Path) -> None:
    data = posed(FOLDS)
    data = with_designs(data, flip=values_of(data))
    outcome = evaluate("linear", data)
    assert outcome.model is not None
    outcome = replace(outcome, model=replace(outcome.model, views=("flip", "crop#2")))
    outcome.save(tmp_path / "outcome.npz")
    model = Outcome.load(tmp_path / "outcome.npz").model
    assert model is not None
    assert model.views == ("flip", "crop#2")


def test_a_run_with_views_has_them_in_its_record_and_a_name_of_its_own(
    image_folder: Path, smaller: dict[str, Any]
) -> None:
    without = run(str(image_folder), **smaller, methods=("linear", "l21"))
    result = run(str(image_folder), **smaller, methods=("linear", "l21"), views=("flip", "crop"))
    assert result.file.parent != without.file.parent
    assert "--views flip,crop" in result.record["command"]
    assert set(result.record["backbones"][0]["views"]) == {"flip", "crop#1"}
    linear, l21 = result.record["methods"]
    tried = {point["settings"].get("views") for point in linear["sweep"]}
    assert tried == {None, "flip+crop#1", "flip", "crop#1"}
    assert {point["settings"].get("views") for point in l21["sweep"]} == {None}
    before = without.record["methods"][1]
    assert l21["cv"] == before["cv"], "selections see plain rows alone"
    assert linear["cost"]["extraction_flops"] == 3 * without.record["methods"][0]["cost"]["extraction_flops"]
    assert linear["cost"]["flops"] > without.record["methods"][0]["cost"]["flops"], "heads on views are search, too"
    assert run(str(image_folder), **smaller, methods=("linear", "l21"), views=("flip", "crop")).recalled
