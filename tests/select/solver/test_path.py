"""The path's answers are optimal: by the optimality conditions, by their gap, and beside another solver."""

from dataclasses import replace

import numpy as np
import pytest
from head2toe.select.objective.datafits import Multinomial, Quadratic
from head2toe.select.objective.penalties import L1, GroupL21, GroupL21Ridge
from head2toe.select.solver import schedule
from head2toe.select.solver.dual_norms import dual_norms
from head2toe.select.solver.path import path
from head2toe.select.solver.row_set import RowSet
from head2toe.store.common.errors import BadRequest
from head2toe.store.reading.design_matrix import ArrayDesign
from PIL import Image
from sklearn.linear_model import MultiTaskLasso
from threadpoolctl import threadpool_limits


def solve(X, y, masks=None, *, ratios=(1.0, 0.5, 0.2, 0.1), C=None, arrays, **settings):
    masks = np.ones((1, len(y)), bool) if masks is None else masks
    C = int(y.max()) + 1 if C is None else C
    return list(path(ArrayDesign(X), y, masks, n_classes=C, ratios=ratios, arrays=arrays, **settings))


def standardized(X, mask):
    mean, deviation = X[mask].mean(axis=0, dtype=float), X[mask].std(axis=0, dtype=float)
    return (X - mean) / np.where(deviation > 0, deviation, 1), deviation


def assert_optimal(X, y, points, softmax_loss):
    """-X_jᵀG = λ W_j / ||W_j|| on the support, ||X_jᵀG|| <= λ off it; and what is said of λ, objective, gap is true."""
    prior = np.bincount(y) / len(y)
    start = X.astype(float).T @ (prior - np.eye(len(prior))[y]) / len(y)
    lam_max = np.linalg.norm(start, axis=1).max()
    for point in points:
        solution, lam = point.solutions[0], point.lambdas[0]
        assert lam == pytest.approx(point.ratio * lam_max, rel=1e-4)
        assert solution.converged
        assert solution.gap <= 1e-6
        loss, G = softmax_loss(X[:, solution.columns].astype(float), y, solution.coef, solution.intercept)
        lengths = np.linalg.norm(solution.coef, axis=1)
        assert solution.objective == pytest.approx(loss + lam * lengths.sum(), rel=1e-5)
        gradient = X.astype(float).T @ G
        assert np.abs(G.sum(axis=0)).max() < 1e-6
        assert np.linalg.norm(gradient, axis=1).max() <= lam * (1 + 1e-3)
        inside = gradient[solution.columns] + lam * solution.coef / lengths[:, None]
        assert np.linalg.norm(inside, axis=1).max(initial=0) <= 0.03 * lam
        assert (len(solution.columns) == 0) == (point.ratio == 1)


@pytest.mark.parametrize("C", [2, 3, 10, 100, 397])
def test_the_gap_holds_and_the_subdifferential_is_met(C, cpu, make_data, softmax_loss):
    X, y = make_data(n=max(60, C + 40), d=300, C=C)
    assert_optimal(X, y, solve(X, y, arrays=cpu, tol=1e-6), softmax_loss)


@pytest.fixture(scope="session")
def real_features(shared_data):
    """500 photographs of cifar100, standardised: pixels, and means of 400 random filters; and their classes."""
    root = shared_data / "cifar100"
    names, labels = zip(*(line.split() for line in (root / "train800.txt").read_text().splitlines()[:500]), strict=True)
    images = np.stack([np.asarray(Image.open(root / name).convert("RGB"), np.float32) / 255 for name in names])
    windows = np.lib.stride_tricks.sliding_window_view(images[:, ::4, ::4], (3, 3), axis=(1, 2)).reshape(500, 36, 27)
    seen = np.maximum(windows @ np.random.default_rng(0).standard_normal((27, 400)), 0).mean(axis=1)
    X = np.hstack([images[:, ::4, ::4].reshape(500, -1), seen]).astype(np.float32)
    return (X - X.mean(axis=0)) / X.std(axis=0), np.array(labels, int)


