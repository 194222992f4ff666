"""Two classes: the same code is logistic regression."""

import numpy as np
import pytest
from head2toe.select.objective.penalties import L1
from head2toe.select.solver.path import path
from head2toe.store.reading.design_matrix import ArrayDesign
from sklearn.linear_model import LogisticRegression


@pytest.mark.parametrize(("penalty", "share"), [(None, 1 / np.sqrt(2)), (L1(), 1.0)], ids=["l21", "l1"])
def test_scikit_learn_s_sparse_logistic_regression_agrees(penalty, share, cpu, make_data):
    """Softmax over two classes is the logistic function of wᵀx + b with w_j = W_j2 - W_j1.

    The loss sees w alone, and of all W_j with that difference the penalty likes best W_j = (-w_j, w_j) / 2, whose norm
    is |w_j| / √2; with l1 any split of |w_j| between the two costs |w_j|.
    """
    X, y = make_data(C=2, d=80)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    masks = np.ones((1, len(y)), bool)
    settings = {"n_classes": 2, "ratios": (0.7, 0.3, 0.1), "tol": 1e-4, "penalty": penalty, "arrays": cpu}
    for point in path(ArrayDesign(X), y, masks, **settings):
        solution, strength = point.solutions[0], share * point.lambdas[0]
        peer = LogisticRegression(l1_ratio=1.0, C=1 / (strength * len(y)), solver="saga", tol=1e-7, max_iter=100_000)
        peer.fit(X.astype(float), y)

        def objective(w, b, strength=strength):
            return np.logaddexp(0, -(2 * y - 1) * (X @ w + b)).mean() + strength * np.abs(w).sum()

        w = np.zeros(X.shape[1])
        w[solution.columns] = solution.coef[:, 1] - solution.coef[:, 0]
        b = solution.intercept[1] - solution.intercept[0]
        assert solution.converged
        assert objective(w, b) == pytest.approx(solution.objective, rel=1e-5)
        best = objective(peer.coef_[0], peer.intercept_[0])
        assert solution.objective == pytest.approx(best, rel=1e-4)
        assert solution.objective >= best - 1e-6
        np.testing.assert_allclose(w, peer.coef_[0], atol=0.02)
        if penalty is None:
            np.testing.assert_allclose(solution.coef[:, 0], -solution.coef[:, 1], atol=1e-6)
