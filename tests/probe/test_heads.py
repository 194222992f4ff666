"""Heads agree with scikit-learn's, on every array namespace, and never look at held-out rows."""

from typing import Any

import array_api_compat.numpy as np_xp
import array_api_strict
import numpy as np
import pytest
from head2toe.probe.crossval import Labels, cross_validate, refit
from head2toe.probe.heads import eigenbasis, logistic_path, stack
from head2toe.probe.rows import scaled_rows, standardized_rows, unit_rows
from head2toe.select.arrays import Arrays, numpy_arrays, to_numpy
from head2toe.store.design import ArrayDesign
from head2toe.store.index import LayerIndex
from sklearn.linear_model import LogisticRegression


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

    def scores(on: Arrays) -> Any:
        labels = Labels.of(y, folds, 3, on)
        return cross_validate(design, columns, labels, [1.0, 100.0], rows, on)

    for ours, reference in zip(scores(arrays), scores(numpy_arrays()), strict=True):
        assert ours.accuracies == pytest.approx(reference.accuracies, abs=1 / 12 + 1e-9)
        assert ours.log_losses == pytest.approx(reference.log_losses, rel=5e-3)


@pytest.mark.gpu
def test_cupy_gives_the_same_scores() -> None:
    from head2toe.select.arrays import namespace

    test_every_namespace_gives_the_same_scores(namespace("cuda"), unit_rows)


def test_held_out_rows_leave_no_trace_in_a_heads_training() -> None:
    """Other labels and other features in the held-out rows: the training rows' probabilities stay as they were."""
    X, y = problem(50, 80, 3)
    train = np.arange(50) < 40

    def fitted(X: np.ndarray, y: np.ndarray, rows: Any) -> np.ndarray:
        design = ArrayDesign(X.astype(np.float32), LayerIndex(("a",), (80,)))
        values = rows(design, np.arange(80), train, numpy_arrays()).astype(np.float64)
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


def test_refit_predicts_unseen_rows() -> None:
    X, y = problem(300, 40, 3)
    design = ArrayDesign((X * 5).astype(np.float32), LayerIndex(("a",), (40,)))
    labels = Labels.of(y[:240], np.arange(240) * 5 // 240, 3, numpy_arrays())
    logp = refit(design, np.arange(40), labels, 10.0, unit_rows, numpy_arrays())
    assert logp.shape == (60, 3)
    assert (logp.argmax(1) == y[240:]).mean() > 0.6


def test_unit_rows_are_unit_in_every_layer_and_zero_stays_zero() -> None:
    X = np.random.default_rng(0).standard_normal((6, 10)).astype(np.float32)
    X[2, :4] = 0
    design = ArrayDesign(X, LayerIndex(("a", "b"), (4, 6)))
    rows = unit_rows(design, np.arange(10), np.ones(6, dtype=bool), numpy_arrays())
    norms = np.linalg.norm(rows[:4], axis=0)
    np.testing.assert_allclose(norms, [1, 1, 0, 1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(rows[4:], axis=0), 1, atol=1e-6)
