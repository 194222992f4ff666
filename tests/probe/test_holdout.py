"""One held-out part instead of folds: rows that always train are judged nowhere, and nobody claims to know a spread."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head2toe.probe.choice.sweep import evaluate
from head2toe.probe.heads.scaling import standardized_rows
from head2toe.probe.methods.candidates import HeadOnColumns
from head2toe.probe.methods.outcome import SweepPoint
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.probe.methods.registry import METHODS
from head2toe.probe.report import run_page
from head2toe.probe.results import predictions, summary
from head2toe.probe.results.result_files import write_run
from head2toe.select.ranking.rank import row_sets

Made = Callable[..., tuple[Any, Any]]
Posed = Callable[[np.ndarray], ProbeData]
SPLIT = np.repeat([-1, 0], [80, 20])


def test_selection_has_the_rows_that_train_and_all_rows() -> None:
    assert np.array_equal(row_sets(SPLIT), [SPLIT < 0, np.ones(100, bool)])


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if "paper" not in method.needs])
def test_every_method_predicts_the_held_out_rows_alone(posed: Posed, method: str) -> None:
    outcome = evaluate(method, posed(SPLIT))
    assert np.array_equal(np.isnan(outcome.fold_log_probabilities).all(axis=1), SPLIT < 0)
    assert np.isfinite(outcome.test_log_probabilities).all()
    assert all(len(point.accuracies) == 1 and point.standard_error is None for point in outcome.sweep)


def test_the_head_of_the_split_is_trained_on_its_training_rows(posed: Posed) -> None:
    """It is the refit of a task that has no other rows."""
    data = posed(SPLIT)
    columns = np.arange(60)
    head = HeadOnColumns({}, 512, [columns], columns, standardized_rows)
    folded = {settings["C"]: logp for settings, logp in head.cross_validate(data)}[10.0]
    alone = ProbeData(
        {512: data.designs[512].take(np.arange(100))}, data.labels[:100], SPLIT[:80], 3, data.arrays, {}, {}
    )
    np.testing.assert_allclose(folded[80:], head.refit(alone, {"C": 10.0})[0], atol=0.1)


def test_the_simplest_of_one_fold_is_as_good_as_the_best(posed: Posed) -> None:
    best, simplest = (
        evaluate("head2toe", replace(posed(SPLIT), members=1), rule=rule) for rule in ("best", "simplest")
    )
    of = {str(point.settings): point.accuracy for point in best.sweep}
    assert of[str(simplest.settings)] == of[str(best.settings)] == max(of.values())
    assert simplest.features_kept <= best.features_kept


def test_a_standard_error_needs_two_folds() -> None:
    assert SweepPoint({}, (0.8,), (0.5,)).standard_error is None
    assert SweepPoint({}, (0.8, 0.6), (0.5, 0.5)).standard_error == pytest.approx(0.1)


@pytest.fixture
def split(made_up: Made) -> Callable[[int], tuple[Any, Any]]:
    """A made-up run of 80 rows that train, 20 that are held out, and some test rows."""

    def make(n_test: int) -> tuple[Any, Any]:
        run, outcomes = made_up(n_train=100, n_test=n_test, folds=SPLIT)
        for outcome in outcomes:
            outcome.fold_log_probabilities[SPLIT < 0] = np.nan
            object.__setattr__(
                outcome, "sweep", tuple(SweepPoint(p.settings, (p.accuracy,), (0.5,)) for p in outcome.sweep)
            )
        return run, outcomes

    return make


@pytest.mark.parametrize("n_test", [60, 0])
def test_record_summary_and_page_say_what_was_held_out(
    split: Callable[[int], tuple[Any, Any]], n_test: int, tmp_path: Path
) -> None:
    run, outcomes = split(n_test)
    record = write_run(tmp_path, run, outcomes)
    assert record["folds"] == [20]
    for method, outcome in zip(record["methods"], outcomes, strict=True):
        right = (outcome.fold_log_probabilities[80:].argmax(axis=1) == run.labels[80:100]).mean()
        cv = method["cv"]["accuracy"]
        assert (cv["mean"], cv["stderr"], cv["folds"]) == (pytest.approx(right), None, [pytest.approx(right)])
        assert cv["interval"][0] <= right <= cv["interval"][1]
        assert sum(method["calibration"]["bins"]["counts"]) == (n_test or 20)
        assert 0.05 < method["calibration"]["temperature"] < 20
    assert "over 20 held-out training images" in (tmp_path / "summary.md").read_text()
    assert "±" not in summary.method_table(record)
    html = run_page.render(tmp_path, record, lambda _: None)
    assert "over 20 held-out training images" in html
    assert "fold" not in html.replace("folder", "").replace("--folds", "")


def test_predictions_hold_what_was_predicted(split: Callable[[int], tuple[Any, Any]], tmp_path: Path) -> None:
    run, outcomes = split(30)
    predictions.write(tmp_path, run, outcomes)
    by_method = predictions.read(tmp_path)
    for outcome in outcomes:
        mine = by_method[outcome.name]
        assert mine.ids == tuple(run.ids[80:])
        assert mine.folds.tolist() == [0] * 20 + [-1] * 30
        assert np.array_equal(mine.test, mine.folds == -1)
        assert np.isfinite(mine.probabilities).all()


def test_nothing_warns_of_the_rows_that_nobody_predicted(posed: Posed) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate("head2toe", posed(SPLIT), metric="auroc")
