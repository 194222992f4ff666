"""Every method on one small data: it chooses among what it tried, and its model predicts what was judged."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from head2toe.probe.choice.sweep import evaluate
from head2toe.probe.heads.kinds import KINDS
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.probe.methods.registry import METHODS
from head2toe.select.compute.arrays import numpy_arrays
from head2toe.select.ranking.rank import rank_features, rank_features_by_recipe
from head2toe.store.common.errors import BadRequest
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design_matrix import ArrayDesign
from scipy.special import log_softmax

N, N_TRAIN, WIDTHS = 130, 90, (70, 30)


@pytest.fixture(scope="module")
def data() -> ProbeData:
    """90 rows to learn from, 40 for the test; 3 classes; two layers, the second named like the last one."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(N) % 3)
    X = rng.standard_normal((N, sum(WIDTHS))) + 2
    for start in (0, WIDTHS[0]):
        X[:, start : start + 10] += 1.5 * rng.standard_normal((3, 10))[y]
    design = ArrayDesign(X.astype(np.float32), LayerIndex(("a", "pre_logits"), WIDTHS))
    folds, arrays = np.arange(N_TRAIN) * 3 // N_TRAIN, numpy_arrays()
    known = (design.take(np.arange(N_TRAIN)), y[:N_TRAIN], folds, 3)
    exact = rank_features(*known, ratios=(1.0, 0.3981), top=100, tol=1e-2, standardize="feature", arrays=arrays)
    paper = rank_features_by_recipe(*known, lambdas=(1e-3,), top=100, steps=50, seed=0, arrays=arrays)
    return ProbeData({512: design}, y, folds, 3, arrays, {512: exact}, {512: paper})


def predicted(model: LinearModel, data: ProbeData) -> np.ndarray:
    """Log-probabilities of the test rows, from raw features."""
    raw = data.designs[512].columns(model.columns)[:, N_TRAIN:].astype(np.float64)
    if model.unit:
        for part in np.split(raw, [np.count_nonzero(model.columns < WIDTHS[0])]):
            part /= np.linalg.norm(part, axis=0)
    scores = ((raw - model.mean[:, None]) * model.scale[:, None]).T @ model.coef + model.intercept
    return np.asarray(log_softmax(scores, axis=1))


@pytest.mark.parametrize("name", METHODS)
def test_a_method_chooses_among_what_it_tried_and_leaves_what_was_judged(name: str, data: ProbeData) -> None:
    outcome = evaluate(name, data)
    assert any(point.settings == outcome.settings for point in outcome.sweep)
    assert (outcome.test_log_probabilities.argmax(1) == data.labels[N_TRAIN:]).mean() > 0.6
    assert outcome.features_kept <= outcome.features_total == sum(WIDTHS)
    assert outcome.flops > 0
    assert (outcome.model is None) == (name == "knn")
    if outcome.model:
        np.testing.assert_allclose(predicted(outcome.model, data), outcome.test_log_probabilities, atol=2e-3)


@pytest.mark.parametrize("name", ["all-l1", "all-l21"])
def test_the_papers_optimiser_reads_all_features_under_each_penalty(name: str, data: ProbeData) -> None:
    outcome = evaluate(name, data)
    assert outcome.features_kept == sum(WIDTHS)
    assert sorted(point.settings["lambda"] for point in outcome.sweep) == [1e-5, 1e-4, 1e-3]
    again = evaluate(name, data)
    assert np.array_equal(again.test_log_probabilities, outcome.test_log_probabilities)
    other = evaluate(name, replace(data, seed=1))
    assert not np.array_equal(other.test_log_probabilities, outcome.test_log_probabilities)


@pytest.mark.parametrize("head", KINDS)
@pytest.mark.parametrize("name", ["linear", "head2toe"])
def test_another_head_on_the_same_features(name: str, head: str, data: ProbeData) -> None:
    outcome = evaluate(name, replace(data, head=head))
    assert (outcome.test_log_probabilities.argmax(1) == data.labels[N_TRAIN:]).mean() > 0.6
    if name == "linear":
        assert outcome.settings.get("head", "logistic") == head
    if outcome.model:
        np.testing.assert_allclose(predicted(outcome.model, data), outcome.test_log_probabilities, atol=2e-3)


def test_a_fraction_is_what_it_is_called(data: ProbeData) -> None:
    """Where a ranking holds fewer features than a fraction asks for, the setting says how many there were."""
    (size, whole), d = next(iter(data.by_recipe.items())), sum(WIDTHS)
    short = replace(whole, rankings=whole.rankings[:, :, :20])
    for selection, most in ((whole, 0.3), (short, 0.2)):
        grid = list(METHODS["head2toe-paper"].candidates(replace(data, by_recipe={size: selection})))
        fractions = [candidate.settings["fraction"] for candidate in grid]
        assert [len(candidate.columns) for candidate in grid] == [max(1, int(f * d)) for f in fractions]
        assert len(set(fractions)) == len(fractions)
        assert max(fractions) == most


def test_a_ranking_is_refitted_though_a_larger_strength_has_the_same(data: ProbeData) -> None:
    """Few features may rank alike at two λ, of which only the smaller is one to refit at."""
    (size, exact) = next(iter(data.exact.items()))
    first, second = exact.certificates
    between = replace(first, ratio=0.631)
    alike = replace(
        exact,
        rankings=exact.rankings[[0, 1, 1]],
        certificates=(first, between, second),
        models=(exact.models[0], *exact.models),
    )
    grid = METHODS["head2toe"].candidates(replace(data, exact={size: alike}))
    assert {c.settings["lambda_ratio"] for c in grid if "features" in c.settings} == {1.0, 0.3981}


def test_what_is_missing_is_named(data: ProbeData, monkeypatch: pytest.MonkeyPatch) -> None:
    """A method or metric that there is not; a head of another's making that can't be refitted."""

    class Half:
        def cross_validate(self, *_: Any) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
            yield {}, np.zeros((N_TRAIN, 3))

        def flops(self, *_: int) -> float:
            return 0.0

    with pytest.raises(BadRequest, match=r"unknown method 'lasso': linear, knn, "):
        evaluate("lasso", data)
    with pytest.raises(BadRequest, match="unknown metric or rule 'f1', 'best': accuracy, "):
        evaluate("linear", data, metric="f1")
    monkeypatch.setitem(KINDS, "half", lambda seed: Half())  # noqa: ARG005
    with pytest.raises(TypeError, match=r"the head Half has no method fit\(\): see Kind of probe/heads/kinds\.py"):
        evaluate("linear", replace(data, head="half"))
