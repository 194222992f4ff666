"""The estimators behave as scikit-learn expects."""

import warnings

import numpy as np
import pytest
from head2toe.select.estimators import GroupLassoClassifier, GroupLassoSelector
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.management.catalogue import Catalogue
from head2toe.store.reading.design_matrix import ArrayDesign
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
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


def known_failures(estimator):
    """That check wants predictions equal to 1e-7, and models are solved to a gap; see the test of weights below."""
    if isinstance(estimator, GroupLassoClassifier):
        return {"check_sample_weight_equivalence_on_dense_data": "equal up to tol"}
    return {}


@parametrize_with_checks([GroupLassoClassifier(), GroupLassoSelector()], expected_failed_checks=known_failures)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_in_a_pipeline_and_a_grid_search():
    X, y = load_digits(return_X_y=True)
    X, y = X[:300], y[:300]
    pipeline = make_pipeline(GroupLassoSelector(n_features_to_select=20), LogisticRegression(max_iter=2000))
    search = GridSearchCV(pipeline, {"grouplassoselector__alpha_ratio": [0.5, 0.05]}, cv=3).fit(X, y)
    assert search.best_score_ > 0.7
    assert search.best_estimator_[0].get_support().sum() == 20


def test_the_classifier_says_how_exact_it_is():
    X, y = load_digits(return_X_y=True)
    model = GroupLassoClassifier(alpha_ratio=0.02, tol=1e-4).fit(X[:500], y[:500])
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


