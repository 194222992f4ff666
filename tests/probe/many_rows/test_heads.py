"""Heads on many rows are those that the usual way trains on the same rows, from a store that is read in pieces, too."""

from collections.abc import Callable

import numpy as np
import pytest
from head2toe.probe.heads import refit
from head2toe.probe.heads.crossval import Labels
from head2toe.probe.heads.kinds import ExactHeads, Kind, Logistic, NearestMean, Ridge
from head2toe.probe.heads.scaling import Scaling, scaled_rows, standardized_rows, unit_rows
from head2toe.probe.many_rows import features, heads, rotation
from head2toe.select.compute.arrays import numpy_arrays
from head2toe.store.reading.design_matrix import ArrayDesign

ARRAYS = numpy_arrays()
N, TEST, CLASSES = 700, 60, 4
SCALINGS = (standardized_rows, scaled_rows, unit_rows)


@pytest.fixture(scope="module")
def rows() -> tuple[ArrayDesign, Labels]:
    """Features of many sizes, one constant and one nearly so; rows that always train; a class without a row."""
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((N + TEST, 12))
    y = (latent[:, :CLASSES] + 0.5 * rng.standard_normal((N + TEST, CLASSES))).argmax(axis=1)
    X = np.maximum(latent @ rng.standard_normal((12, 80)) + rng.standard_normal((N + TEST, 80)), 0)
    X = (X * rng.lognormal(0, 1, 80) + 5).astype(np.float32)
    X[:, 3], X[:, 5] = 2, 0
    X[7, 5] = 1
    folds = np.arange(N) % 3
    folds[:7], folds[7] = -1, 0
    return ArrayDesign(X), Labels.of(y[:N], folds, CLASSES + 1, ARRAYS)


def columns_of(scaling: Scaling) -> list[np.ndarray]:
    """Each fold's own columns; the same for unit norm."""
    rng = np.random.default_rng(1)
    own = [np.sort(np.r_[3, 5, 6 + rng.choice(74, 40, replace=False)]) for _ in range(3)]
    return own if scaling is not unit_rows else [own[0]] * 3


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("kind", [Logistic(), Ridge(), ExactHeads()])
def test_the_folds_predict_what_they_usually_do(rows: tuple[ArrayDesign, Labels], scaling: Scaling, kind: Kind) -> None:
    """At strengths where both ways are near the optimum; up to their tolerance."""
    design, labels = rows
    arguments = design.take(np.arange(N)), columns_of(scaling), labels, scaling, ARRAYS
    usual, here = list(kind.cross_validate(*arguments)), list(heads.cross_validate(kind, *arguments))
    assert [(one["C"], one.get("head")) for one, _ in here] == [(one["C"], one.get("head")) for one, _ in usual]
    for (settings, logp), (_, expected) in zip(here, usual, strict=True):
        assert np.array_equal(np.isnan(logp), np.isnan(expected))
        if settings["C"] <= 100:
            assert np.nanmax(np.abs(np.exp(logp) - np.exp(expected))) < 0.02


@pytest.mark.parametrize("scaling", SCALINGS)
def test_a_refit_predicts_and_is_the_model_that_it_usually_is(
    rows: tuple[ArrayDesign, Labels], scaling: Scaling
) -> None:
    design, labels = rows
    (columns, *_), kind = columns_of(scaling), ExactHeads()
    settings = [{"C": 10.0}, {"head": "ridge", "C": 1.0, "scale": 6.0}, {"C": 0.1}]
    usual = refit.refit_all(design, columns, labels, kind.fit_all(settings), scaling, ARRAYS, (512,))
    here = heads.refit_all(kind, design, columns, labels, settings, scaling, ARRAYS, (512,))
    values = scaling(design, columns, np.arange(N + TEST) < N, ARRAYS).values[:, N:].T
    for one, expected in zip(here, usual, strict=True):
        probabilities = np.exp(one.log_probabilities)
        assert np.abs(probabilities - np.exp(expected.log_probabilities)).max() < 2e-3
        assert np.allclose(one.model.mean, expected.model.mean, rtol=1e-4)
        assert np.allclose(one.model.scale, expected.model.scale, rtol=1e-4)
        own = np.exp(values @ one.model.coef + one.model.intercept)
        assert np.abs(own / own.sum(axis=1, keepdims=True) - probabilities).max() < 1e-3


def test_features_that_do_not_fit_are_read_again_and_again(
    rows: tuple[ArrayDesign, Labels], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a rotation, in pieces of a few columns: the same heads up to the tolerance, logistic ones alone."""
    design, labels = rows
    arguments = design.take(np.arange(N)), columns_of(standardized_rows), labels, standardized_rows, ARRAYS
    usual = list(Logistic().cross_validate(*arguments))
    monkeypatch.setattr(features, "IN_MEMORY", 0)
    monkeypatch.setattr(features, "AT_ONCE", 4 * N * 7)
    monkeypatch.setattr(rotation, "MOST_COLUMNS", 10)
    here = list(heads.cross_validate(ExactHeads(), *arguments))
    assert [settings for settings, _ in here] == [settings for settings, _ in usual]
    for (_, logp), (_, expected) in zip(here[:4], usual[:4], strict=True):
        assert np.nanmax(np.abs(np.exp(logp) - np.exp(expected))) < 0.03


def test_one_fold_that_holds_out_the_first_rows(rows: tuple[ArrayDesign, Labels]) -> None:
    """A task with its own validation part: its rows may stand anywhere."""
    design, labels = rows
    folds = np.where(np.arange(N) < 100, 0, -1)
    alone = Labels.of(labels.onehot.argmax(axis=1), folds, CLASSES + 1, ARRAYS)
    arguments = design.take(np.arange(N)), [np.arange(6, 60)], alone, standardized_rows, ARRAYS
    pairs = zip(
        heads.cross_validate(Ridge(), *arguments),
        Ridge().cross_validate(*arguments),
        strict=True,
    )
    for (_, logp), (_, expected) in pairs:
        assert np.nanmax(np.abs(np.exp(logp) - np.exp(expected))) < 1e-3


def test_what_is_trained_here() -> None:
    few, many = [np.arange(10)] * 2, [np.arange(rotation.MOST_COLUMNS + 1)] * 2
    suits: Callable[..., bool] = heads.suits
    assert suits(Logistic(), few, standardized_rows, heads.MANY + 1, ARRAYS)
    assert not suits(Logistic(), few, standardized_rows, heads.MANY, ARRAYS)
    assert suits(Logistic(), many, standardized_rows, heads.MANY + 1, ARRAYS)
    assert not suits(Ridge(), many, standardized_rows, heads.MANY + 1, ARRAYS)
    assert not suits(NearestMean(), few, standardized_rows, heads.MANY + 1, ARRAYS)
    assert not suits(Logistic(), [few[0], few[0] + 1], unit_rows, heads.MANY + 1, ARRAYS)
