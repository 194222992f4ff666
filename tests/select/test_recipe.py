"""The paper's recipe trains what it says it trains."""

import numpy as np
import pytest
from head2toe.select.recipe import Setting, train
from head2toe.store.errors import BadRequest


def objective(X, y, W, b, lam, softmax_loss):
    return softmax_loss(X.astype(float), y, W, b)[0] + lam * np.linalg.norm(W, axis=1).sum()


def test_it_comes_near_the_optimum_when_it_has_time(cpu, make_data, softmax_loss, slow_solution):
    X, y = make_data(n=100, d=30)
    X -= X.mean(axis=0)
    lam, rows = 0.02, np.arange(100)
    heads = train(X, y, [rows], [Setting(lam, 0.02)], n_classes=3, steps=3000, seed=0, arrays=cpu)

    def shrink(V, t):
        length = np.linalg.norm(V, axis=1, keepdims=True)
        return V * np.maximum(1 - t / np.maximum(length, 1e-300), 0)

    best, _ = slow_solution(X, y, lam, 3, shrink, lambda W: np.linalg.norm(W, axis=1).sum())
    found = objective(X, y, heads.W[0, 0], heads.b[0, 0], lam, softmax_loss)
    assert best <= found < 1.03 * best


def test_heads_trained_together_use_their_own_rows_only(cpu, make_data):
    """Rows outside a set don't move its head, whatever they hold."""
    X, y = make_data()
    row_sets, settings = [np.arange(0, 40), np.arange(10, 60)], [Setting(1e-3), Setting(1e-2, 0.1)]
    first = train(X, y, row_sets, settings, n_classes=3, steps=20, seed=1, arrays=cpu)
    X[45:] = 7.0
    second = train(X, y, row_sets, settings, n_classes=3, steps=20, seed=1, arrays=cpu)
    np.testing.assert_allclose(first.W[0], second.W[0], atol=1e-5)
    assert np.abs(first.W[1] - second.W[1]).max() > 1e-2
    assert first.scores.shape == (2, 2, X.shape[1])


def test_namespaces_agree(arrays, cpu, make_data):
    X, y = make_data(d=20)
    sets, settings = [np.arange(60), np.arange(30)], [Setting(1e-2), Setting(1e-3)]
    ours = train(X, y, sets, settings, n_classes=3, steps=10, seed=0, arrays=arrays)
    theirs = train(X, y, sets, settings, n_classes=3, steps=10, seed=0, arrays=cpu)
    np.testing.assert_allclose(ours.W, theirs.W, atol=1e-4)


def test_a_seed_gives_the_same_bits(cpu, make_data):
    X, y = make_data()
    first, second = (
        train(X, y, [np.arange(60)], [Setting(1e-3)], n_classes=3, steps=5, seed=3, arrays=cpu) for _ in range(2)
    )
    assert np.array_equal(first.W, second.W)


def test_nothing_to_train(cpu, make_data):
    X, y = make_data()
    with pytest.raises(BadRequest, match="at least one step"):
        train(X, y, [np.arange(60)], [Setting(1e-3)], n_classes=3, steps=0, seed=3, arrays=cpu)