def noisy(n=90, d=40, C=3, seed=0):
    """Classes that two features tell apart, not quite."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * rng.uniform(0.2, 3, d)
    return X, (X[:, 0] / X[:, 0].std() + X[:, 1] / X[:, 1].std() + rng.normal(size=n)).argsort().argsort() * C // n


def assert_same_model(a, b, atol=1e-4):
    scale = np.abs(b.coef_).max()
    np.testing.assert_allclose(a.coef_, b.coef_, atol=atol * scale)
    np.testing.assert_allclose(a.alphas_, b.alphas_, rtol=1e-6)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("C", [2, 3])
def test_a_weight_of_2_is_the_row_twice_and_0_is_no_row(standardize, C):
    X, y = noisy(C=C)
    weights = np.resize([2, 1, 0, 1, 3], len(y))
    model = GroupLassoClassifier(standardize=standardize, tol=1e-6)
    weighted = clone(model).fit(X, y, sample_weight=weights)
    repeated = clone(model).fit(X.repeat(weights, axis=0), y.repeat(weights))
    assert_same_model(weighted, repeated)
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=1e-5)
    assert not np.allclose(weighted.coef_, clone(model).fit(X, y).coef_, atol=1e-3)
    assert_same_model(clone(model).fit(X, y, sample_weight=0.3 * weights), weighted, atol=1e-6)
    X[weights == 0] = 1e6
    assert_same_model(clone(model).fit(X, y, sample_weight=weights), weighted)
    selector = GroupLassoSelector(n_features_to_select=5, tol=1e-6)
    kept = [
        clone(selector).fit(X, y, sample_weight=weights).get_support(),
        clone(selector).fit(X.repeat(weights, axis=0), y.repeat(weights)).get_support(),
    ]
    assert np.array_equal(*kept)


def test_weights_count_in_designs_too():
    X, y = noisy()
    X, weights = X.astype(np.float32), np.resize([2, 1, 0.5], len(y))
    model = GroupLassoClassifier(tol=1e-6)
    assert_same_model(
        clone(model).fit(ArrayDesign(X), y, sample_weight=weights), model.fit(X, y, sample_weight=weights)
    )


def test_balanced_classes_count_alike():
    X, y = noisy()
    few = np.flatnonzero((y != 2) | (np.arange(len(y)) % 3 == 0))
    X, y = X[few], y[few]
    model = GroupLassoClassifier(tol=1e-6)
    counts = np.bincount(y)
    by_hand = clone(model).fit(X, y, sample_weight=(1 / counts)[y])
    balanced = clone(model).set_params(class_weight="balanced").fit(X, y)
    assert_same_model(balanced, by_hand)
    null = GroupLassoClassifier(alpha_ratio=1, n_alphas=1, class_weight="balanced").fit(X, y)
    np.testing.assert_allclose(null.predict_proba(X), 1 / 3, rtol=1e-6)
    twice = np.where(y == 1, 2, 1)
    doubled = clone(model).set_params(class_weight={1: 2}).fit(X, y)
    assert_same_model(doubled, clone(model).fit(X, y, sample_weight=twice))
    both = clone(model).set_params(class_weight="balanced").fit(X, y, sample_weight=twice)
    again = clone(model).set_params(class_weight="balanced").fit(X.repeat(twice, axis=0), y.repeat(twice))
    assert_same_model(both, again)


@pytest.mark.parametrize("weights", [-np.ones(90), np.zeros(90), np.ones(89), np.full(90, np.nan)])
def test_senseless_weights_are_refused(weights):
    with pytest.raises(ValueError, match="weight"):
        GroupLassoClassifier().fit(*noisy(), sample_weight=weights)


@pytest.mark.parametrize(
    ("class_weight", "says"),
    [
        ({0: -1}, "none of them is negative"),
        ({0: np.inf}, "weights are finite"),
        ({0: np.nan}, "weights are finite"),
        ({0: 0, 1: 0}, r"leave rows of one class only \(2\)"),
    ],
)
def test_senseless_class_weights_are_refused(class_weight, says):
    with pytest.raises(ValueError, match=says):
        GroupLassoClassifier(class_weight=class_weight).fit(*noisy())
    with pytest.raises(ValueError, match="leave rows of one class only"):
        GroupLassoClassifier().fit(*noisy(), sample_weight=noisy()[1] == 1)


@pytest.mark.parametrize("standardize", [True, False])
def test_large_offsets_change_nothing(standardize):
    X, y = noisy()
    model = GroupLassoClassifier(standardize=standardize, tol=1e-6).fit(X, y)
    for offset in (1e6, -1e9):
        moved = clone(model).fit(X + offset, y)
        assert_same_model(moved, model)
        np.testing.assert_allclose(moved.predict_proba(X + offset), model.predict_proba(X), atol=1e-5)
        last = moved.path_[-1].solutions[0]
        logits = (X + offset)[:, last.columns] @ last.coef + last.intercept
        np.testing.assert_allclose(logits, X @ model.coef_.T + model.intercept_, atol=1e-4)
    constant = np.c_[X, np.full(len(X), 0.1), 1e9 + 1e-7 * X[:, 0]]
    assert not clone(model).fit(constant, y).coef_[:, -2:].any(), "what is constant but for rounding stays out"


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_scales_beyond_single_precision_change_nothing(dtype):
    X, y = noisy()
    most = 300 if dtype is np.float64 else 30
    scales = 2.0 ** np.linspace(-3 * most, 3 * most, X.shape[1]).round()
    plain = GroupLassoClassifier(tol=1e-6).fit(X.astype(np.float32), y)
    scaled = GroupLassoClassifier(tol=1e-6).fit((X.astype(np.float32) * scales).astype(dtype), y)
    np.testing.assert_allclose(scaled.coef_ * scales, plain.coef_, atol=1e-4)
    np.testing.assert_allclose(scaled.intercept_, plain.intercept_, atol=1e-4)


def test_strengths_beyond_single_precision_are_refused():
    X, y = noisy()
    for given in ({"alpha": 1e-300}, {"alpha": 1e300}, {"alpha_ratio": 1e-300}):
        with pytest.raises(ValueError, match="is beyond single precision"):
            GroupLassoClassifier(**given).fit(X, y)


def test_the_model_is_the_one_at_alpha_also_where_classes_separate():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, 200))
    y = (X[:, 0] + 0.3 * X[:, 1] > 0).astype(int)
    models = [GroupLassoClassifier(alpha_ratio=1e-3, n_alphas=n, tol=1e-6).fit(X, y) for n in (1, 2, 8, 30)]
    for model, n in zip(models, (1, 2, 8, 30), strict=True):
        assert len(model.alphas_) == n
        np.testing.assert_allclose(model.coef_, models[-1].coef_, atol=1e-2 * np.abs(models[-1].coef_).max())
        assert model.alphas_[-1] == pytest.approx(models[-1].alphas_[-1])


def test_a_gap_that_is_not_met_is_a_warning():
    X, y = noisy()
    with pytest.warns(ConvergenceWarning, match="above tol=1e-15 at .* raise tol or alpha"):
        GroupLassoClassifier(tol=1e-15).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GroupLassoClassifier().fit(X, y)


@pytest.mark.parametrize(
    "parameters",
    [
        *({"n_features_to_select": k} for k in (0, -1, 1.5, -0.5, 0.0, 41, np.nan, "a", [3])),
        *({"alpha": alpha} for alpha in (0, -0.1, np.inf, np.nan, "0.1")),
        *({"alpha_ratio": ratio} for ratio in (0, -0.1, 1.5, np.nan, "0.1")),
        *({"n_alphas": n} for n in (0, -3, 2.5)),
        *({"standardize": value} for value in ("none", None, 2)),
        *({"tol": tol} for tol in (0, 1, -1e-3)),
        *({"class_weight": value} for value in ("equal", 2)),
        {"device": 0},
    ],
    ids=str,
)
def test_parameters_out_of_their_range_are_refused(parameters):
    X, y = noisy()
    with pytest.raises(ValueError, match=next(iter(parameters))):
        GroupLassoSelector(**parameters).fit(X, y)


def test_shares_and_numbers_of_features():
    X, y = noisy()
    for k, kept in ((1, 1), (40, 40), (1.0, 40), (0.1, 4), (np.float32(0.1), 4), (np.int64(3), 3), (1e-9, 1)):
        selector = GroupLassoSelector(n_features_to_select=k).fit(X, y)
        assert selector.get_support().sum() == kept, k
    with pytest.raises(ValueError, match="n_features_to_select=41 is more than the 40 features"):
        selector.set_params(n_features_to_select=41).transform(X)


def test_continuous_labels_are_refused_as_such():
    X, y = noisy()
    with pytest.raises(ValueError, match="continuous"):
        GroupLassoClassifier().fit(X, y + 0.37)


@pytest.mark.parametrize("scale", [2.0**-1000, 2.0**-200, 2.0**-70, 2.0**70, 2.0**1010])
def test_sizes_beyond_single_precision_are_no_constants_without_standardisation(scale):
    """All features together divided by a number: the same model, λ and coefficients in the units of the features."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 8)).round(3), rng.integers(0, 3, 60)
    X[:, 0] += y
    one, other = (GroupLassoClassifier(standardize=False).fit(Z, y) for Z in (X, X * scale))
    # Powers of two change no digit, but for the few that numbers near the end of float64 lose.
    np.testing.assert_allclose(other.coef_ * scale, one.coef_, rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(other.alphas_ / scale, one.alphas_, rtol=1e-3)
    np.testing.assert_allclose(other.alpha_max_ / scale, one.alpha_max_, rtol=1e-3)
    np.testing.assert_allclose(other.predict_proba(X * scale), one.predict_proba(X), atol=1e-3)
    again = GroupLassoClassifier(alpha=other.alpha_, standardize=False).fit(X * scale, y)
    np.testing.assert_allclose(again.coef_, other.coef_, rtol=1e-6)
    selector = GroupLassoSelector(standardize=False, n_features_to_select=2).fit(X * scale, y)
    assert selector.get_support()[0]


@pytest.mark.filterwarnings("ignore:.*encountered in reduce")  # of scikit-learn's own check
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize(("value", "says"), [(5e-324, "multiply it"), (1.7e308, "divide it")])
def test_what_float64_cannot_hold_is_a_value_error(standardize, value, says):
    X = value * np.where(np.random.default_rng(0).normal(size=(60, 4)) > 0, 1, -1)
    with pytest.raises(ValueError, match=says):
        GroupLassoClassifier(standardize=standardize).fit(X, (X[:, 0] > 0).astype(int))


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        ("Int64", "i"),
        ("UInt8", "u"),
        ("boolean", "b"),
        ("int64", "i"),
        ("string", "O"),
        ("category", "i"),
    ],
)
def test_labels_of_pandas_come_back_in_kind(dtype, kind):
    pandas = pytest.importorskip("pandas")
    X = np.random.default_rng(0).normal(size=(60, 4))
    y = pandas.Series((X[:, 0] > 0).astype(int)).astype(bool if dtype == "boolean" else int).astype(dtype)
    for estimator in (GroupLassoClassifier(), GroupLassoSelector()):
        assert estimator.fit(X, y).classes_.dtype.kind == kind
    model = GroupLassoClassifier().fit(X, y)
    assert model.predict(X).dtype.kind == kind
    assert model.score(X, y) > 0.9
    assert set(model.predict(X).tolist()) <= set(y.tolist())
    missing = y.astype("Int64" if dtype == "int64" else dtype).where(pandas.Series(np.arange(60)) > 0)
    if missing.isna().any():
        with pytest.raises(ValueError, match="contains NaN"):
            GroupLassoClassifier().fit(X, missing)


def test_a_class_of_next_to_no_weight_is_none():
    X = np.random.default_rng(0).normal(size=(60, 4))
    with pytest.raises(ValueError, match="the weights leave rows of one class only"):
        GroupLassoClassifier(class_weight={0: 1e300, 1: 1.0}).fit(X, (X[:, 0] > 0).astype(int))
