"""Scores from weights, and what is done to scores before they rank."""

import numpy as np
import pytest
from head2toe.select.ranking.weight_scores import rank, toward_layer_mean, weight_scores
from head2toe.store.common.errors import BadRequest
from head2toe.store.format.layer_index import LayerIndex

LAYERS = LayerIndex(("a", "b"), (2, 3))


@pytest.fixture
def W():
    return np.random.default_rng(0).standard_normal((5, 4))


@pytest.mark.parametrize(("name", "order"), [("l21", 2), ("l1", 1), ("linf", np.inf)])
def test_norms(name, order, W):
    np.testing.assert_allclose(weight_scores(name, W), [np.linalg.norm(w, order) for w in W])


def test_several_runs_are_averaged(W):
    both = weight_scores("l21", np.stack([W, 3 * W]))
    np.testing.assert_allclose(both, 2 * weight_scores("l21", W))


def test_layers(W):
    scores = weight_scores("l21", W)
    whole = weight_scores("layer", W, LAYERS)
    np.testing.assert_allclose(whole, np.repeat([scores[:2].mean(), scores[2:].mean()], (2, 3)))
    np.testing.assert_array_equal(toward_layer_mean(scores, LAYERS, 0.0), scores)
    np.testing.assert_allclose(toward_layer_mean(scores, LAYERS, 0.25), 0.75 * scores + 0.25 * whole)


def test_offset_leaves_out_the_best():
    scores = np.array([1.0, 5, 3, 4, 2])
    assert rank(scores, 2, offset=1).tolist() == [3, 2]
    assert rank(scores, 9, offset=3).tolist() == [4, 0]
    assert rank(scores, 9, offset=9).tolist() == []


def test_what_makes_no_sense(W):
    for call in (
        lambda: weight_scores("l3", W),
        lambda: weight_scores("layer", W),
        lambda: toward_layer_mean(np.ones(5), LAYERS, 2.0),
        lambda: rank(np.ones(5), 1, offset=-1),
    ):
        with pytest.raises(BadRequest):
            call()
