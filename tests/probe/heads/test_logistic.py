"""Heads agree with scikit-learn's, on every array namespace, and never look at held-out rows."""

from typing import Any

import array_api_compat.numpy as np_xp
import array_api_strict
import numpy as np
import pytest
from head2toe.probe.heads.crossval import Labels, cross_validate, refit
from head2toe.probe.heads.eigenbasis import eigenbasis, stack
from head2toe.probe.heads.kinds import STRENGTHS, Logistic
from head2toe.probe.heads.logistic import logistic_path
from head2toe.probe.heads.ridge import ridge_path
from head2toe.probe.heads.scaling import scaled_rows, standardized_rows, unit_rows
from head2toe.select.compute.arrays import Arrays, numpy_arrays, to_numpy
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design_matrix import ArrayDesign
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression, Ridge


def problem(n: int, k: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n, k) and labels with signal."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, k))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = (X[:, :classes] * np.sqrt(k) + 0.5 * rng.standard_normal((n, classes))).argmax(1)
    y[:classes] = np.arange(classes)
    return X, y


@pytest.mark.parametrize(("n", "k", "classes"), [(120, 500, 4), (200, 20, 3), (150, 150, 2), (90, 300, 12)])
def test_probabilities_agree_with_scikit_learn(n: int, k: int, classes: int) -> None:
    X, y = problem(n, k, classes)
    train = np.arange(n) < int(0.8 * n)
    basis = stack([eigenbasis(X.T, train, np_xp)], [train], np_xp)
    for heads in logistic_path(basis, np.eye(classes)[y], [0.1, 10.0, 1000.0], np_xp, tol=1e-7):
        assert heads.converged
        # With two classes scikit-learn penalises one vector w, the softmax its halves w/2 and -w/2: half as much.
        C = heads.C if classes > 2 else 2 * heads.C
        peer = LogisticRegression(C=C, tol=1e-10, max_iter=20000).fit(X[train], y[train])
        ours = np.exp(heads.log_probabilities[0])[:, peer.classes_]
        np.testing.assert_allclose(ours, peer.predict_proba(X), atol=1e-4)


def namespaces() -> list[Any]:
    import array_api_compat.torch as torch_xp

    strict = array_api_strict.Device("device1")
    return [
        pytest.param(numpy_arrays(), id="numpy"),
        pytest.param(Arrays(torch_xp, "cpu", "torch"), id="torch"),
        pytest.param(Arrays(array_api_strict, strict, "strict"), id="array_api_strict"),
    ]


@pytest.mark.parametrize("arrays", namespaces())
@pytest.mark.parametrize("rows", [unit_rows, scaled_rows, standardized_rows])
def test_every_namespace_gives_the_same_scores(arrays: Arrays, rows: Any) -> None:
    X, y = problem(60, 90, 3)
    design = ArrayDesign(X.astype(np.float32), LayerIndex(("a", "b"), (30, 60)))
    folds = np.arange(60) * 5 // 60
    columns = [np.sort(np.random.default_rng(f).choice(90, 40, replace=False)) for f in range(5)]

    def predictions(on: Arrays) -> Any:
        labels = Labels.of(y, folds, 3, on)
        arguments = (design, columns, labels, [1.0, 100.0], rows, on)
        return list(cross_validate(*arguments))

    for (C, ours), (same_C, reference) in zip(predictions(arrays), predictions(numpy_arrays()), strict=True):
        assert same_C == C
        assert ours.shape == (60, 3)
        np.testing.assert_allclose(np.exp(ours), np.exp(reference), atol=0.02)  # within the tolerance of a sweep


