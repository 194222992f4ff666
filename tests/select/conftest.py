"""Small problems, and an independent way to solve them."""

import array_api_strict
import numpy as np
import pytest
import torch
from head2toe.select.compute.arrays import Arrays, namespace


@pytest.fixture
def cpu():
    return namespace("cpu")


NAMESPACES = ["numpy", "torch", "array_api_strict", "cupy_double", pytest.param("cupy", marks=pytest.mark.gpu)]


@pytest.fixture(params=NAMESPACES)
def arrays(request):
    """Every namespace; the strict one on a device from which nothing comes back by accident."""
    if request.param == "numpy":
        return namespace("cpu")
    if request.param == "cupy_double":
        request.getfixturevalue("cupy_double")
    if request.param.startswith("cupy"):
        return namespace("cuda")
    if request.param == "torch":
        import array_api_compat.torch as xp

        return Arrays(xp, torch.device("cpu"), "torch")
    return Arrays(array_api_strict, array_api_strict.Device("device1"), "strict")


torch.set_num_threads(1)  # spinning threads only get in each other's way on matrices this small


def _make_data(n=60, d=120, C=3, seed=0, noise=1.0, correlation=0.6):
    """Correlated features, some of which tell the classes apart; unequal means and scales; every class present."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(C), rng.integers(0, C, max(n - C, 0))])[:n]
    X = noise * rng.standard_normal((n, d)) + correlation * rng.standard_normal((n, 1))
    signal = min(d, 3 * C)
    X[:, :signal] += rng.standard_normal((C, signal))[y]
    X = X * rng.uniform(0.5, 2, d) + rng.uniform(-3, 3, d)
    return X.astype(np.float32), y


def _split_masks(n, K):
    """K leave-one-part-out row sets and the set of all rows."""
    masks = np.ones((K + 1, n), bool)
    for k in range(K):
        masks[k, k::K] = False
    return masks


def _softmax_loss(X, y, W, b):
    """Mean cross-entropy, and its gradient in the predictions."""
    Z = X @ W + b
    Z = Z - Z.max(axis=1, keepdims=True)
    P = np.exp(Z)
    P /= P.sum(axis=1, keepdims=True)
    rows = np.arange(len(y))
    loss = -(Z[rows, y] - np.log(np.exp(Z).sum(axis=1))).mean()
    P[rows, y] -= 1
    return loss, P / len(y)


def _slow_solution(X, y, lam, C, prox, value, steps=20000):
    """Plain accelerated proximal gradient in float64, on centred features: slow, simple, independent of the package."""
    X = np.asarray(X, np.float64)
    Xc = X - X.mean(axis=0)
    design = np.hstack([Xc, np.ones((len(X), 1))])
    step = 1 / (np.linalg.norm(design, 2) ** 2 / 2 / len(X))
    V = old = np.zeros((X.shape[1] + 1, C))
    best, t = np.inf, 1.0
    for i in range(steps):
        _, G = _softmax_loss(Xc, y, V[:-1], V[-1])
        new = V - step * (design.T @ G)
        new[:-1] = prox(new[:-1], step * lam)
        if ((V - new) * (new - old)).sum() > 0:
            t = 1.0
        t_next = (1 + np.sqrt(1 + 4 * t * t)) / 2
        V, old, t = new + (t - 1) / t_next * (new - old), new, t_next
        if i % 500 == 499:
            objective = _softmax_loss(Xc, y, old[:-1], old[-1])[0] + lam * value(old[:-1])
            if best - objective < 1e-13:
                break
            best = objective
    return objective, old[:-1]


@pytest.fixture
def make_data():
    return _make_data


@pytest.fixture
def split_masks():
    return _split_masks


@pytest.fixture
def softmax_loss():
    return _softmax_loss


@pytest.fixture
def slow_solution():
    return _slow_solution
