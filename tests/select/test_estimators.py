"""The estimators behave as scikit-learn expects."""

import numpy as np
import pytest
from head2toe.select.estimators import GroupLassoClassifier, GroupLassoSelector
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.management.catalogue import Catalogue
from head2toe.store.reading.design_matrix import ArrayDesign
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks


@pytest.fixture
def digits():
    """Few classes, exact in float16, no constant feature."""
    X, y = load_digits(n_class=4, return_X_y=True)
    X = X[:150, X[:150].std(axis=0) > 0.5].astype(np.float32)
    return X, np.array(["nought", "one", "two", "three"])[y[:150]]


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


@pytest.mark.parametrize("estimator", [GroupLassoClassifier(), GroupLassoSelector(n_features_to_select=0.2)])
def test_arrays_designs_and_stores_are_all_the_same(estimator, digits, tmp_path):
    X, y = digits
    names, layers = [f"{i:064x}" for i in range(len(X))], LayerIndex(("x",), (X.shape[1],))
    writer = Catalogue(tmp_path).writer({"dtype": "float32"}, names, layers, rows_per_block=64)
    for block in writer.pending():
        with writer.claim(block) as claimed:
            claimed.put(claimed.missing, {"x": X[[int(writer.images[row], 16) for row in claimed.missing]]})
            claimed.commit()
    store = writer.seal()
    order = [int(name, 16) for name in store.images]
    use = "transform" if isinstance(estimator, GroupLassoSelector) else "predict_proba"
    expected = getattr(clone(estimator).fit(X, y), use)(X)
    for design, labels, rows in ((ArrayDesign(X), y, np.arange(len(X))), (store, y[order], order)):
        model = clone(estimator).fit(design, labels)
        for same in (design, X[rows]):
            np.testing.assert_allclose(getattr(model, use)(same), expected[rows], atol=2e-2)
        assert model.n_features_in_ == X.shape[1]


def test_a_design_in_a_pipeline(digits):
    X, y = digits
    model = make_pipeline(GroupLassoSelector(n_features_to_select=10), LogisticRegression(max_iter=2000))
    assert model.fit(ArrayDesign(X), y).score(ArrayDesign(X), y) > 0.9


def test_a_design_that_does_not_fit(digits):
    X, y = digits
    model = GroupLassoClassifier().fit(ArrayDesign(X), y)
    with pytest.raises(ValueError, match="X has 9 features, but GroupLassoClassifier is expecting"):
        model.predict(ArrayDesign(X[:, :9]))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        GroupLassoClassifier().fit(ArrayDesign(X), y[1:])


def test_bad_data_is_a_value_error(digits):
    X, y = digits
    X[3, 3] = np.nan
    with pytest.raises(ValueError, match="layer x holds NaN or inf"):
        GroupLassoClassifier().fit(ArrayDesign(X), y)
