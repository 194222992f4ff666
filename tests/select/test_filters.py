"""Scores of single features find the features that matter, and look at training rows only."""

import numpy as np
import pytest
from head2toe.select.filters import filter_scores
from head2toe.store.design import ArrayDesign
from head2toe.store.errors import BadRequest


@pytest.fixture
def setting():
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    X = rng.standard_normal((90, 12))
    X[:, 4] = 5 * y + 0.1 * X[:, 4]
    X[:, 7] = 1.5
    return X, y


@pytest.mark.parametrize("name", ["variance", "f_classif", "mutual_info", "trees"])
def test_the_feature_that_matters_scores_highest(name, setting):
    X, y = setting
    rows = np.arange(60)
    scores = filter_scores(name, ArrayDesign(X), y, rows)
    assert scores.argmax() == 4
    assert np.isfinite(scores).all()
    assert scores[7] == scores.min()
    X[60:] = 99.0
    np.testing.assert_array_equal(scores, filter_scores(name, ArrayDesign(X), y, rows))


def test_random_and_unknown(setting):
    X, y = setting
    first, second = (filter_scores("random", ArrayDesign(X), y, np.arange(60), seed=s) for s in (0, 1))
    assert (first != second).any()
    with pytest.raises(BadRequest, match="no score 'best'"):
        filter_scores("best", ArrayDesign(X), y, np.arange(60))
