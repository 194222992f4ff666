"""All scores through one door."""

import numpy as np
import pytest
from head2toe.select.options import OF_WEIGHTS, SCORES
from head2toe.select.ranking.feature_scores import filter_scores
from head2toe.select.ranking.relevance import Score, feature_scores
from head2toe.select.ranking.weight_scores import toward_layer_mean, weight_scores
from head2toe.select.solver.paper_recipe import RecipeSetting, train
from head2toe.select.solver.path import path
from head2toe.store.common.errors import BadRequest
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design_matrix import ArrayDesign

LAYERS = LayerIndex(("strong", "weak"), (9, 21))  # of the features that `make_data` makes, the first nine tell


@pytest.fixture
def setting(make_data, split_masks):
    X, y = make_data(n=90, d=30, noise=0.7)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    return ArrayDesign(X, LAYERS), y, split_masks(90, 2)


@pytest.mark.parametrize(
    ("name", "recipe"), [(name, "exact") for name in SCORES] + [(name, "paper") for name in OF_WEIGHTS]
)
def test_features_that_tell_score_higher_and_other_rows_do_not_matter(name, recipe, setting, cpu):
    design, y, masks = setting
    score = Score(name, recipe, steps=100)
    scores = feature_scores(score, design, y, masks, n_classes=3, arrays=cpu)
    assert scores.shape == (3, 30)
    assert scores.dtype == np.float32
    if name not in ("random", "variance"):
        assert (scores[:, :9].mean(axis=1) > scores[:, 9:].mean(axis=1)).all()
    X = design.columns(np.arange(30)).T
    X[~masks[0]] = 7.0
    other = feature_scores(score, ArrayDesign(X, LAYERS), y, masks[:1], n_classes=3, arrays=cpu)
    if recipe == "exact":  # batches of trained heads depend on all sets
        np.testing.assert_allclose(other[0], scores[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["l21", "l1", "linf", "layer"])
def test_exact_weights_are_those_of_standardised_features(name, setting, cpu):
    design, y, masks = setting
    scale = np.geomspace(0.1, 10, 30)
    stretched = ArrayDesign(design.columns(np.arange(30)).T * scale, LAYERS)
    score = Score(name, tol=1e-5)
    (scores,) = feature_scores(score, stretched, y, masks[-1:], n_classes=3, arrays=cpu)
    settings = {"n_classes": 3, "ratios": np.geomspace(1, 0.05, 8), "standardize": True, "tol": 1e-5, "arrays": cpu}
    *_, point = path(design, y, masks[-1:], **settings)
    W = np.zeros((30, 3))
    W[point.solutions[0].columns] = (
        point.solutions[0].coef * design.columns(point.solutions[0].columns).std(axis=1)[:, None]
    )
    expected, chosen = weight_scores(name, W, LAYERS), point.solutions[0].columns
    if name == "layer":
        np.testing.assert_allclose(scores, expected, rtol=1e-2)
    else:
        np.testing.assert_allclose(scores[chosen] - 1, expected[chosen], rtol=1e-2, atol=2e-3)
        assert (np.delete(scores, chosen) <= 1).all()


def test_runs_are_averaged(setting, cpu):
    design, y, masks = setting
    rows = [np.flatnonzero(mask) for mask in masks]
    score = Score("l1", "paper", steps=5, runs=2, seed=4)
    both = feature_scores(score, design, y, masks, n_classes=3, arrays=cpu)
    X = design.columns(np.arange(30)).T
    heads = [train(X, y, rows, [RecipeSetting(1e-3)], n_classes=3, steps=5, seed=s, arrays=cpu) for s in (4, 5)]
    np.testing.assert_allclose(both, np.mean([np.abs(h.W[:, 0]).sum(axis=2) for h in heads], axis=0), rtol=1e-5)
    (random,) = feature_scores(Score("random", runs=3), design, y, masks[:1], n_classes=3, arrays=cpu)
    single = [filter_scores("random", design, y, rows[0], seed=s) for s in range(3)]
    np.testing.assert_allclose(random, np.mean(single, axis=0), rtol=1e-6)


def test_layer_share_and_offset(setting, cpu):
    design, y, masks = setting
    plain, mixed = (
        feature_scores(Score("f_classif", layer_share=share), design, y, masks, n_classes=3, arrays=cpu)
        for share in (0.0, 0.5)
    )
    np.testing.assert_allclose(mixed[1], toward_layer_mean(plain[1], LAYERS, 0.5), rtol=1e-5)
    assert Score(offset=2).rank(plain[0], 3).tolist() == Score().rank(plain[0], 5).tolist()[2:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "best"}, "no score 'best': there are l21, "),
        ({"recipe": "mine"}, "no recipe 'mine'"),
        ({"runs": 0}, "at least one run"),
        ({"ratio": 2.0}, "above 0 and at most 1"),
        ({"layer_share": 2.0}, "between 0 and 1"),
        ({"recipe": "paper", "optimizer": "lbfgs"}, "no optimiser"),
    ],
)
def test_what_makes_no_sense(change, message, setting, cpu):
    design, y, masks = setting
    with pytest.raises(BadRequest, match=message):
        feature_scores(Score(**change), design, y, masks, n_classes=3, arrays=cpu)