@pytest.mark.parametrize("arrays", namespaces())
def test_folds_of_unlike_sizes_are_solved_as_one_batch_and_one_by_one(arrays: Arrays) -> None:
    X, y = problem(60, 90, 3)
    folds = np.repeat([0, 1, 2], [30, 20, 10])

    def theta(on: Arrays) -> tuple[np.ndarray, np.ndarray]:
        trains = [on.put(folds != fold) for fold in range(3)]
        basis = stack([eigenbasis(on.put(X.T.copy()), train, on.xp) for train in trains], trains, on.xp)
        *_, heads = logistic_path(basis, on.put(np.eye(3)[y]), [1.0, 100.0], on.xp, tol=1e-8)
        assert heads.converged
        return to_numpy(heads.theta), to_numpy(heads.log_probabilities)

    (ours, logp), (reference, reference_logp) = theta(arrays), theta(numpy_arrays())
    np.testing.assert_allclose(np.linalg.norm(ours, axis=(1, 2)), np.linalg.norm(reference, axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(np.exp(logp), np.exp(reference_logp), atol=1e-5)


@pytest.mark.gpu
def test_cupy_gives_the_same_scores() -> None:
    from head2toe.select.compute.arrays import namespace

    test_every_namespace_gives_the_same_scores(namespace("cuda"), unit_rows)


def test_held_out_rows_leave_no_trace_in_a_heads_training() -> None:
    """Other labels and other features in the held-out rows: the training rows' probabilities stay as they were."""
    X, y = problem(50, 80, 3)
    train = np.arange(50) < 40

    def fitted(X: np.ndarray, y: np.ndarray, rows: Any) -> np.ndarray:
        design = ArrayDesign(X.astype(np.float32), LayerIndex(("a",), (80,)))
        values = rows(design, np.arange(80), train, numpy_arrays()).values.astype(np.float64)
        basis = stack([eigenbasis(values, train, np_xp)], [train], np_xp)
        (heads,) = logistic_path(basis, np.eye(3)[y], [10.0], np_xp)
        return to_numpy(heads.log_probabilities[0, :40])

    rng = np.random.default_rng(1)
    other_X, other_y = X.copy(), y.copy()
    other_X[40:] = rng.standard_normal((10, 80)) * 7
    other_y[40:] = (y[40:] + 1) % 3
    for rows in (unit_rows, scaled_rows, standardized_rows):
        np.testing.assert_allclose(fitted(X, y, rows), fitted(other_X, other_y, rows), atol=1e-5)


def test_a_class_absent_from_training_gets_no_probability() -> None:
    X, y = problem(60, 30, 3)
    y[:48] = np.minimum(y[:48], 1)
    y[50] = 2
    train = np.arange(60) < 48
    basis = stack([eigenbasis(X.T, train, np_xp)], [train], np_xp)
    for heads in logistic_path(basis, np.eye(3)[y], [1.0, 100.0], np_xp):
        assert np.isfinite(heads.log_probabilities).all()
        assert np.exp(heads.log_probabilities[0, :, 2]).max() < 1e-3


def test_the_other_classes_are_told_apart_as_if_an_absent_one_did_not_exist() -> None:
    """Its intercept ran to minus thousands, and where that stands at the next strength nobody can foretell."""
    rng = np.random.default_rng(5)
    train, y = np.arange(350) < 300, rng.integers(29, size=350)
    X = (rng.standard_normal((350, 100)) + 1.5 * rng.standard_normal((29, 100))[y] * (rng.random(100) < 0.2)) / 10
    basis = stack([eigenbasis(X.T.astype(np.float32), train, np_xp)], [train], np_xp)
    with_it, without = (
        logistic_path(basis, np.eye(classes, dtype=np.float32)[y], STRENGTHS, np_xp, tol=1e-3) for classes in (30, 29)
    )
    for heads, expected in zip(with_it, without, strict=True):
        assert heads.converged
        probabilities = np.exp(heads.log_probabilities[0])
        assert probabilities[:, 29].max() < 1e-12
        np.testing.assert_allclose(probabilities[:, :29], np.exp(expected.log_probabilities[0]), atol=1e-3)


def test_refit_predicts_unseen_rows() -> None:
    X, y = problem(300, 40, 3)
    design = ArrayDesign((X * 5).astype(np.float32), LayerIndex(("a",), (40,)))
    labels = Labels.of(y[:240], np.arange(240) * 5 // 240, 3, numpy_arrays())
    logp = refit(
        design, np.arange(40), labels, Logistic().fit({"C": 10.0}), unit_rows, numpy_arrays()
    ).log_probabilities
    assert logp.shape == (60, 3)
    assert (logp.argmax(1) == y[240:]).mean() > 0.6


@pytest.mark.parametrize("k", [40, 400])
@pytest.mark.parametrize("rows", [unit_rows, scaled_rows, standardized_rows])
def test_a_refits_model_predicts_what_the_refit_did(rows: Any, k: int) -> None:
    """The weights that a model bundle keeps, applied to raw features, are the head that was judged."""
    X, y = problem(150, k, 3)
    design = ArrayDesign((X * 5 + 2).astype(np.float32), LayerIndex(("a", "b"), (30, k - 30)))
    columns = np.sort(np.random.default_rng(0).choice(k, k - 7, replace=False))
    labels = Labels.of(y[:120], np.arange(120) * 5 // 120, 3, numpy_arrays())
    done = refit(design, columns, labels, Logistic().fit({"C": 10.0}), rows, numpy_arrays(), (512,))
    model = done.model
    assert model.target_sizes == (512,)
    raw = design.columns(model.columns)[:, 120:].astype(np.float64)
    if model.unit:
        for part in np.split(raw, [np.count_nonzero(columns < 30)]):
            part /= np.linalg.norm(part, axis=0)
    Z = ((raw - model.mean[:, None]) * model.scale[:, None]).T @ model.coef + model.intercept
    np.testing.assert_allclose(log_softmax(Z, axis=1), done.log_probabilities, atol=2e-4)


def test_least_squares_agree_with_scikit_learns_ridge() -> None:
    X, y = problem(120, 300, 4)
    train = np.arange(120) < 96
    basis = stack([eigenbasis(X.T, train, np_xp)], [train], np_xp)
    for heads in ridge_path(basis, np.eye(4)[y], [1.0, 100.0], np_xp):
        peer = Ridge(alpha=10 / heads.C).fit(X[train], np.eye(4)[y[train]])
        np.testing.assert_allclose(heads.scores[0], peer.predict(X), atol=1e-8)
        np.testing.assert_allclose(basis.coordinates[0] @ heads.theta[0, :-1] + heads.theta[0, -1], heads.scores[0])


def test_unit_rows_are_unit_in_every_layer_and_zero_stays_zero() -> None:
    X = np.random.default_rng(0).standard_normal((6, 10)).astype(np.float32)
    X[2, :4] = 0
    design = ArrayDesign(X, LayerIndex(("a", "b"), (4, 6)))
    rows = unit_rows(design, np.arange(10), np.ones(6, dtype=bool), numpy_arrays()).values
    norms = np.linalg.norm(rows[:4], axis=0)
    np.testing.assert_allclose(norms, [1, 1, 0, 1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(rows[4:], axis=0), 1, atol=1e-6)
