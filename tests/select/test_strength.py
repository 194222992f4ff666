"""`alpha` is the strength beside a mean of losses; the optimality conditions say so, and scikit-learn agrees."""

import numpy as np
import pytest
from head2toe.select.estimators import GroupLassoClassifier, GroupLassoSelector
from head2toe.store.reading.design_matrix import ArrayDesign
from scipy.special import softmax
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression


def noisy(C=3, n=90, d=30):
    """Classes that two features tell apart, not quite; features of different spread."""
    rng = np.random.default_rng(C)
    X = rng.normal(size=(n, d)) * rng.uniform(0.2, 3, d)
    return X, (X[:, 0] / X[:, 0].std() + X[:, 1] / X[:, 1].std() + rng.normal(size=n)).argsort().argsort() * C // n


def gradients(X, y, probabilities, weights, *, standardize):
    """X_jᵀ(P - Y) / n of every feature (d, C), of unit variance if asked for; rows count by their weights."""
    shares = weights / weights.sum()
    centred = X - shares @ X
    scale = np.sqrt(shares @ centred**2) if standardize else np.ones(X.shape[1])
    return (centred / scale).T @ (shares[:, None] * (probabilities - np.eye(y.max() + 1)[y])), scale


def largest_strength(X, y, weights, *, standardize):
    """The largest norm of a feature's gradient where all are left out: λ_max by its formula."""
    frequencies = np.bincount(y, weights) / weights.sum()
    null, _ = gradients(X, y, frequencies, weights, standardize=standardize)
    return np.linalg.norm(null, axis=1).max()


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("C", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_optimality_conditions_hold_at_alpha(C, standardize, weighted):
    X, y = noisy(C)
    weights = np.resize([2.0, 1.0, 0.5], len(y)) if weighted else np.ones(len(y))
    alpha = 0.3 * largest_strength(X, y, weights, standardize=standardize)
    model = GroupLassoClassifier(alpha, standardize=standardize, tol=1e-7)
    model.fit(X, y, sample_weight=weights if weighted else None)
    assert model.alpha_ == alpha
    G, scale = gradients(X, y, model.predict_proba(X), weights, standardize=standardize)
    W = model.coef_.T * scale[:, None]
    norms = np.linalg.norm(W, axis=1)
    chosen = norms > 0
    assert 0 < chosen.sum() < len(norms)
    np.testing.assert_allclose(G[chosen], -alpha * W[chosen] / norms[chosen, None], atol=5e-3 * alpha)
    assert np.linalg.norm(G[~chosen], axis=1).max() <= alpha * (1 + 5e-3)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("weights", [None, (3.0, 1.0)])
def test_alpha_max_is_the_smallest_strength_that_leaves_no_feature(standardize, weights):
    X, y = noisy()
    of_rows = None if weights is None else np.resize(weights, len(y))
    model = GroupLassoClassifier(standardize=standardize, tol=1e-6).fit(X, y, sample_weight=of_rows)
    counted = np.ones(len(y)) if of_rows is None else of_rows
    assert model.alpha_max_ == pytest.approx(largest_strength(X, y, counted, standardize=standardize), rel=1e-5)
    for n_alphas in (1, 8):
        for alpha in (model.alpha_max_, 1.5 * model.alpha_max_, 1e6):
            null = clone(model).set_params(alpha=alpha, n_alphas=n_alphas).fit(X, y, sample_weight=of_rows)
            assert not null.coef_.any()
            assert null.alpha_ == alpha
            np.testing.assert_allclose(null.alphas_, np.full(n_alphas, alpha))
            np.testing.assert_allclose(null.predict_proba(X)[0], np.bincount(y, counted) / counted.sum(), rtol=1e-6)
    below = clone(model).set_params(alpha=0.98 * model.alpha_max_).fit(X, y, sample_weight=of_rows)
    assert below.coef_.any()


@pytest.mark.parametrize("estimator", [GroupLassoClassifier(tol=1e-6), GroupLassoSelector(tol=1e-6)])
def test_the_share_of_alpha_max_is_the_same_strength(estimator):
    X, y = noisy()
    share = clone(estimator).set_params(alpha_ratio=0.2).fit(X, y)
    assert share.alpha_ == pytest.approx(0.2 * share.alpha_max_)
    absolute = clone(estimator).set_params(alpha=share.alpha_).fit(X, y)
    np.testing.assert_allclose(absolute.coef_, share.coef_, atol=1e-4 * np.abs(share.coef_).max())
    np.testing.assert_allclose(absolute.alphas_, share.alphas_)
    design = clone(estimator).set_params(alpha=share.alpha_).fit(ArrayDesign(X.astype(np.float32)), y)
    np.testing.assert_allclose(design.coef_, share.coef_, atol=1e-3 * np.abs(share.coef_).max())
    default = clone(estimator).fit(X, y)
    tenth = clone(estimator).set_params(alpha_ratio=0.1).fit(X, y)
    assert np.array_equal(default.coef_, tenth.coef_)


def test_rows_that_all_count_twice_do_not_change_what_alpha_means():
    X, y = noisy()
    model = GroupLassoClassifier(0.05, tol=1e-7)
    once, twice = clone(model).fit(X, y), clone(model).fit(np.r_[X, X], np.r_[y, y])
    np.testing.assert_allclose(twice.coef_, once.coef_, atol=1e-4 * np.abs(once.coef_).max())
    assert twice.alpha_max_ == pytest.approx(once.alpha_max_)


def test_two_classes_are_scikit_learn_s_logistic_regression():
    X, y = noisy(C=2)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    model = GroupLassoClassifier(0.1, tol=1e-7).fit(X, y)
    peer = LogisticRegression(l1_ratio=1.0, C=np.sqrt(2) / (0.1 * len(y)), solver="saga", tol=1e-9, max_iter=100_000)
    peer.fit(X, y)
    np.testing.assert_allclose(model.coef_[1] - model.coef_[0], peer.coef_[0], atol=2e-3)
    Z = X @ model.coef_.T + model.intercept_
    np.testing.assert_allclose(softmax(Z, axis=1), peer.predict_proba(X), atol=2e-3)


@pytest.mark.parametrize("estimator", [GroupLassoClassifier, GroupLassoSelector])
def test_both_strengths_are_refused(estimator):
    with pytest.raises(ValueError, match=r"alpha \(.*\) or alpha_ratio \(.*\), not both: alpha=0.1, alpha_ratio=0.2"):
        estimator(alpha=0.1, alpha_ratio=0.2).fit(*noisy())
