"""The sparse-group lasso: its dual norm is exact, its certificate true, and it chooses few rows of few groups."""

import numpy as np
import pytest
from head2toe.select.compute.arrays import to_numpy
from head2toe.select.objective.group_penalty import GroupNorm
from head2toe.select.objective.penalties import GroupL21
from head2toe.select.objective.sparse_group_penalty import SparseGroupNorm
from head2toe.select.solver.path import path
from head2toe.store.common.errors import BadRequest
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design_matrix import ArrayDesign

GROUP = np.arange(120) * 7 % 17  # groups of 7 or 8 features that lie apart
WEIGHT = np.sqrt(np.bincount(GROUP))


def solve(X, y, penalty, *, masks=None, ratios=(1.0, 0.6, 0.3, 0.1), arrays, **settings):
    masks = np.ones((1, len(y)), bool) if masks is None else masks
    settings = {"tol": 1e-5, "standardize": True} | settings
    return list(path(ArrayDesign(X), y, masks, n_classes=3, ratios=ratios, arrays=arrays, penalty=penalty, **settings))


def lengths(V):
    return np.array([np.linalg.norm(V[g == GROUP]) for g in range(17)])


def entering(r, tau, weight):
    """The λ at which the group whose rows have these lengths enters: the root, by bisection."""
    low, high = 0.0, r.max() / (1 - tau) + 1
    for _ in range(200):
        nu = (low + high) / 2
        if np.linalg.norm(np.clip(r - nu * (1 - tau), 0, None)) > nu * tau * weight:
            low = nu
        else:
            high = nu
    return high


@pytest.mark.parametrize("tau", [0.02, 0.3, 0.7, 0.98])
def test_the_dual_norm_of_every_group_is_the_root_of_its_equation(tau, arrays):
    rng = np.random.default_rng(0)
    for _ in range(20):
        group = rng.integers(0, 5, 30)
        r = np.abs(rng.standard_normal(30)) * rng.choice([0, 1, 5], 30)
        r[group == 3] = 0
        ours = to_numpy(SparseGroupNorm(group, tau).pooled(arrays.put(r), arrays.xp))
        for g in np.unique(group):
            rows = group == g
            nu = entering(r[rows], tau, np.sqrt(rows.sum())) if r[rows].any() else 0.0
            np.testing.assert_allclose(ours[rows], np.minimum(nu, r[rows] / (1 - tau)), atol=1e-10)
            assert ours[rows].max() == pytest.approx(nu, abs=1e-10), "the longest row stands for the group"


@pytest.mark.parametrize("tau", [0.1, 0.5, 0.9])
def test_a_group_enters_at_its_dual_norm_and_a_row_at_its_own(tau, cpu):
    """By the prox, which knows nothing of the dual norm: W = 0 is the prox of R / t from there on, and not before."""
    rng, penalty = np.random.default_rng(1), SparseGroupNorm(GROUP, tau)
    R = rng.standard_normal((120, 3))
    enters = penalty.pooled(penalty.norms(R, cpu.xp), cpu.xp)
    for lam in np.quantile(enters, [0.1, 0.5, 0.9, 1.0]):
        for factor, more in ((1 + 1e-9, False), (1 - 1e-9, True)):
            alive = np.any(penalty.prox(R, lam * factor, cpu.xp) != 0, axis=1)
            np.testing.assert_array_equal(alive, enters >= lam if more else enters > lam)


def test_the_prox_is_no_worse_than_what_a_search_finds(cpu):
    rng, penalty = np.random.default_rng(2), SparseGroupNorm(np.array([0, 0, 1, 1, 1]), 0.4)
    for _ in range(6):
        V = 2 * rng.standard_normal((5, 2))

        def cost(W, V=V):
            return ((W - V) ** 2).sum() / 2 + penalty.value(W, 0.8, cpu.xp)

        W = penalty.prox(V, 0.8, cpu.xp)
        best, step = V.copy(), 0.3
        for _ in range(4000):
            trial = best + step * rng.standard_normal(V.shape) * (rng.random((5, 1)) < 0.5)
            trial = trial * (rng.random((5, 1)) > 0.05)
            if cost(trial) < cost(best):
                best = trial
            else:
                step = max(step * 0.998, 1e-3)
        assert cost(W) <= cost(best) + 1e-12
        assert cost(best) <= cost(W) + 0.02, "the search has come near"


@pytest.mark.parametrize("tau", [0.2, 0.6])
@pytest.mark.parametrize("newton", [True, False])
def test_an_independent_solver_agrees(tau, newton, cpu, make_data, slow_solution, monkeypatch):
    monkeypatch.setattr("head2toe.select.objective.sparse_group_penalty.MOST_BY_NEWTON", 3000 if newton else 0)
    X, y = make_data()
    Xs = (X - X.mean(axis=0)) / X.std(axis=0)

    def shrink(V, t):
        length = np.linalg.norm(V, axis=1, keepdims=True)
        V = V * np.maximum(1 - t * (1 - tau) / np.maximum(length, 1e-300), 0)
        return V * np.maximum(1 - t * tau * WEIGHT / np.maximum(lengths(V), 1e-300), 0)[GROUP, None]

    def omega(W):
        return (1 - tau) * np.linalg.norm(W, axis=1).sum() + tau * (WEIGHT * lengths(W)).sum()

    for point in solve(X, y, SparseGroupNorm(GROUP, tau), arrays=cpu, tol=1e-5 if newton else 1e-3):
        solution = point.solutions[0]
        assert solution.converged
        objective, W = slow_solution(Xs, y, point.lambdas[0], 3, shrink, omega)
        assert solution.objective == pytest.approx(objective, rel=1e-5 if newton else 1e-3)
        if newton:
            ours = np.zeros_like(W)
            ours[solution.columns] = solution.coef * X.std(axis=0)[solution.columns, None]
            assert np.abs(ours - W).max() < 2e-2 * max(np.abs(W).max(), 1e-2)


