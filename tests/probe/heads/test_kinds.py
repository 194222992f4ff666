"""Every kind of head does what its name says, ranks as scikit-learn's, and refits what was cross-validated."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from head2toe.probe.heads.crossval import Labels
from head2toe.probe.heads.kinds import KINDS, STRENGTHS, Kind, NearestMean, RecipeHead, Ridge, checked_kind
from head2toe.probe.heads.refit import refit
from head2toe.probe.heads.scaling import standardized_rows, unit_rows
from head2toe.probe.metrics import classification
from head2toe.select.compute.arrays import Arrays, numpy_arrays
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design_matrix import ArrayDesign
from scipy.special import log_softmax
from sklearn.linear_model import RidgeClassifier
from sklearn.neighbors import NearestCentroid

N, K, CLASSES = 90, 40, 3
CPU = numpy_arrays()
KINDS_AND_MORE = {
    **{name: kind(0) for name, kind in KINDS.items()},
    "ncm": NearestMean(),
    "all-l1": RecipeHead("adam", "l1", (1e-3, 1e-5), (0.01,)),
}


@pytest.fixture(scope="module")
def rows() -> tuple[ArrayDesign, np.ndarray, np.ndarray]:
    """Design, labels and folds, with signal in the first columns."""
    rng = np.random.default_rng(0)
    y = np.arange(N) % CLASSES
    X = rng.standard_normal((N, K)).astype(np.float32)
    X[:, :CLASSES] += 2.5 * np.eye(CLASSES)[y]
    return ArrayDesign(X, LayerIndex(("a", "b"), (10, K - 10))), y, rng.permutation(N) % 5


def test_a_kind_that_lacks_a_method_is_refused() -> None:
    assert all(checked_kind(kind) is kind for kind in KINDS_AND_MORE.values())
    for missing in ("cross_validate", "fit", "flops"):
        methods = {name: lambda *_: None for name in ("cross_validate", "fit", "flops") if name != missing}
        with pytest.raises(TypeError, match=rf"the head Mine has no method {missing}\(\)"):
            checked_kind(type("Mine", (), methods)())


def predictions(kind: Kind, given: Any, normalize: Any = standardized_rows, on: Arrays = CPU) -> list[Any]:
    design, y, folds = given
    labels = Labels.of(y, folds, CLASSES, on)
    return list(kind.cross_validate(design, [np.arange(K)] * 5, labels, normalize, on))


@pytest.mark.parametrize("kind", KINDS_AND_MORE.values(), ids=KINDS_AND_MORE)
def test_each_kind_learns_and_gives_probabilities(kind: Kind, rows: Any) -> None:
    by_setting = predictions(kind, rows)
    assert len({tuple(settings.items()) for settings, _ in by_setting}) == len(by_setting)
    for _, logp in by_setting:
        assert logp.shape == (N, CLASSES)
        np.testing.assert_allclose(np.exp(logp).sum(axis=1), 1, rtol=1e-5)
    assert max((logp.argmax(1) == rows[1]).mean() for _, logp in by_setting) > 0.6


@pytest.mark.parametrize("kind", KINDS_AND_MORE.values(), ids=KINDS_AND_MORE)
@pytest.mark.parametrize("normalize", [unit_rows, standardized_rows])
def test_the_refit_is_the_head_that_a_fold_trained(kind: Kind, rows: Any, normalize: Any) -> None:
    """One fold's training rows first, then those it holds out: the refit predicts what the fold did."""
    if isinstance(kind, RecipeHead):  # whose random start depends on how many settings are trained side by side
        kind = replace(kind, lambdas=kind.lambdas[:1], learning_rates=(0.01,))
    design, y, folds = rows
    order = np.argsort(folds == 0, kind="stable")
    n = int((folds != 0).sum())
    known = Labels.of(y[order][:n], folds[order][:n] - 1, CLASSES, CPU)
    sorted_rows = (design.take(order), y[order], folds[order])
    settings, logp = predictions(kind, sorted_rows, normalize)[0]
    done = refit(sorted_rows[0], np.arange(K), known, kind.fit(settings), normalize, CPU)
    np.testing.assert_allclose(np.exp(done.log_probabilities), np.exp(logp[n:]), atol=5e-3)


