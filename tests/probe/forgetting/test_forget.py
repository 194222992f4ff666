"""A model trained again without some rows is the one that never saw them: what the rows hold has no effect on it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from head2toe.probe.audit.stored_members import stored_members
from head2toe.probe.choice.ensemble import Member
from head2toe.probe.choice.sweep import evaluate
from head2toe.probe.forgetting.forget import forget
from head2toe.probe.methods.candidates import HeadOnColumns
from head2toe.probe.methods.outcome import Outcome
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.probe.methods.viewed import HeadOnViews
from head2toe.select.ranking.rank import rank_features
from head2toe.store.common.errors import BadRequest, DataError
from head2toe.store.reading.design_matrix import ArrayDesign, Design
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression, Ridge

FOLDS = np.arange(100) * 5 // 100
ROWS = np.array([3, 41, 77])
CLASSES = ("a", "b", "c")
Posed = Callable[[np.ndarray], ProbeData]


def values_of(data: ProbeData) -> np.ndarray:
    return data.designs[512].columns(np.arange(160)).T


def spoiled(data: ProbeData) -> ProbeData:
    """The data with other features, in every view, and other labels in the rows that are forgotten."""
    labels = data.labels.copy()
    labels[ROWS] = (labels[ROWS] + 1) % 3

    def with_others(designs: Mapping[int, Design]) -> dict[int, Design]:
        X = designs[512].columns(np.arange(160)).T.copy()
        X[ROWS] = np.random.default_rng(9).standard_normal((len(ROWS), 160)) * 100
        return {512: ArrayDesign(X, data.designs[512].layers)}

    views = {name: with_others(of_view) for name, of_view in data.views.items()}
    return replace(data, designs=with_others(data.designs), views=views, labels=labels)


def plain(data: ProbeData) -> ProbeData:
    return data


def with_views(data: ProbeData) -> ProbeData:
    X = values_of(data)
    flipped = X + 0.3 * np.random.default_rng(2).standard_normal(X.shape).astype(np.float32)
    return replace(data, views={"flip": {512: ArrayDesign(flipped, data.designs[512].layers)}})


def retrained(outcome: Outcome, data: ProbeData) -> np.ndarray:
    """The test rows' log-probabilities by scikit-learn's heads on the rows that are left, their mean as before."""
    left = np.setdiff1d(np.arange(100), ROWS)
    labels, total = data.labels, 0.0
    for member in stored_members(outcome, data):
        views, head = [X[:, member.candidate.columns].astype(np.float64) for X in read_by(member, data)], member.head
        rows, of_rows = np.concatenate([X[left] for X in views]), np.tile(labels[left], len(views))
        mean, scale = rows.mean(axis=0), 1 / rows.std(axis=0) / np.sqrt(rows.shape[1])
        Z, tested = (rows - mean) * scale, (np.mean(views, axis=0)[100:] - mean) * scale
        if "lambda_ratio" in member.settings and not head:
            scores = penalised(data, member.settings["lambda_ratio"], left)
        elif head.get("head") == "ridge":
            ridge = Ridge(alpha=10 * len(views) / head["C"]).fit(Z, np.eye(3)[of_rows])
            scores = head["scale"] * ridge.predict(tested)
        else:
            peer = LogisticRegression(C=head["C"] / len(views), tol=1e-10, max_iter=50_000).fit(Z, of_rows)
            scores = peer.decision_function(tested)
        total = total + member.weight * log_softmax(scores, axis=1)
    return np.asarray(log_softmax(np.asarray(total) / outcome.temperature, axis=1))


def read_by(member: Member, data: ProbeData) -> list[np.ndarray]:
    """The rows (n, d) that a member reads: one after the other in every view, as a mean of them, or as they are."""
    if isinstance(member.candidate, HeadOnViews):
        return [values_of(data), values_of(replace(data, designs=data.views["flip"]))]
    head = member.candidate
    design = head.design(data) if isinstance(head, HeadOnColumns) else data.designs[512]
    return [design.columns(np.arange(160)).T]


def penalised(data: ProbeData, ratio: float, left: np.ndarray) -> np.ndarray:
    """Scores of the test rows by the group lasso on the rows that are left, at a share of their own λ_max."""
    known: dict[str, Any] = {"ratios": (1.0, ratio) if ratio < 1 else (1.0,), "top": 5, "standardize": "feature"}
    design, folds = data.designs[512].take(left), np.arange(len(left)) % 2
    selection = rank_features(design, data.labels[left], folds, 3, **known, tol=1e-7, arrays=data.arrays)
    model = selection.models[-1][-1]
    return np.asarray(values_of(data)[100:, model.columns] @ model.coef + model.intercept)


@pytest.mark.parametrize(
    ("method", "prepared"), [("head2toe", plain), ("head2toe", with_views), ("l21", plain), ("linear", plain)]
)
def test_the_model_is_that_of_training_without_the_rows(
    posed: Posed, method: str, prepared: Callable[[ProbeData], ProbeData]
) -> None:
    data = prepared(posed(FOLDS))
    outcome = evaluate(method, data)
    members = stored_members(outcome, data)
    heads = [member.candidate for member in members if isinstance(member.candidate, HeadOnColumns)]
    assert any(head.views for head in heads) == bool(data.views)
    if method == "linear":  # its three normalisations have scikit-learn's twin in the one that standardises
        outcome = replace(outcome, settings={**outcome.settings, "normalize": "feature"})
    found = forget(outcome, data, ROWS, CLASSES)
    np.testing.assert_allclose(found.outcome.test_log_probabilities, retrained(outcome, data), atol=5e-3)
    assert found.data.n_train == 97
    gap = found.worst("gap")
    assert gap is not None
    assert gap < 1e-5
    before = np.abs(found.outcome.test_log_probabilities - outcome.test_log_probabilities).max()
    assert before > 1e-3  # or the rows would have had no part in it


@pytest.mark.parametrize("method", ["head2toe", "l21", "linear", "all-l21", "ncm"])
@pytest.mark.parametrize("prepared", [plain, with_views])
def test_what_the_rows_hold_has_no_effect(
    posed: Posed, method: str, prepared: Callable[[ProbeData], ProbeData]
) -> None:
    """To the bit: another picture under another label in the place of the forgotten ones gives the same model."""
    data = prepared(posed(FOLDS))
    outcome = evaluate(method, data)
    one, other = (forget(outcome, of_rows, ROWS, CLASSES).outcome for of_rows in (data, spoiled(data)))
    assert one.model is not None
    assert other.model is not None
    for name in ("columns", "mean", "scale", "coef", "intercept"):
        np.testing.assert_array_equal(getattr(one.model, name), getattr(other.model, name))
    np.testing.assert_array_equal(one.test_log_probabilities, other.test_log_probabilities)


def test_views_are_forgotten_with_their_image(posed: Posed) -> None:
    """A chosen head on views is found again with them, and trained on all views of the rows that are left."""
    data = with_views(posed(FOLDS))
    outcome = evaluate("linear", data)
    outcome = replace(outcome, settings={"normalize": "feature", "views": "flip", "C": 10.0})
    found = forget(outcome, data, ROWS, CLASSES)
    assert found.outcome.model is not None
    assert found.outcome.model.views == ("flip",)
    (head,) = found.heads
    assert head["objective"] == "logistic"
    assert head["error"] < 1e-5


def test_heads_that_are_trained_by_steps_are_trained_again_and_not_certified(posed: Posed) -> None:
    data = replace(posed(FOLDS), head="adam")
    found = forget(evaluate("linear", data), data, ROWS, CLASSES)
    assert [head["objective"] for head in found.heads] == ["none"]
    assert found.worst("gap") is None


def test_what_would_be_lost_is_refused(posed: Posed) -> None:
    data = posed(FOLDS)
    outcome = evaluate("linear", data)
    with pytest.raises(BadRequest, match="class 'b' would have no training image left"):
        forget(outcome, data, np.flatnonzero(data.train_labels == 1), CLASSES)
    with pytest.raises(BadRequest, match="fold 2 would have no image left"):
        forget(outcome, data, np.flatnonzero(FOLDS == 2), CLASSES)
    with pytest.raises(BadRequest, match="knn leaves no linear model"):
        forget(evaluate("knn", data), data, ROWS, CLASSES)
    with pytest.raises(DataError, match="no candidate"):
        forget(replace(outcome, settings={"normalize": "backwards"}), data, ROWS, CLASSES)


def test_every_head_is_trained_finer_than_the_rows_move_it(posed: Posed) -> None:
    """A bound that is wider than the change would prove nothing."""
    data = posed(FOLDS)
    outcome = evaluate("linear", data)
    found = forget(outcome, data, ROWS[:1], CLASSES)
    assert outcome.model is not None
    assert found.outcome.model is not None
    moved = np.linalg.norm(found.outcome.model.coef - outcome.model.coef) / np.linalg.norm(outcome.model.coef)
    error = found.worst("error")
    assert error is not None
    assert error < 0.01 * moved
