"""A certificate holds: the bounds are those of the exact optimum, and grow with the distance from it."""

import numpy as np
import pytest
from head2toe.probe.forgetting.certificate import least_squares, logistic
from head2toe.probe.heads.crossval import Weights
from sklearn.linear_model import LogisticRegression, Ridge


def rows(n: int, k: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Scaled features (k, n) and labels."""
    rng = np.random.default_rng([n, k])
    labels = rng.integers(0, classes, n)
    Z = rng.standard_normal((n, k)) / np.sqrt(k)
    Z[:, :classes] += 0.3 * np.eye(classes)[labels]
    return Z.T, labels


@pytest.mark.parametrize(("n", "k", "C"), [(80, 30, 10.0), (50, 200, 300.0)])
def test_a_logistic_head_is_as_near_the_optimum_as_its_certificate_says(n: int, k: int, C: float) -> None:
    values, labels = rows(n, k, 4)
    peer = LogisticRegression(C=C, tol=1e-12, max_iter=50_000).fit(values.T, labels)
    optimum = Weights(peer.coef_.T, peer.intercept_)
    at_optimum = logistic(values, labels, optimum, C)
    assert at_optimum.error is not None
    assert at_optimum.error < 1e-4
    for size in (1e-3, 1e-2, 0.3):
        noise = np.random.default_rng(0).standard_normal(peer.coef_.T.shape)
        noise *= size * np.linalg.norm(peer.coef_) / np.linalg.norm(noise)
        found = logistic(values, labels, Weights(peer.coef_.T + noise, peer.intercept_ + 7), C)
        assert found.error is not None
        assert found.gap is not None
        true = np.linalg.norm(noise) / np.linalg.norm(peer.coef_.T + noise)
        assert true <= found.error + at_optimum.error
        assert found.gap > 1e-4 * size**2


@pytest.mark.parametrize(("n", "k", "C", "scale"), [(60, 20, 10.0, 3.0), (30, 100, 1000.0, 0.5)])
def test_a_ridge_head_is_as_near_the_optimum_as_its_certificate_says(n: int, k: int, C: float, scale: float) -> None:
    values, labels = rows(n, k, 3)
    peer = Ridge(alpha=10 / C).fit(values.T, np.eye(3)[labels])
    exact = Weights(scale * peer.coef_.T, scale * peer.intercept_)
    found = least_squares(values, labels, exact, C, scale)
    assert found.error is not None
    assert found.error < 1e-9
    moved = least_squares(values, labels, Weights(1.01 * exact.coef, exact.intercept), C, scale)
    assert moved.error is not None
    assert moved.error >= 0.01 / 1.01
    assert moved.gap is not None
    assert moved.gap > 0


def test_values_are_read_some_columns_at_a_time() -> None:
    """More columns than are brought to float64 at once give the certificate of the mathematics."""
    values, labels = rows(20, 2500, 3)
    V = np.random.default_rng(1).standard_normal((2500, 3))
    found = least_squares(values, labels, Weights(V, np.zeros(3)), 10.0, 1.0)
    residuals = values.T @ V - np.eye(3)[labels]
    gradient = V + values @ (residuals - residuals.mean(axis=0))
    assert found.gradient_norm == pytest.approx(np.linalg.norm(gradient), rel=1e-12)
