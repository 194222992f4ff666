"""The estimators behave as scikit-learn expects."""

import numpy as np
import pytest
from head2toe.select.estimators import GroupLassoClassifier, GroupLassoSelector
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks


@parametrize_with_checks([GroupLassoClassifier(), GroupLassoSelector()])
@pytest.mark.filterwarnings("ignore")
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_in_a_pipeline_and_a_grid_search():
    X, y = load_digits(return_X_y=True)
    X, y = X[:300], y[:300]
    pipeline = make_pipeline(GroupLassoSelector(n_features_to_select=20), LogisticRegression(max_iter=2000))
    search = GridSearchCV(pipeline, {"grouplassoselector__alpha": [0.5, 0.05]}, cv=3).fit(X, y)
    assert search.best_score_ > 0.7
    assert search.best_estimator_[0].get_support().sum() == 20


def test_the_classifier_says_how_exact_it_is():
    X, y = load_digits(return_X_y=True)
    model = GroupLassoClassifier(alpha=0.02, tol=1e-4).fit(X[:500], y[:500])
    assert model.dual_gap_ <= 1e-4
    assert model.score(X[500:], y[500:]) > 0.85
    assert len(model.path_) == len(model.alphas_) == 8
    np.testing.assert_allclose(model.predict_proba(X[:10]).sum(axis=1), 1)
