"""Every method on one small problem: it chooses among what it tried, and its model predicts what was judged."""

from dataclasses import replace

import numpy as np
import pytest
from head2toe.probe.heads.crossval import log_softmax
from head2toe.probe.heads.kinds import KINDS
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.probe.methods.candidates import Problem
from head2toe.probe.methods.registry import METHODS
from head2toe.probe.methods.sweep import evaluate
from head2toe.select.compute.arrays import numpy_arrays
from head2toe.select.ranking.rank import rank_features, rank_features_by_recipe
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design_matrix import ArrayDesign

N, N_TRAIN, WIDTHS = 130, 90, (70, 30)


@pytest.fixture(scope="module")
def problem() -> Problem:
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
    return Problem({512: design}, y, folds, 3, arrays, {512: exact}, {512: paper})


def predicted(model: LinearModel, problem: Problem) -> np.ndarray:
    """Log-probabilities of the test rows, from raw features."""
    raw = problem.designs[512].columns(model.columns)[:, N_TRAIN:].astype(np.float64)
    if model.unit:
        for part in np.split(raw, [np.count_nonzero(model.columns < WIDTHS[0])]):
            part /= np.linalg.norm(part, axis=0)
    return log_softmax(((raw - model.mean[:, None]) * model.scale[:, None]).T @ model.coef + model.intercept)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_chooses_among_what_it_tried_and_leaves_what_was_judged(name: str, problem: Problem) -> None:
    outcome = evaluate(name, problem)
    assert any(point.settings == outcome.settings for point in outcome.sweep)
    assert (outcome.test_log_probabilities.argmax(1) == problem.labels[N_TRAIN:]).mean() > 0.6
    assert outcome.features_kept <= outcome.features_total == sum(WIDTHS)
    assert outcome.flops > 0
    assert (outcome.model is None) == (name == "knn")
    if outcome.model:
        np.testing.assert_allclose(predicted(outcome.model, problem), outcome.test_log_probabilities, atol=2e-3)


@pytest.mark.parametrize("name", ["all-l1", "all-l21"])
def test_the_papers_optimiser_reads_all_features_under_each_penalty(name: str, problem: Problem) -> None:
    outcome = evaluate(name, problem)
    assert outcome.features_kept == sum(WIDTHS)
    assert sorted(point.settings["lambda"] for point in outcome.sweep) == [1e-5, 1e-4, 1e-3]
    again = evaluate(name, problem)
    assert np.array_equal(again.test_log_probabilities, outcome.test_log_probabilities)
    other = evaluate(name, replace(problem, seed=1))
    assert not np.array_equal(other.test_log_probabilities, outcome.test_log_probabilities)


@pytest.mark.parametrize("head", KINDS)
@pytest.mark.parametrize("name", ["linear", "head2toe"])
def test_another_head_on_the_same_features(name: str, head: str, problem: Problem) -> None:
    outcome = evaluate(name, replace(problem, head=head))
    assert (outcome.test_log_probabilities.argmax(1) == problem.labels[N_TRAIN:]).mean() > 0.6
    if name == "linear":
        assert outcome.settings.get("head", "logistic") == head
    if outcome.model:
        np.testing.assert_allclose(predicted(outcome.model, problem), outcome.test_log_probabilities, atol=2e-3)


def test_a_fraction_is_what_it_is_called(problem: Problem) -> None:
    """Where a ranking holds fewer features than a fraction asks for, the setting says how many there were."""
    (size, whole), d = next(iter(problem.by_recipe.items())), sum(WIDTHS)
    short = replace(whole, rankings=whole.rankings[:, :, :20])
    for selection, most in ((whole, 0.3), (short, 0.2)):
        found = list(METHODS["head2toe-paper"].candidates(replace(problem, by_recipe={size: selection})))
        fractions = [candidate.settings["fraction"] for candidate in found]
        assert [len(candidate.columns) for candidate in found] == [max(1, int(f * d)) for f in fractions]
        assert len(set(fractions)) == len(fractions)
        assert max(fractions) == most


def test_a_ranking_is_refitted_though_a_larger_strength_has_the_same(problem: Problem) -> None:
    """Few features may rank alike at two λ, of which only the smaller is one to refit at."""
    (size, exact) = next(iter(problem.exact.items()))
    first, second = exact.certificates
    between = replace(first, ratio=0.631)
    alike = replace(
        exact,
        rankings=exact.rankings[[0, 1, 1]],
        certificates=(first, between, second),
        models=(exact.models[0], *exact.models),
    )
    found = METHODS["head2toe"].candidates(replace(problem, exact={size: alike}))
    assert {c.settings["lambda_ratio"] for c in found if "features" in c.settings} == {1.0, 0.3981}
