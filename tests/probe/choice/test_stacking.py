"""Stacking solves its convex problem: the minimum is that of an independent solver, and where theory says it is."""

import numpy as np
import pytest
from head2toe.probe.choice import stacking
from head2toe.probe.choice.stacking import PRIOR, bagged, stacked
from head2toe.probe.choice.trials import Library
from scipy.optimize import minimize
from scipy.special import log_softmax
from threadpoolctl import threadpool_limits

N = 60
ALL_ROWS = np.ones((1, N), np.int64)
DRAWS = np.concatenate([ALL_ROWS, np.random.default_rng(1).multinomial(N, np.full(N, 1 / N), size=3)])


def library(heads: int = 25, classes: int = 4, seed: int = 0) -> Library:
    """Heads of some skill that err on different rows."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=N)
    scores = rng.standard_normal((heads, N, classes)) * rng.uniform(0.5, 3, (heads, 1, 1))
    scores[:, np.arange(N), labels] += rng.uniform(0, 2, (heads, 1))
    sizes = rng.integers(10, 1000, heads).tolist()
    return Library.of(list(log_softmax(scores, axis=2)), labels, np.arange(N) * 5 // N, sizes)


def objective(weights: np.ndarray, heads: Library, draw: np.ndarray) -> float:
    """As the module's docstring writes it, in float64."""
    logp = log_softmax(np.tensordot(weights, heads.log_probabilities.astype(np.float64), 1), axis=1)
    scores = np.tensordot(weights, heads.log_probabilities.astype(np.float64), 1)
    assert np.allclose(scores - scores.max(1, keepdims=True), logp - logp.max(1, keepdims=True))
    loss = -(draw * logp[np.arange(N), heads.labels]).sum() / draw.sum()
    return float(loss + PRIOR / N / 2 * ((weights - 1 / len(weights)) ** 2).sum())


def independent(heads: Library, draw: np.ndarray) -> np.ndarray:
    """The minimum by sequential quadratic programs."""
    k = len(heads.sizes)
    found = minimize(objective, np.full(k, 1 / k), (heads, draw), "SLSQP", bounds=[(0, None)] * k, tol=1e-13)
    assert found.success
    return np.asarray(found.x)


@pytest.mark.parametrize("prior", [30.0, 300.0])
def test_the_minimum_is_that_of_an_independent_solver(prior: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacking, "PRIOR", prior)
    monkeypatch.setitem(objective.__globals__, "PRIOR", prior)
    heads = library(heads=8)
    for draw, shares in zip(DRAWS[:2], stacked(heads, DRAWS[:2], members=100), strict=True):
        expected = independent(heads, draw)
        assert shares.sum() == pytest.approx(1)
        assert shares == pytest.approx(expected / expected.sum(), abs=2e-3)
        assert objective(shares * expected.sum(), heads, draw) <= objective(expected, heads, draw) + 1e-6


def test_working_sets_leave_out_only_what_the_minimum_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    heads = library(heads=80)
    whole = stacked(heads, DRAWS, members=100)
    monkeypatch.setattr(stacking, "AT_ONCE", 3)
    assert stacked(heads, DRAWS, members=100) == pytest.approx(whole, abs=1e-3)
    assert (np.count_nonzero(whole, axis=1) > 3).all()


def test_a_draw_counts_rows_as_often_as_they_were_drawn() -> None:
    """It weighs the heads as the same rows would that stand there so often, and whatever other draws there are."""
    heads, draw = library(), DRAWS[1]
    rows = np.repeat(np.arange(N), draw)
    repeated = Library(heads.log_probabilities[:, rows], heads.labels[rows], heads.folds[rows], heads.sizes)
    (expected,) = stacked(repeated, np.ones((1, N), np.int64), members=100)
    assert stacked(heads, DRAWS, members=100)[1] == pytest.approx(expected, abs=1e-3)


def test_members_are_those_of_largest_weight_weighed_once_more() -> None:
    heads = library(heads=40)
    (whole,) = stacked(heads, ALL_ROWS, members=100)
    (few,) = stacked(heads, ALL_ROWS, members=5)
    kept = np.flatnonzero(few)
    assert len(kept) == 5 < np.count_nonzero(whole)
    assert whole[kept].min() >= np.delete(whole, kept).max()
    assert few.sum() == pytest.approx(1)


