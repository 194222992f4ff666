"""Heads agree with scikit-learn's, on every array namespace, and never look at held-out rows."""

from collections.abc import Callable
from typing import Any

import array_api_compat.numpy as np_xp
import numpy as np
import pytest
from head2toe.probe.heads.eigenbasis import eigenbasis, stack
from head2toe.probe.heads.kinds import STRENGTHS
from head2toe.probe.heads.logistic import logistic_path
from head2toe.probe.heads.scaling import scaled_rows, standardized_rows, unit_rows
from head2toe.select.compute.arrays import Arrays, numpy_arrays, to_numpy
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design_matrix import ArrayDesign
from sklearn.linear_model import LogisticRegression

Labelled = Callable[..., tuple[np.ndarray, np.ndarray]]


@pytest.mark.parametrize(("n", "k", "classes"), [(120, 500, 4), (200, 20, 3), (150, 150, 2), (90, 300, 12)])
def test_probabilities_agree_with_scikit_learn(n: int, k: int, classes: int, labelled: Labelled) -> None:
    X, y = labelled(n, k, classes)
    train = np.arange(n) < int(0.8 * n)
    basis = stack([eigenbasis(X.T, train, np_xp)], [train], np_xp)
    for heads in logistic_path(basis, np.eye(classes)[y], [0.1, 10.0, 1000.0], np_xp, tol=1e-7):
        assert heads.converged
        # With two classes scikit-learn penalises one vector w, the softmax its halves w/2 and -w/2: half as much.
        C = heads.C if classes > 2 else 2 * heads.C
        peer = LogisticRegression(C=C, tol=1e-10, max_iter=20000).fit(X[train], y[train])
        ours = np.exp(heads.log_probabilities[0])[:, peer.classes_]
        np.testing.assert_allclose(ours, peer.predict_proba(X), atol=1e-4)


def test_folds_of_unlike_sizes_are_solved_as_one_batch_and_one_by_one(arrays: Arrays, labelled: Labelled) -> None:
    X, y = labelled(60, 90, 3)
    folds = np.repeat([0, 1, 2], [30, 20, 10])

    def theta(on: Arrays) -> tuple[np.ndarray, np.ndarray]:
        trains = [on.put(folds != fold) for fold in range(3)]
        basis = stack([eigenbasis(on.put(X.T.copy()), train, on.xp) for train in trains], trains, on.xp)
        *_, heads = logistic_path(basis, on.put(np.eye(3)[y]), [1.0, 100.0], on.xp, tol=1e-9)
        assert heads.converged
        return to_numpy(heads.theta), to_numpy(heads.log_probabilities)

    (ours, logp), (reference, reference_logp) = theta(arrays), theta(numpy_arrays())
    np.testing.assert_allclose(np.linalg.norm(ours, axis=(1, 2)), np.linalg.norm(reference, axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(np.exp(logp), np.exp(reference_logp), atol=1e-5)


def test_held_out_rows_leave_no_trace_in_a_heads_training(labelled: Labelled) -> None:
    """Other labels and other features in the held-out rows: the training rows' probabilities stay as they were."""
    X, y = labelled(50, 80, 3)
    train = np.arange(50) < 40

    def fitted(X: np.ndarray, y: np.ndarray, scaling: Any) -> np.ndarray:
        design = ArrayDesign(X.astype(np.float32), LayerIndex(("a",), (80,)))
        values = scaling(design, np.arange(80), train, numpy_arrays()).values.astype(np.float64)
        basis = stack([eigenbasis(values, train, np_xp)], [train], np_xp)
        (heads,) = logistic_path(basis, np.eye(3)[y], [10.0], np_xp)
        return to_numpy(heads.log_probabilities[0, :40])

    rng = np.random.default_rng(1)
    other_X, other_y = X.copy(), y.copy()
    other_X[40:] = rng.standard_normal((10, 80)) * 7
    other_y[40:] = (y[40:] + 1) % 3
    for scaling in (unit_rows, scaled_rows, standardized_rows):
        np.testing.assert_allclose(fitted(X, y, scaling), fitted(other_X, other_y, scaling), atol=1e-5)


def test_a_class_absent_from_training_gets_no_probability(labelled: Labelled) -> None:
    X, y = labelled(60, 30, 3)
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