@pytest.mark.parametrize("C", [2, 10, 100, 397])
def test_the_same_on_real_images(C, cpu, real_features, softmax_loss):
    """Their hundred classes, or groups of them; 397 of one or two images each stand for a task of so many classes."""
    X, labels = real_features
    labels = {2: labels // 50, 10: labels // 10, 100: labels, 397: np.arange(len(labels)) % 397}[C]
    y = np.unique(labels, return_inverse=True)[1]
    ratios = (1.0, 0.7, 0.5) if C == 397 else (1.0, 0.5, 0.2, 0.1)
    assert y.max() == C - 1
    assert_optimal(X, y, solve(X, y, ratios=ratios, arrays=cpu, tol=1e-6), softmax_loss)


@pytest.mark.parametrize("standardize", [False, True])
def test_an_independent_solver_agrees(standardize, cpu, make_data, split_masks, slow_solution):
    X, y = make_data()
    masks = split_masks(len(y), 3)
    points = solve(X, y, masks, arrays=cpu, tol=1e-6, standardize=standardize)
    for k, mask in enumerate(masks):
        for point in points:
            Xs, deviation = standardized(X, mask)
            if not standardize:
                Xs = Xs * deviation

            def shrink(V, t):
                length = np.linalg.norm(V, axis=1, keepdims=True)
                return V * np.maximum(1 - t / np.maximum(length, 1e-300), 0)

            objective, W = slow_solution(
                Xs[mask], y[mask], point.lambdas[k], 3, shrink, lambda W: np.linalg.norm(W, axis=1).sum()
            )
            solution = point.solutions[k]
            assert solution.objective == pytest.approx(objective, rel=2e-6)
            ours = np.zeros_like(W)
            ours[solution.columns] = solution.coef * (deviation[solution.columns, None] if standardize else 1)
            assert np.abs(ours - W).max() < 2e-2 * max(np.abs(W).max(), 1e-2)


def test_above_lambda_max_the_model_is_zero(cpu, make_data, split_masks):
    X, y = make_data()
    above, at, below = solve(X, y, split_masks(len(y), 2), ratios=(1.5, 1.0, 0.98), arrays=cpu, tol=1e-4)
    for point in (above, at):
        for solution in point.solutions:
            assert solution.converged
            assert len(solution.columns) == 0
    assert all(len(solution.columns) > 0 for solution in below.solutions)
    prior = np.bincount(y) / len(y)
    assert np.exp(above.solutions[-1].intercept) / np.exp(above.solutions[-1].intercept).sum() == pytest.approx(prior)


def test_row_sets_do_not_see_each_other(cpu, make_data, split_masks):
    X, y = make_data()
    masks = split_masks(len(y), 3)
    together = solve(X, y, masks, arrays=cpu, tol=1e-6)
    for k in range(len(masks)):
        alone = solve(X[masks[k]], y[masks[k]], arrays=cpu, tol=1e-6)
        for one, other in zip(together, alone, strict=True):
            assert one.solutions[k].objective == pytest.approx(other.solutions[0].objective, rel=3e-6)


def test_row_sets_go_on_without_waiting_for_each_other(cpu, make_data, split_masks, monkeypatch):
    X, y = make_data(n=120, d=900, C=5)
    monkeypatch.setattr("head2toe.select.solver.row_set.SMALLEST_WORKING_SET", 10)  # some need another round at their λ
    passes = {0: [], schedule.MOST_AHEAD: []}
    points = {}
    for ahead, widths in passes.items():

        def count(design, residuals, *rest, widths=widths):
            widths.append(len(residuals))
            return dual_norms(design, residuals, *rest)

        monkeypatch.setattr("head2toe.select.solver.path.dual_norms", count)
        monkeypatch.setattr(schedule, "MOST_AHEAD", ahead)
        masks, ratios = split_masks(len(y), 5), np.geomspace(1, 0.02, 12)
        points[ahead] = solve(X, y, masks, ratios=ratios, arrays=cpu, tol=1e-5)
    in_step, freely = passes.values()
    assert len(freely) < len(in_step)
    assert np.mean(freely) > np.mean(in_step)
    for one, other in zip(*points.values(), strict=True):
        for k in range(6):
            assert one.solutions[k].converged
            assert one.solutions[k].objective == pytest.approx(other.solutions[k].objective, rel=2e-5)


def test_how_far_a_row_set_may_be_ahead(cpu, make_data):
    X, y = make_data(d=20)
    scale = np.ones(20, np.float32)
    rowset = RowSet(y, np.arange(60), X.mean(axis=0), scale, 3, Multinomial(), GroupL21(), cpu)
    rowset.lam_max = rowset.lam = 1.0
    ahead = schedule.PathSchedule(rowset, np.ones(20, np.float32), np.geomspace(1, 0.1, 9), 1e-2)
    assert ahead.n_done == 1  # nothing is to be solved at λ_max
    ahead.n_done = 1 + schedule.MOST_AHEAD
    assert ahead.may_go_on(1)
    assert not ahead.may_go_on(0)
    rowset.fit = replace(rowset.fit, value=0.0)  # its classes separate
    assert not ahead.may_go_on(ahead.n_done - 1)
    assert ahead.may_go_on(ahead.n_done)
    ahead.n_done = 9
    assert not ahead.may_go_on(9)


def test_namespaces_agree(arrays, cpu, make_data, split_masks):
    X, y = make_data()
    masks = split_masks(len(y), 2)
    for ours, theirs in zip(
        solve(X, y, masks, arrays=arrays, tol=1e-5), solve(X, y, masks, arrays=cpu, tol=1e-5), strict=True
    ):
        for one, other in zip(ours.solutions, theirs.solutions, strict=True):
            assert one.converged
            assert one.objective == pytest.approx(other.objective, rel=2e-5)
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=0.02)


def test_the_same_call_gives_the_same_bits(cpu, make_data, split_masks):
    X, y = make_data()
    first, second = (solve(X, y, split_masks(len(y), 2), arrays=cpu) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one.scores, other.scores)


