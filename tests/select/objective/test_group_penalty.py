"""Groups of features are chosen as wholes, to the same certificate."""

import numpy as np
import pytest
from head2toe.select.compute.arrays import to_numpy
from head2toe.select.objective.group_penalty import GroupNorm
from head2toe.select.objective.penalties import GroupL21
from head2toe.select.solver.path import path
from head2toe.store.common.errors import BadRequest
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design_matrix import ArrayDesign

GROUP = np.arange(120) * 7 % 17  # groups of 7 or 8 features that lie apart


def solve(X, y, penalty, *, masks=None, ratios=(1.0, 0.6, 0.3, 0.1), arrays, **settings):
    masks = np.ones((1, len(y)), bool) if masks is None else masks
    settings = {"tol": 1e-5, "standardize": True} | settings
    return list(path(ArrayDesign(X), y, masks, n_classes=3, ratios=ratios, arrays=arrays, penalty=penalty, **settings))


def lengths(V):
    return np.array([np.linalg.norm(V[g == GROUP]) for g in range(17)])


@pytest.mark.parametrize("newton", [True, False])
def test_an_independent_solver_agrees(newton, cpu, make_data, slow_solution, monkeypatch):
    monkeypatch.setattr("head2toe.select.objective.group_penalty.MOST_BY_NEWTON", 3000 if newton else 0)
    X, y = make_data()
    Xs = (X - X.mean(axis=0)) / X.std(axis=0)
    weight = np.sqrt(np.bincount(GROUP))

    def shrink(V, t):
        return V * np.maximum(1 - t * weight / np.maximum(lengths(V), 1e-300), 0)[GROUP, None]

    for point in solve(X, y, GroupNorm(GROUP), arrays=cpu, tol=1e-5 if newton else 1e-3):
        solution = point.solutions[0]
        assert solution.converged
        objective, W = slow_solution(Xs, y, point.lambdas[0], 3, shrink, lambda W: (weight * lengths(W)).sum())
        assert solution.objective == pytest.approx(objective, rel=1e-5 if newton else 1e-3)
        if newton:
            ours = np.zeros_like(W)
            ours[solution.columns] = solution.coef * X.std(axis=0)[solution.columns, None]
            assert np.abs(ours - W).max() < 2e-2 * max(np.abs(W).max(), 1e-2)


def test_groups_enter_as_wholes_and_none_above_lambda_max(cpu, make_data, split_masks, monkeypatch):
    """Also where a working set has room for a few features only, and a constant feature gets no weight."""
    monkeypatch.setattr("head2toe.select.solver.row_set.SMALLEST_WORKING_SET", 3)
    X, y = make_data()
    X[:, 5] = 1.0
    alive = np.arange(120) != 5
    numbers = []
    for point in solve(X, y, GroupNorm(GROUP), masks=split_masks(60, 2), ratios=(1.5, 1.0, 0.9, 0.3), arrays=cpu):
        for solution in point.solutions:
            assert solution.converged
            chosen = np.isin(GROUP, GROUP[solution.columns]) & alive
            assert solution.columns.tolist() == np.flatnonzero(chosen).tolist()
        numbers.append(len(np.unique(GROUP[point.solutions[-1].columns])))
    assert numbers[:2] == [0, 0]
    assert 0 < numbers[2] < numbers[3] < 17


def test_groups_of_one_feature_are_the_paper_s_penalty(arrays, cpu, make_data):
    X, y = make_data()
    for ours, theirs in zip(
        solve(X, y, GroupNorm(np.arange(120)), arrays=arrays, tol=1e-4),
        solve(X, y, GroupL21(), arrays=cpu, tol=1e-4),
        strict=True,
    ):
        assert ours.solutions[0].converged
        assert ours.lambdas == pytest.approx(theirs.lambdas, rel=1e-5)
        assert ours.solutions[0].objective == pytest.approx(theirs.solutions[0].objective, rel=2e-4)


def test_groups_reach_over_blocks(cpu, make_data, monkeypatch):
    X, y = make_data()
    whole = solve(X, y, GroupNorm(GROUP), arrays=cpu)
    monkeypatch.setattr("head2toe.select.compute.stream.BLOCK_BYTES", 1000)
    for one, other in zip(whole, solve(X, y, GroupNorm(GROUP), arrays=cpu), strict=True):
        assert one.lambdas == pytest.approx(other.lambdas)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)


def test_layers_and_taps():
    layers = LayerIndex(("512/a", "512/b", "4096/a"), (2, 1, 3))
    assert GroupNorm.by_layer(layers).whole(np.array([1])).tolist() == [0, 1]
    by_tap = GroupNorm.by_layer(layers, lambda name: name.split("/")[1])
    assert by_tap.whole(np.array([4])).tolist() == [0, 1, 3, 4, 5]


def test_the_model_bounds_the_penalty_from_above_and_touches_it(arrays):
    """Newton's steps are then steps down."""
    rng = np.random.default_rng(0)
    penalty, xp = GroupNorm(np.arange(6) % 2), arrays.xp
    W, D = (arrays.put(rng.standard_normal((6, 3))) for _ in range(2))
    model = penalty.local(W, 0.3, xp)
    slope = float(to_numpy(xp.sum(model.gradient * D)))
    curvature = float(to_numpy(xp.sum(D * model.hessian(D, xp))))
    for t in (-1.0, -0.1, 1e-4, 0.1, 1.0):
        change = penalty.value(W + t * D, 0.3, xp) - penalty.value(W, 0.3, xp)
        assert change <= t * slope + t * t * curvature / 2 + 1e-12
        assert change == pytest.approx(t * slope, abs=t * t * curvature / 2)


@pytest.mark.parametrize(
    ("group", "message"), [(np.ones(120), "one integer"), (np.ones(9, int), "groups for 9 features")]
)
def test_groups_that_make_no_sense(group, message, cpu, make_data):
    X, y = make_data()
    with pytest.raises(BadRequest, match=message):
        solve(X, y, GroupNorm(group), arrays=cpu)
