"""Problems side by side: the numbers of each are those that it has alone."""

from dataclasses import replace

import numpy as np
import pytest
from head2toe.select.compute.arrays import to_numpy
from head2toe.select.objective.datafits import Multinomial
from head2toe.select.objective.penalties import L1, GroupL21
from head2toe.select.solver import subproblem
from head2toe.select.solver.path import path
from head2toe.select.solver.row_set import RowSet
from head2toe.select.solver.subproblem import WorkingFeatures, solve_together
from head2toe.store.reading.design_matrix import ArrayDesign

N, D, CLASSES = 90, 70, 4


@pytest.fixture
def data(make_data):
    return make_data(n=N, d=D, C=CLASSES)


def row_set(data, rows, lam_share, working, arrays, datafit=None, penalty=None):
    """A row set at a share of its λ_max, with a working set."""
    X, y = data
    mean, scale = X[rows].mean(axis=0), 1 / X[rows].std(axis=0)
    datafit, penalty = datafit or Multinomial(), penalty or GroupL21()
    s = RowSet(y[rows], rows, mean, scale.astype(np.float32), CLASSES, datafit, penalty, arrays)
    norms = penalty.norms(((X[rows] - mean) * scale).T @ to_numpy(s.null.residual), np)
    s.begin(lam_share * float(norms.max()), 1e-3)
    s.working = np.sort(working)
    return s


def subproblems_of(data, arrays, **terms):
    """Of different rows, features, strengths and numbers of them."""
    rng = np.random.default_rng(1)
    subproblems = []
    for n, p, share in ((N, D, 0.5), (70, 40, 0.3), (81, 55, 0.1), (75, 70, 0.9)):
        rows, working = np.sort(rng.choice(N, n, replace=False)), rng.choice(D, p, replace=False)
        subproblems.append(row_set(data, rows, share, working, arrays, **terms).subproblem())
    return subproblems


def features_of(data):
    return WorkingFeatures(ArrayDesign(data[0]), np.arange(D))


def agree(solution, alone):
    assert solution.gap <= 1e-3 * 0.4
    np.testing.assert_allclose(solution.objective, alone.objective, rtol=1e-3)
    np.testing.assert_allclose(to_numpy(solution.fit.mean), to_numpy(alone.fit.mean), atol=0.02)
    np.testing.assert_allclose(np.abs(to_numpy(solution.fit.residual).sum(axis=0)), 0, atol=1e-11)


def test_several_are_solved_as_each_alone(data, arrays, cpu):
    found = solve_together(subproblems_of(data, arrays), features_of(data), arrays)
    for k, one in enumerate(subproblems_of(data, cpu)):
        alone = one.solve(features_of(data).of(one), cpu)
        agree(found[k], alone)
        W, dual = to_numpy(found[k].W), found[k].dual
        assert W.shape == (len(one.columns), CLASSES)
        assert to_numpy(dual.residual).shape == (len(one.rows), CLASSES)
        assert (np.any(W != 0, axis=1) == np.any(alone.W != 0, axis=1)).mean() > 0.9


def test_what_float32_does_not_reach_is_solved_alone(data, arrays):
    tight = [replace(one, tol=1e-7) for one in subproblems_of(data, arrays)]
    found = solve_together(tight, features_of(data), arrays)
    assert all(found[k].gap <= 1e-7 for k in range(len(tight)))


@pytest.mark.parametrize(
    "terms",
    [{"penalty": L1()}, {"penalty": type("Own", (GroupL21,), {})()}],
    ids=["another penalty", "a user's own penalty"],
)
def test_other_kinds_are_solved_alone(data, cpu, monkeypatch, terms):
    """A subclass may change anything: it is not taken for its base."""
    monkeypatch.setattr(subproblem, "_in_lockstep", None)
    found = solve_together(subproblems_of(data, cpu, **terms), features_of(data), cpu)
    assert sorted(found) == [0, 1, 2, 3]
    for k, one in enumerate(subproblems_of(data, cpu, **terms)):
        alone = one.solve(features_of(data).of(one), cpu)
        np.testing.assert_array_equal(found[k].W, alone.W)


def test_row_sets_that_lack_a_class_have_a_stack_of_their_own(data, arrays, cpu):
    _, y = data
    few = np.flatnonzero(y != 2)
    sets = [row_set(data, rows, 0.4, np.arange(D), arrays) for rows in (np.arange(N), few, np.arange(N - 7))]
    found = solve_together([s.subproblem() for s in sets], features_of(data), arrays)
    for k, rows in enumerate((np.arange(N), few, np.arange(N - 7))):
        one = row_set(data, rows, 0.4, np.arange(D), cpu).subproblem()
        agree(found[k], one.solve(features_of(data).of(one), cpu))
    assert [found[k].W.shape[1] for k in range(3)] == [4, 3, 4]


def test_stacks_are_no_larger_than_they_may(data, cpu, monkeypatch):
    sizes, solved = [], subproblem._in_lockstep
    monkeypatch.setattr(subproblem, "MOST_STACKED", 2 * 4 * N * D)
    monkeypatch.setattr(subproblem, "_in_lockstep", lambda some, *rest: sizes.append(len(some)) or solved(some, *rest))
    found = solve_together(subproblems_of(data, cpu), features_of(data), cpu)
    assert sizes == [2, 2]
    assert sorted(found) == [0, 1, 2, 3]


def test_weighted_rows(data, arrays, cpu):
    def weighted(where):
        shares = np.random.default_rng(3).uniform(0.5, 2, N)
        own = Multinomial(where.put(shares / shares.sum()))
        return [row_set(data, np.arange(N), share, np.arange(D), where, own).subproblem() for share in (0.5, 0.2)]

    found = solve_together(weighted(arrays), features_of(data), arrays)
    for k, one in enumerate(weighted(cpu)):
        agree(found[k], one.solve(features_of(data).of(one), cpu))


def test_a_path_in_lockstep(data, arrays, split_masks, cpu):
    """All of a path's subproblems on the device: every gap is certified, and the models are those of the CPU."""
    X, y = data
    design, ratios = ArrayDesign(X), [1.0, 0.7, 0.4, 0.2, 0.1]
    settings = {"n_classes": CLASSES, "ratios": ratios, "standardize": True, "tol": 1e-3}
    found, expected = (list(path(design, y, split_masks(N, 3), arrays=where, **settings)) for where in (arrays, cpu))
    assert len(found) == len(expected) == len(ratios)
    for one, other in zip(found, expected, strict=True):
        for mine, theirs in zip(one.solutions, other.solutions, strict=True):
            assert mine.converged
            np.testing.assert_allclose(mine.objective, theirs.objective, rtol=2e-3)
