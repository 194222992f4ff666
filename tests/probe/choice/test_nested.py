"""Nested cross-validation: every outer fold is judged as the test of a task that consists of the other folds."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head2toe.extract.tasks.registry import load_task
from head2toe.pipeline import Options, run
from head2toe.probe.choice.nested import Split, outer_folds, with_nested
from head2toe.probe.report import run_page
from head2toe.probe.results import summary
from head2toe.probe.results.result_files import write_run
from head2toe.store.common.errors import BadRequest
from head2toe.store.console.text import interval, plus_minus

Made = Callable[..., tuple[Any, Any]]


def test_every_fold_is_the_test_of_the_others() -> None:
    folds = np.array([0, 1, 2, 3, -1, 3, 2, 1, 0, -1])
    splits = outer_folds(folds)
    assert np.array_equal(np.sort(np.concatenate([s.predicted for s in splits])), np.flatnonzero(folds >= 0))
    for outer, split in enumerate(splits):
        assert (folds[split.predicted] == outer).all()
        assert np.array_equal(split.training, np.flatnonzero(folds != outer))
        assert set(split.folds) == {-1, 0, 1, 2}, "inner folds are numbered anew"
        assert np.array_equal(split.folds == -1, folds[split.training] == -1)
        pairs = set(zip(split.folds.tolist(), folds[split.training].tolist(), strict=True))
        assert len(pairs) == 4, "what was one fold stays one"


@pytest.mark.parametrize("folds", [np.arange(12) % 2, np.repeat([-1, 0], 6)])
def test_too_few_folds_are_refused(folds: np.ndarray) -> None:
    with pytest.raises(BadRequest, match=r"--nested needs 3 folds or more, and the task has [12]: try --folds strat"):
        outer_folds(folds)


@pytest.mark.parametrize("folds", ["800/200", "holdout"])
def test_one_held_out_part_is_refused_before_anything_runs(folds: str) -> None:
    with pytest.raises(BadRequest, match=f"--folds {folds} is one held-out part"):
        Options(nested=True, folds=folds)


def test_the_pipeline_judges_each_outer_fold_as_a_task_of_its_own(image_folder: Path, smaller: dict[str, Any]) -> None:
    methods = ("linear", "l21")
    task = load_task(str(image_folder))
    nested = run(task, **smaller, methods=methods, nested=True)
    plain = run(task, **smaller, methods=methods)
    assert plain.file != nested.file
    split = outer_folds(task.folds)[2]
    rows = split.rows
    alone = replace(
        task, images=tuple(task.images[i] for i in rows), labels=task.labels[rows], folds=split.folds, name="alone"
    )
    of_alone = run(alone, **smaller, methods=methods, output=Path("elsewhere"))
    assert of_alone.extractions[0].images_extracted == 0
    for method, usual, other in zip(
        nested.record["methods"], plain.record["methods"], of_alone.record["methods"], strict=True
    ):
        assert usual["nested"] is None
        assert method["nested"]["accuracy"]["mean"] in [m.nested_accuracy for m in nested.methods]
        assert [method[part] for part in ("cv", "test", "settings")] == [
            usual[part] for part in ("cv", "test", "settings")
        ]
        for metric in ("accuracy", "log_loss", "auroc"):
            assert method["nested"][metric]["folds"][2] == other["test"][metric]["value"]
        assert method["nested_settings"][2] == other["settings"]
        accuracy = method["nested"]["accuracy"]
        assert accuracy["mean"] == pytest.approx(np.mean(accuracy["folds"]), abs=1e-5)
        assert accuracy["interval"][0] <= accuracy["mean"] <= accuracy["interval"][1]
    again = run(task, **smaller, methods=methods, nested=True)
    assert again.recalled


def nested_run(made_up: Made, n_test: int) -> tuple[Any, Any]:
    """A made-up run whose nested predictions are those of the folds, with a third of them spoiled."""
    run_, outcomes = made_up(n_train=100, n_test=n_test)
    splits = outer_folds(run_.folds)
    inner = [
        [
            replace(o, test_log_probabilities=np.roll(o.fold_log_probabilities[s.predicted], k == 0, axis=1))
            for o in outcomes
        ]
        for k, s in enumerate(splits)
    ]
    return run_, with_nested(outcomes, splits, inner)


def test_rows_find_their_way_back(made_up: Made) -> None:
    run_, outcomes = nested_run(made_up, 0)
    for outcome in outcomes:
        assert np.array_equal(outcome.nested_log_probabilities[20:], outcome.fold_log_probabilities[20:])
        assert not np.isnan(outcome.nested_log_probabilities).any()
        assert len(outcome.nested_settings) == 5
    assert Split.whole(3, np.zeros(2)).predicted.tolist() == [2]
    assert run_.held_out.all()


@pytest.mark.parametrize("n_test", [60, 0])
def test_table_summary_and_page_show_it_beside_the_folds(made_up: Made, n_test: int, tmp_path: Path) -> None:
    record = write_run(tmp_path, *nested_run(made_up, n_test))
    text = summary.method_table(record)
    assert re.search(r"nested cv +nested 95 %", text)
    for method in record["methods"]:
        shown = plus_minus(method["nested"]["accuracy"]["mean"], method["nested"]["accuracy"]["stderr"])
        assert shown != plus_minus(method["cv"]["accuracy"]["mean"], method["cv"]["accuracy"]["stderr"])
        assert shown in text
        assert shown in (tmp_path / "summary.md").read_text()
        assert interval(method["nested"]["accuracy"]["interval"]) in text
    rows = [line for line in (tmp_path / "summary.md").read_text().splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1
    html = run_page.render(tmp_path, record, lambda _: None)
    assert "nested ± s.e." in html
    if not n_test:
        best = summary.best_method(record)
        assert summary.accuracy_of(best) == best["nested"]["accuracy"]["mean"], "the hopeful number is not the headline"
        assert {pair["on"] for pair in record["comparisons"]} == {"nested"}
        assert "Nested cross-validation, with its 95 % bootstrap interval" in html