def test_ridge_ranks_as_scikit_learns_classifier(rows: Any) -> None:
    design, y, folds = rows
    held = folds == 0
    X = standardized_rows(design, np.arange(K), ~held, CPU).values.T
    for (settings, logp), C in zip(predictions(Ridge(), rows), STRENGTHS, strict=True):
        assert settings["C"] == C
        # (Its targets are -1 and 1 instead of 0 and 1, which changes no order.)
        peer = RidgeClassifier(alpha=10 / C).fit(X[~held], y[~held])
        assert np.array_equal(logp[held].argmax(1), peer.predict(X[held]))


@pytest.mark.parametrize("normalize", [unit_rows, standardized_rows])
def test_the_nearest_mean_is_scikit_learns_nearest_centroid(rows: Any, normalize: Any) -> None:
    design, y, folds = rows
    ((_, logp),) = predictions(NearestMean(), rows, normalize)
    for fold in range(5):
        held = folds == fold
        X = normalize(design, np.arange(K), ~held, CPU).values.T
        peer = NearestCentroid().fit(X[~held], y[~held])
        assert np.array_equal(logp[held].argmax(1), peer.predict(X[held]))


def test_a_class_without_training_rows_has_no_nearest_mean(rows: Any) -> None:
    design, y, folds = rows
    first = folds == 0
    absent = np.where(y == 2, 0, y)
    absent[np.flatnonzero(first)[0]] = 2  # held out by fold 0, and so unknown to it alone
    ((_, logp),) = predictions(NearestMean(), (design, absent, folds))
    assert np.isfinite(logp).all()
    assert not (logp[first].argmax(1) == 2).any()


def test_a_mean_is_fitted_on_training_rows_alone() -> None:
    """The place of a class without training rows, too: it was beyond the farthest of all rows."""
    rng = np.random.default_rng(0)
    values, known = rng.standard_normal((5, 20)).astype(np.float32), np.arange(20) < 15
    Y = np.eye(3, dtype=np.float32)[np.arange(20) % 2]
    fit = NearestMean().fit({"scale": 1.0})
    one = fit(values, known, Y, CPU)
    values[:, ~known] *= 50
    other = fit(values, known, Y, CPU)
    assert np.array_equal(one.intercept, other.intercept)
    assert np.array_equal(one.coef, other.coef)


def test_the_scale_is_the_best_one(rows: Any) -> None:
    ((_, logp),) = predictions(NearestMean(), rows)
    best = classification.log_loss(logp, rows[1])
    for factor in (0.8, 1.25):
        assert classification.log_loss(log_softmax(factor * logp, axis=1), rows[1]) > best


@pytest.mark.parametrize("kind", [Ridge(), NearestMean()], ids=["ridge", "ncm"])
def test_torch_and_the_strict_namespace_agree(kind: Kind, rows: Any) -> None:
    import array_api_compat.torch as torch_xp
    import array_api_strict

    strict = Arrays(array_api_strict, array_api_strict.Device("device1"), "strict")
    for on in (Arrays(torch_xp, "cpu", "torch"), strict):
        for (ours, logp), (reference, expected) in zip(
            predictions(kind, rows, on=on), predictions(kind, rows), strict=True
        ):
            assert ours["scale"] == pytest.approx(reference["scale"], rel=1e-2)
            np.testing.assert_allclose(np.exp(logp), np.exp(expected), atol=2e-3)


def test_a_penalty_on_all_features_is_felt(rows: Any) -> None:
    """A larger λ leaves smaller weights on the columns that say nothing, under either penalty."""
    design, y, folds = rows
    labels = Labels.of(y, folds, CLASSES, CPU)
    for penalty in ("l1", "l21"):
        kind = RecipeHead("adam", penalty, (1e-1, 0.0), (0.01,))
        noise = []
        for lam in kind.lambdas:
            fit = kind.fit({"lambda": lam, "learning_rate": 0.01})
            values = unit_rows(design, np.arange(K), np.ones(N, bool), CPU).values
            noise.append(np.abs(fit(values, np.ones(N, bool), labels.onehot, CPU).coef[CLASSES:]).mean())
        assert noise[0] < 0.2 * noise[1]
    same = replace(RecipeHead("adam", "l1", (0.0,)), penalty="l21")
    np.testing.assert_array_equal(
        predictions(same, rows)[0][1], predictions(RecipeHead("adam", "l1", (0.0,)), rows)[0][1]
    )
