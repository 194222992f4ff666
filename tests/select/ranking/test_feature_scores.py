"""Scores of single features find the features that matter, and look at training rows only."""

import numpy as np
import pytest
from head2toe.select.ranking.feature_scores import filter_scores
from head2toe.store.common.errors import BadRequest
from head2toe.store.reading.design_matrix import ArrayDesign


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


@pytest.mark.parametrize("name", ["f_classif", "mutual_info"])
def test_one_row_of_each_class_says_nothing(name):
    X = np.random.default_rng(0).standard_normal((6, 8)).astype(np.float32)
    assert not filter_scores(name, ArrayDesign(X), np.arange(6), np.arange(6)).any()


def test_a_feature_that_is_constant_but_for_rounding_has_a_score():
    """Sums of squares cancel: its F is 0 / 0, of which a ranking can't be made."""
    X = np.full((536, 1), 731.9, np.float32)
    X[7] = np.nextafter(X[7], np.float32(1e9))
    y, every = np.arange(536) % 3, np.arange(536)
    scores = [filter_scores("f_classif", ArrayDesign(X * np.float32(f)), y, every) for f in np.linspace(1, 2, 50)]
    assert np.isfinite(scores).all()


def test_a_feature_that_separates_has_the_largest_score():
    X = np.float32([[5, 0], [5, 1], [3, 0], [3, 2]])
    scores = filter_scores("f_classif", ArrayDesign(X), np.array([0, 0, 1, 1]), np.arange(4))
    assert scores[0] == np.finfo(np.float32).max