def test_bagged_weights_are_the_mean_of_those_of_all_draws() -> None:
    heads = library()
    shares = stacked(heads, DRAWS, members=100)
    assert bagged(heads, DRAWS, shares, members=100) == pytest.approx(shares.mean(axis=0))


def test_bagged_members_are_those_of_largest_weight_weighed_once_more_on_every_draw() -> None:
    heads = library(heads=40)
    shares = stacked(heads, DRAWS, members=100)
    mean = shares.mean(axis=0)
    found = bagged(heads, DRAWS, shares, members=5)
    kept = np.flatnonzero(found)
    assert len(kept) == 5 < np.count_nonzero(mean)
    assert mean[kept].min() >= np.delete(mean, kept).max()

    def among(weights: np.ndarray, draw: np.ndarray) -> float:
        whole = np.zeros(40)
        whole[kept] = weights
        return objective(whole, heads, draw)

    alone = []
    for draw in DRAWS:
        least = minimize(among, np.full(5, 0.2), (draw,), "SLSQP", bounds=[(0, None)] * 5, tol=1e-13).x
        alone.append(least / least.sum())
    assert found[kept] == pytest.approx(np.mean(alone, axis=0), abs=2e-3)


def test_equal_heads_have_equal_weights() -> None:
    heads = library(heads=6)
    doubled = Library(np.repeat(heads.log_probabilities, 2, axis=0), heads.labels, heads.folds, heads.sizes.repeat(2))
    (shares,) = stacked(doubled, ALL_ROWS, members=100)
    assert shares[::2] == pytest.approx(shares[1::2], abs=1e-3)


def test_rows_overrule_the_prior(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a head that is right and one that is wrong the prior would have half; it has less to say of many rows."""
    labels = np.arange(N) % 3
    right, wrong = (np.log(0.1 + 0.7 * np.eye(3)[(labels + k) % 3]) for k in (0, 1))
    heads = Library.of([right, wrong], labels, np.zeros(N, int), [5, 4])
    shares = []
    for prior in (1e5, 300.0, 1.0):
        monkeypatch.setattr(stacking, "PRIOR", prior)
        shares.append(stacked(heads, ALL_ROWS, members=100)[0, 1])
    assert shares[0] == pytest.approx(0.5, abs=0.01)
    assert 0 < shares[1] < 0.4
    assert shares[2] == 0


def test_of_level_heads_the_simpler_stays() -> None:
    labels = np.arange(N) % 3
    logp = np.log(0.1 + 0.7 * np.eye(3)[labels])
    heads = Library.of([logp, logp * (1 + 1e-7), logp], labels, np.zeros(N, int), [5, 6, 4])
    assert stacked(heads, ALL_ROWS, members=1).tolist() == [[0.0, 0.0, 1.0]]


def test_where_no_head_knows_anything_the_least_bad_one_is_taken() -> None:
    """Heads that are surely wrong have no weight; one has to predict all the same."""
    labels = np.arange(N) % 3
    wrong = [np.log(np.where(np.eye(3)[(labels + 1) % 3] > 0, p, (1 - p) / 2)) for p in (0.98, 0.96)]
    heads = Library.of(wrong, labels, np.zeros(N, int), [5, 5])
    many = Library.of(wrong * 400, labels, np.zeros(N, int), [5] * 800)
    assert stacked(heads, ALL_ROWS, members=3)[0].sum() == 1
    shares = stacked(many, ALL_ROWS, members=3)
    assert shares[0].sum() == pytest.approx(1)
    assert bagged(many, ALL_ROWS, np.full((1, 800), 1 / 800), members=3).tolist() == pytest.approx(
        [1 / 3] * 3 + [0] * 797
    )


def test_the_weights_are_the_same_bits_for_any_number_of_threads() -> None:
    heads = library()
    with threadpool_limits(1):
        alone = stacked(heads, DRAWS, members=100)
    with threadpool_limits(3):
        np.testing.assert_array_equal(stacked(heads, DRAWS, members=100), alone)
