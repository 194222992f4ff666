"""Confident learning: a label that was turned comes first, hard classes are not suspected as a whole."""

import numpy as np
from head2toe.probe.audit.label_errors import label_quality, usual_probabilities


def test_a_label_that_was_turned_ranks_first_and_is_suspected() -> None:
    P = np.full((12, 3), 0.05)
    labels = np.repeat([0, 1, 2], 4)
    P[np.arange(12), labels] = 0.9
    given = labels.copy()
    given[5] = 2
    quality = label_quality(P, given, usual_probabilities(P, given))
    assert quality.ranking[0] == 5
    assert quality.suspected.tolist() == [row == 5 for row in range(12)]
    assert quality.suggestion[5] == 1
    assert quality.given[5] == 0.05


def test_a_hard_class_is_not_suspected_as_a_whole() -> None:
    """Of class 1 nothing is certain: a probability of .4 is usual there, and not suspicious."""
    P = np.array([[0.9, 0.1], [0.95, 0.05], [0.6, 0.4], [0.58, 0.42], [0.61, 0.39]])
    labels = np.array([0, 0, 1, 1, 1])
    usual = usual_probabilities(P, labels)
    np.testing.assert_allclose(usual, [0.925, (0.4 + 0.42 + 0.39) / 3])
    quality = label_quality(P, labels, usual)
    assert not quality.suspected.any()
    assert quality.score[3] == 0
    assert quality.score.max() < 0.1


def test_scores_rank_by_the_probability_beside_the_usual_one() -> None:
    rng = np.random.default_rng(0)
    P = rng.dirichlet(np.ones(4), 50)
    labels = rng.integers(0, 4, 50)
    usual = usual_probabilities(P, labels)
    quality = label_quality(P, labels, usual)
    ratios = (P[np.arange(50), labels] / usual[labels])[quality.ranking]
    below = ratios[ratios < 1]
    assert (np.diff(below) >= 0).all()
    assert ((quality.score >= 0) & (quality.score <= 1)).all()


def test_a_class_without_a_row_is_suggested_only_where_it_is_certain() -> None:
    usual = usual_probabilities(np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1]]), np.array([0, 1]))
    assert usual[2] == 1
    assert not label_quality(np.array([[0.1, 0.0, 0.9]]), np.array([0]), usual).suspected[0]
    assert label_quality(np.array([[0.0, 0.0, 1.0]]), np.array([0]), usual).suspected[0]
