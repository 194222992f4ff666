"""Leave-one-out is what training without the row gives: exactly for ridge, within the bound for logistic heads."""

import numpy as np
import pytest
from head2toe.probe.audit import leave_one_out
from head2toe.probe.audit.leave_one_out import LeftOut, logistic_left_out, ridge_left_out
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression


def rows(n: int, k: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([n, k])
    labels = rng.integers(0, classes, n)
    Z = rng.standard_normal((n, k)) / np.sqrt(k)
    Z[:, :classes] += 0.3 * np.eye(classes)[labels]
    return Z, labels


@pytest.mark.parametrize(("n", "k"), [(40, 12), (25, 90)])
def test_ridge_is_exact(n: int, k: int) -> None:
    Z, labels = rows(n, k, 3)
    found = ridge_left_out(Z, labels, 3, 10.0, 2.5)
    assert (found.bound == 0).all()
    for i in (0, 7, n - 1):
        keep = np.arange(n) != i
        mean, Y = Z[keep].mean(axis=0), np.eye(3)[labels[keep]]
        centred = Z[keep] - mean
        W = np.linalg.solve(centred.T @ centred + np.eye(k), centred.T @ (Y - Y.mean(axis=0)))
        expected = log_softmax(2.5 * ((Z[i] - mean) @ W + Y.mean(axis=0)))
        np.testing.assert_allclose(found.log_probabilities[i], expected, atol=1e-10)


def test_ridge_is_exact_where_next_to_nothing_is_left_of_a_row() -> None:
    """Many features and a weak penalty: the head knows every row, and 1 less the hat matrix is rounding."""
    n, k, C = 18, 300, 1e4
    rng = np.random.default_rng(0)
    Z, labels = rng.standard_normal((n, k)) * np.logspace(-2, 2, k), rng.integers(0, 3, n)
    found = ridge_left_out(Z, labels, 3, C, 1.0)
    for i in (0, 7, n - 1):
        keep = np.arange(n) != i
        mean, Y = Z[keep].mean(axis=0), np.eye(3)[labels[keep]]
        U, lengths, V = np.linalg.svd(Z[keep] - mean, full_matrices=False)
        W = V.T @ ((lengths / (lengths**2 + 10 / C))[:, None] * (U.T @ (Y - Y.mean(axis=0))))
        expected = log_softmax((Z[i] - mean) @ W + Y.mean(axis=0))
        np.testing.assert_allclose(found.log_probabilities[i], expected, atol=1e-6)


@pytest.mark.parametrize(("n", "k", "C"), [(80, 30, 10.0), (50, 200, 100.0)])
def test_logistic_heads_agree_with_training_without_the_row(n: int, k: int, C: float) -> None:
    Z, labels = rows(n, k, 4)
    some = np.array([3, 17, 40])
    found = logistic_left_out(Z, labels, 4, C, some)
    assert (found.bound <= leave_one_out.BOUND).all()
    for at, i in enumerate(some):
        keep = np.arange(n) != i
        head = LogisticRegression(C=C, tol=1e-10, max_iter=20_000).fit(Z[keep], labels[keep])
        np.testing.assert_allclose(found.log_probabilities[at], head.predict_log_proba(Z[[i]])[0], atol=2e-3)
        every = LogisticRegression(C=C, tol=1e-10, max_iter=20_000).fit(Z, labels)
        np.testing.assert_allclose(found.fitted[at], every.predict_log_proba(Z[[i]])[0], atol=1e-5)


def test_the_bound_holds_where_one_step_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the weights themselves: those after one step are as near the exact ones as the bound says, or nearer."""
    Z, labels = rows(60, 20, 3)
    i, C = 11, 300.0
    objective = leave_one_out._Objective.of(Z, labels, 3, C)
    theta = objective.minimum()
    counts = np.ones((60, 1))
    counts[i] = 0
    exact = theta[:, None]
    for _ in range(20):
        exact = objective.with_best_intercepts(
            exact + objective.newton(exact, counts, -objective.gradients(exact, counts)), counts
        )
    assert np.linalg.norm(objective.gradients(exact, counts)) < 1e-4 * np.linalg.norm(exact)
    monkeypatch.setattr(leave_one_out, "MOST_NEWTON_STEPS", 1)
    moved = []
    monkeypatch.setattr(
        leave_one_out._Objective,
        "with_best_intercepts",
        lambda self, W, n, original=leave_one_out._Objective.with_best_intercepts: (
            moved.append(original(self, W, n)) or moved[-1]
        ),
    )
    _, (bound,) = objective.without(np.array([i]), theta)
    error = np.linalg.norm((moved[-1] - exact)[:-1])
    step = np.linalg.norm((moved[-1] - theta[:, None])[:-1])
    assert bound > leave_one_out.BOUND
    assert 0 < error <= bound * step * (1 + 1e-6)


@pytest.mark.parametrize(("n", "k", "classes", "C"), [(30, 90, 5, 1e4), (40, 16, 6, 300.0), (100, 60, 7, 3e4)])
def test_heads_that_are_sure_of_every_row_are_left_one_row_out(n: int, k: int, classes: int, C: float) -> None:
    """Features of very different scales and a weak penalty: whole Newton steps went to infinity."""
    rng = np.random.default_rng(n)
    labels = np.concatenate([np.repeat(np.arange(classes), 2), rng.integers(0, classes, n - 2 * classes)])
    Z = rng.standard_normal((n, k)) * np.logspace(-2, 0.5, k)
    some = np.arange(20)
    found = logistic_left_out(Z, labels, classes, C, some)
    assert (found.bound <= leave_one_out.BOUND).all()
    keep = np.arange(n) != 19
    head = LogisticRegression(C=C, tol=1e-10, max_iter=50_000).fit(Z[keep], labels[keep])
    expected = head.predict_log_proba(Z[[19]])[0]
    np.testing.assert_allclose(found.log_probabilities[19], expected, rtol=2e-2, atol=2e-2)


def test_influence_is_what_a_label_owes_to_the_row_itself() -> None:
    Z, labels = rows(60, 100, 3)
    turned = labels.copy()
    turned[5] = (turned[5] + 1) % 3
    found = logistic_left_out(Z, turned, 3, 1000.0, np.arange(10))
    influence = found.influence(turned[:10])
    assert influence.argmax() == 5
    assert influence[5] > 1
    assert (influence > 0).all()


def test_no_row_is_no_work() -> None:
    Z, labels = rows(20, 5, 2)
    found = logistic_left_out(Z, labels, 2, 1.0, np.empty(0, np.int64))
    assert isinstance(found, LeftOut)
    assert found.log_probabilities.shape == (0, 2)