def test_scores_rank_the_support_first_and_the_tail_by_its_dual_norm(cpu, make_data, softmax_loss):
    X, y = make_data()
    point = solve(X, y, arrays=cpu, tol=1e-5)[-1]
    solution, scores = point.solutions[0], point.scores[0]
    inside = np.zeros(len(scores), bool)
    inside[solution.columns] = True
    assert scores.dtype == np.float32
    assert (scores[inside] > 1).all()
    assert (scores[~inside] <= 1).all()
    _, G = softmax_loss(X[:, solution.columns].astype(float), y, solution.coef, solution.intercept)
    tail = np.linalg.norm(X.astype(float).T @ G, axis=1) / point.lambdas[0]
    np.testing.assert_allclose(scores[~inside], np.minimum(tail, 1)[~inside], atol=1e-3)


def test_gradual_tolerances_are_kept(cpu, make_data):
    X, y = make_data(n=80, d=400, C=5)
    for tol in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6):
        for point in solve(X, y, arrays=cpu, tol=tol):
            assert point.solutions[0].gap <= tol


@pytest.mark.parametrize(
    ("penalty", "prox", "value"),
    [
        (L1(), lambda V, t: np.sign(V) * np.maximum(np.abs(V) - t, 0), lambda W: np.abs(W).sum()),
        (
            GroupL21Ridge(0.5),
            lambda V, t: V * np.maximum(1 - t / np.linalg.norm(V, axis=1, keepdims=True), 0) / (1 + 0.5 * t),
            lambda W: np.linalg.norm(W, axis=1).sum() + 0.25 * (W**2).sum(),
        ),
    ],
    ids=["l1", "l21+ridge"],
)
def test_other_penalties_agree_with_an_independent_solver(penalty, prox, value, cpu, make_data, slow_solution):
    X, y = make_data(d=60)
    for point in solve(X, y, arrays=cpu, tol=1e-4, penalty=penalty, standardize=True):
        solution = point.solutions[0]
        assert solution.converged
        Xs, _ = standardized(X, np.ones(len(y), bool))
        objective, _ = slow_solution(Xs, y, point.lambdas[0], 3, prox, value)
        assert solution.objective == pytest.approx(objective, rel=1e-4)


def test_least_squares_agrees_with_scikit_learn(cpu, make_data):
    """Multi-task lasso: scikit-learn's objective is the same."""
    X, _ = make_data(d=80)
    Y = np.random.default_rng(1).standard_normal((len(X), 4)) + X[:, :4]
    masks = np.ones((1, len(X)), bool)
    points = path(ArrayDesign(X), Y, masks, n_classes=4, ratios=(0.5, 0.1), tol=1e-6, arrays=cpu, datafit=Quadratic())
    for point in points:
        reference = MultiTaskLasso(alpha=point.lambdas[0], tol=1e-8, max_iter=100_000).fit(X.astype(float), Y)
        ours = np.zeros((80, 4))
        ours[point.solutions[0].columns] = point.solutions[0].coef
        np.testing.assert_allclose(ours, reference.coef_.T, atol=5e-3)
        np.testing.assert_allclose(point.solutions[0].intercept, reference.intercept_, atol=2e-2)


def test_threads_change_nothing(cpu, make_data, split_masks):
    X, y = make_data()
    with threadpool_limits(1):
        alone = solve(X, y, split_masks(len(y), 3), arrays=cpu)
    with threadpool_limits(2):
        together = solve(X, y, split_masks(len(y), 3), arrays=cpu)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)


def test_features_that_are_nearly_the_same_do_not_stall_it(make_data, split_masks, cpu):
    """One takes the weight of the other along a direction that gains little: see `line_search.step_lengths`."""
    X, y = make_data(n=90, d=50)
    noise = np.random.default_rng(0).standard_normal((4, *X.shape))
    X = np.concatenate([X + 1e-3 * one for one in noise], axis=1)
    settings = {"n_classes": 3, "ratios": np.geomspace(1, 0.03, 8), "tol": 1e-6, "standardize": True, "arrays": cpu}
    points = list(path(ArrayDesign(X), y, split_masks(90, 2), **settings))
    assert all(s.converged for point in points for s in point.solutions)
    assert sum(s.iterations for point in points for s in point.solutions) < 4000


def test_ratios_can_be_made_from_the_largest_strength_of_every_row_set(cpu, make_data):
    X, y = make_data(d=40)
    masks = np.ones((2, len(y)), bool)
    masks[0, ::4] = False
    known = []

    def ratios(lam_max):
        known.append(lam_max)
        return 0.5, 0.2

    points = solve(X, y, masks, ratios=ratios, arrays=cpu)
    for point, expected in zip(points, solve(X, y, masks, ratios=(0.5, 0.2), arrays=cpu), strict=True):
        np.testing.assert_array_equal(point.lambdas, expected.lambdas)
        np.testing.assert_array_equal(point.lambdas, point.ratio * known[0])
        np.testing.assert_array_equal(point.scores, expected.scores)
    with pytest.raises(BadRequest, match="positive and not rise"):
        solve(X, y, ratios=lambda lam_max: 0.1 * lam_max / lam_max.max() * np.arange(3), arrays=cpu)
