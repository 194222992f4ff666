"""With many rows candidates are thinned on some of them; with few nothing changes."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from head2toe.probe.choice import halving
from head2toe.probe.choice.halving import drawn, notes_on, on_rows, rounds, thinned
from head2toe.probe.choice.rules import RESTACKED, restackings
from head2toe.probe.choice.sweep import candidates, evaluate, merits
from head2toe.probe.many_rows import heads as many_rows
from head2toe.probe.methods.candidates import Candidate, HeadOnColumns
from head2toe.probe.methods.probe_data import ProbeData

FOLDS = np.arange(100) * 5 // 100


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred rows are many, and half of them are the first round, which leaves three candidates."""
    for name, value in {"MANY": 99, "FIRST": 50, "KEPT_OF_FIRST": 3}.items():
        monkeypatch.setattr(halving, name, value)


def test_rounds_take_more_rows_and_leave_fewer_candidates() -> None:
    for few in (10, 1999, 4000):
        assert (rounds(few), notes_on(few), restackings(few)) == ((), [], RESTACKED)
    planned = rounds(32_000)
    assert [one.rows for one in planned] == [2000, 8000]
    assert [one.kept for one in planned] == sorted((one.kept for one in planned), reverse=True)
    (note,) = notes_on(32_000)
    assert all(f"{number}" in note for number in ("32,000", "2,000", "8,000", planned[0].kept, planned[1].kept))
    assert restackings(32_000) < RESTACKED


@pytest.mark.usefixtures("many")
def test_the_best_go_on_in_their_order(posed: Callable[[np.ndarray], ProbeData]) -> None:
    data = posed(FOLDS)
    grid = candidates("head2toe", data)
    heads = [k for k, one in enumerate(grid) if isinstance(one, HeadOnColumns)]
    seen = []

    def by_place(those: Sequence[Candidate], some: ProbeData) -> np.ndarray:
        seen.append(some.n_train)
        return np.arange(len(those), dtype=float)

    left = thinned(grid, data, by_place)
    assert left == [one for k, one in enumerate(grid) if k not in heads or k in heads[-3:]]
    assert seen == [50]


def test_few_rows_thin_nothing_out(posed: Callable[[np.ndarray], ProbeData]) -> None:
    data = posed(FOLDS)
    grid = candidates("head2toe", data)

    def never(*_: object) -> np.ndarray:
        raise AssertionError("nothing is tried on some rows")

    assert thinned(grid, data, never) == grid


def test_drawn_rows_have_every_fold_and_class_and_no_test_row(posed: Callable[[np.ndarray], ProbeData]) -> None:
    data = posed(FOLDS)
    rows = drawn(data, 30)
    assert np.array_equal(rows, np.unique(rows))
    assert rows.max() < data.n_train
    assert 25 <= len(rows) <= 35
    some = on_rows(data, rows)
    assert np.array_equal(some.folds, data.folds[rows])
    assert len(some.labels) == len(rows)
    assert set(zip(some.folds, some.labels, strict=True)) == set(zip(data.folds, data.train_labels, strict=True))
    assert np.array_equal(some.designs[512].columns(np.arange(3)), data.designs[512].columns(np.arange(3))[:, rows])


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("averaging", [True, False])
def test_candidates_of_signal_have_more_merit(posed: Callable[[np.ndarray], ProbeData], averaging: bool) -> None:
    """The candidate of least log-loss has more than that of the largest."""
    data = posed(FOLDS)
    grid = [one for one in candidates("head2toe", data) if isinstance(one, HeadOnColumns)]
    merit = merits(grid, data, averaging=averaging, progress=None)
    tried = [trial_loss(one, data) for one in grid]
    assert merit[int(np.argmin(tried))] > merit[int(np.argmax(tried))]


def trial_loss(candidate: Candidate, data: ProbeData) -> float:
    """The log-loss of a candidate's best head on the rows held out."""
    own = data.train_labels[:, None]
    losses = [-np.take_along_axis(logp, own, axis=1).mean() for _, logp in candidate.cross_validate(data)]
    return float(min(losses))


@pytest.mark.usefixtures("many")
def test_a_method_that_was_thinned_predicts_about_as_well(
    posed: Callable[[np.ndarray], ProbeData], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its model predicts what was judged, with heads that were trained on many rows, too."""
    monkeypatch.setattr(many_rows, "MANY", 99)
    data = posed(FOLDS)
    outcome = evaluate("head2toe", data)
    accuracy = (outcome.test_log_probabilities.argmax(axis=1) == data.labels[100:]).mean()
    monkeypatch.setattr(many_rows, "MANY", 4000)
    monkeypatch.setattr(halving, "MANY", 4000)
    usual = evaluate("head2toe", data)
    expected = (usual.test_log_probabilities.argmax(axis=1) == data.labels[100:]).mean()
    assert len(outcome.sweep) < len(usual.sweep)
    assert accuracy > expected - 0.1
    assert outcome.model is not None
    model = outcome.model
    scores = (data.designs[512].columns(model.columns).T[100:] - model.mean) * model.scale @ model.coef
    predicted = (scores + model.intercept).argmax(axis=1)
    assert np.mean(predicted == outcome.test_log_probabilities.argmax(axis=1)) > 0.98
