"""Cross-validated predictions are the same on every array namespace; a refit's model predicts what the refit did."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from head2toe.probe.heads.crossval import Labels, cross_validate, out_of_fold
from head2toe.probe.heads.kinds import Logistic
from head2toe.probe.heads.refit import refit
from head2toe.probe.heads.scaling import scaled_rows, standardized_rows, unit_rows
from head2toe.select.compute.arrays import Arrays, namespace, numpy_arrays
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design_matrix import ArrayDesign
from scipy.special import log_softmax

Labelled = Callable[..., tuple[np.ndarray, np.ndarray]]
SCALINGS = (unit_rows, scaled_rows, standardized_rows)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_every_namespace_gives_the_same_scores(arrays: Arrays, scaling: Any, labelled: Labelled) -> None:
    check_scores(arrays, scaling, labelled)


@pytest.mark.gpu
def test_cupy_gives_the_same_scores(labelled: Labelled) -> None:
    check_scores(namespace("cuda"), unit_rows, labelled)


def check_scores(arrays: Arrays, scaling: Any, labelled: Labelled) -> None:
    """Predictions on a namespace agree with NumPy's."""
    X, y = labelled(60, 90, 3)
    design = ArrayDesign(X.astype(np.float32), LayerIndex(("a", "b"), (30, 60)))
    folds = np.arange(60) * 5 // 60
    columns = [np.sort(np.random.default_rng(f).choice(90, 40, replace=False)) for f in range(5)]

    def predictions(on: Arrays) -> Any:
        labels = Labels.of(y, folds, 3, on)
        return list(cross_validate(design, columns, labels, [1.0, 10.0], scaling, on))

    for (C, ours), (same_C, reference) in zip(predictions(arrays), predictions(numpy_arrays()), strict=True):
        assert same_C == C
        assert ours.shape == (60, 3)
        np.testing.assert_allclose(np.exp(ours), np.exp(reference), atol=0.02)  # within the tolerance of a sweep


def test_each_row_is_predicted_by_the_fold_that_held_it_out() -> None:
    predictions = np.arange(2 * 3 * 1, dtype=float).reshape(2, 3, 1)
    held_out = out_of_fold(predictions, np.array([1, -1, 0]))
    assert held_out.dtype == np.float32
    np.testing.assert_array_equal(held_out[:, 0], [3, np.nan, 2])


def test_refit_predicts_unseen_rows(labelled: Labelled) -> None:
    X, y = labelled(300, 40, 3)
    design = ArrayDesign((X * 5).astype(np.float32), LayerIndex(("a",), (40,)))
    labels = Labels.of(y[:240], np.arange(240) * 5 // 240, 3, numpy_arrays())
    logp = refit(
        design, np.arange(40), labels, Logistic().fit({"C": 10.0}), unit_rows, numpy_arrays()
    ).log_probabilities
    assert logp.shape == (60, 3)
    assert (logp.argmax(1) == y[240:]).mean() > 0.6


@pytest.mark.parametrize("k", [40, 400])
@pytest.mark.parametrize("scaling", SCALINGS)
def test_a_refits_model_predicts_what_the_refit_did(scaling: Any, k: int, labelled: Labelled) -> None:
    """The weights that a model bundle keeps, applied to raw features, are the head that was judged."""
    X, y = labelled(150, k, 3)
    design = ArrayDesign((X * 5 + 2).astype(np.float32), LayerIndex(("a", "b"), (30, k - 30)))
    columns = np.sort(np.random.default_rng(0).choice(k, k - 7, replace=False))
    labels = Labels.of(y[:120], np.arange(120) * 5 // 120, 3, numpy_arrays())
    done = refit(design, columns, labels, Logistic().fit({"C": 10.0}), scaling, numpy_arrays(), (512,))
    model = done.model
    assert model.target_sizes == (512,)
    raw = design.columns(model.columns)[:, 120:].astype(np.float64)
    if model.unit:
        for part in np.split(raw, [np.count_nonzero(columns < 30)]):
            part /= np.linalg.norm(part, axis=0)
    Z = ((raw - model.mean[:, None]) * model.scale[:, None]).T @ model.coef + model.intercept
    np.testing.assert_allclose(log_softmax(Z, axis=1), done.log_probabilities, atol=2e-4)
    assert model.nbytes == 4 * (3 * len(columns) + 3 * len(columns) + 3)