def test_the_gap_holds_over_all_features_though_the_working_sets_are_small(cpu, make_data, split_masks, monkeypatch):
    """The dual value that the gap states, computed anew from the solution of one row set, is a lower bound."""
    monkeypatch.setattr("head2toe.select.solver.row_set.SMALLEST_WORKING_SET", 3)
    X, y = make_data()
    penalty, reference = SparseGroupNorm(GROUP, 0.4), {}
    for point in solve(X, y, penalty, masks=split_masks(60, 2), ratios=(1.5, 1.0, 0.9, 0.3), arrays=cpu, tol=1e-7):
        reference[point.ratio] = [solution.objective for solution in point.solutions]
    numbers = []
    for point in solve(X, y, penalty, masks=split_masks(60, 2), ratios=(1.5, 1.0, 0.9, 0.3), arrays=cpu, tol=1e-2):
        for solution, best in zip(point.solutions, reference[point.ratio], strict=True):
            assert solution.converged
            assert solution.objective * (1 - solution.gap) <= best * (1 + 1e-6)
        numbers.append(len(point.solutions[-1].columns))
    assert numbers[:2] == [0, 0]
    assert 0 < numbers[2] < numbers[3]


def test_few_rows_of_few_groups_are_chosen(cpu, make_data):
    X, y = make_data()
    point = solve(X, y, SparseGroupNorm(GROUP, 0.5), arrays=cpu)[2]
    columns = point.solutions[0].columns
    groups = np.unique(GROUP[columns])
    assert 0 < len(groups) < 17
    assert len(columns) < np.isin(GROUP, groups).sum(), "not all rows of the groups that have some"
    scores = point.scores[0]
    assert set(np.argsort(-scores)[: len(columns)]) == set(columns), "the chosen ones rank first"


@pytest.mark.parametrize(("tau", "limit"), [(1e-6, GroupL21()), (1 - 1e-6, GroupNorm(GROUP))])
def test_its_limits_are_the_two_penalties(tau, limit, cpu, make_data):
    X, y = make_data()
    for ours, theirs in zip(
        solve(X, y, SparseGroupNorm(GROUP, tau), arrays=cpu), solve(X, y, limit, arrays=cpu), strict=True
    ):
        assert ours.solutions[0].converged
        assert ours.lambdas == pytest.approx(theirs.lambdas, rel=1e-4)
        assert ours.solutions[0].objective == pytest.approx(theirs.solutions[0].objective, rel=1e-4)


def test_the_model_bounds_the_penalty_from_above_and_touches_it(arrays):
    """Newton's steps are then steps down."""
    rng = np.random.default_rng(0)
    penalty, xp = SparseGroupNorm(np.arange(6) % 2, 0.4), arrays.xp
    W, D = (arrays.put(rng.standard_normal((6, 3))) for _ in range(2))
    model = penalty.local(W, 0.3, xp)
    slope = float(to_numpy(xp.sum(model.gradient * D)))
    curvature = float(to_numpy(xp.sum(D * model.hessian(D, xp))))
    for t in (-1e-3, -1e-4, 1e-4, 1e-3):
        change = penalty.value(W + t * D, 0.3, xp) - penalty.value(W, 0.3, xp)
        assert change <= t * slope + t * t * curvature / 2 + 1e-9
        assert change == pytest.approx(t * slope, abs=t * t * curvature / 2 + 1e-9)


def test_on_every_array_library(arrays, cpu, make_data):
    X, y = make_data()
    for ours, theirs in zip(
        solve(X, y, SparseGroupNorm(GROUP, 0.4), arrays=arrays, tol=1e-4),
        solve(X, y, SparseGroupNorm(GROUP, 0.4), arrays=cpu, tol=1e-4),
        strict=True,
    ):
        assert ours.solutions[0].converged
        assert ours.lambdas == pytest.approx(theirs.lambdas, rel=1e-5)
        assert ours.solutions[0].objective == pytest.approx(theirs.solutions[0].objective, rel=2e-4)


def test_layers_and_taps():
    layers = LayerIndex(("512/a", "512/b", "4096/a"), (2, 1, 3))
    by_tap = SparseGroupNorm.of_layers(layers, 0.5, lambda name: name.split("/")[1])
    assert by_tap.group.tolist() == [0, 0, 1, 0, 0, 0]
    np.testing.assert_allclose(by_tap.weight**2, [5, 5, 1, 5, 5, 5])


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, np.nan])
def test_a_share_that_is_no_mixture_is_refused(share):
    with pytest.raises(BadRequest, match=r"the share of the groups in the penalty is .*: give one between 0 and 1"):
        SparseGroupNorm(GROUP, share)
