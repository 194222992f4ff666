"""The page that compares runs: groups, means of like with like, backbones side by side."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head2toe.probe.report import comparison_page
from head2toe.probe.results import stored_runs
from head2toe.probe.results.result_files import write_run

Made = Callable[..., tuple[Any, Any]]
Sound = Callable[[str], Any]


def test_tasks_are_grouped_and_means_are_of_like_with_like(sound: Sound, made_up: Made, tmp_path: Path) -> None:
    tasks = {"dtd": "natural", "pets": "natural", "eurosat": "specialised", "mine": None}
    for i, (task, group) in enumerate(tasks.items()):
        run, outcomes = made_up(n_train=60, n_test=80, task=task, group=group, seed=i)
        write_run(tmp_path / task, run, outcomes[: 3 if task == "pets" else 4])
    runs = stored_runs.below(tmp_path, pytest.fail)
    table = comparison_page.methods_table(runs, "b")
    assert [group["name"] for group in table["groups"]] == ["natural", "specialised", "other"]
    natural = table["groups"][0]
    assert [row["name"] for row in natural["rows"]] == ["dtd", "pets"]
    assert natural["mean"][table["columns"].index("head2toe")] is None  # pets has none
    assert table["groups"][1]["mean"] is None  # of one
    column = table["columns"].index("linear")
    accuracies = [next(m for m in run.record["methods"] if m["name"] == "linear") for run in runs]
    assert table["mean"][column]["value"] == pytest.approx(
        np.mean([m["test"]["accuracy"]["value"] for m in accuracies])
    )
    page = sound(comparison_page.render(runs))
    assert "mean of all 4" in page.text
    assert len(page.all("svg")) == 4


def test_backbones_stand_side_by_side_and_the_newest_run_counts(sound: Sound, made_up: Made, tmp_path: Path) -> None:
    for i, backbone in enumerate(("small", "large", "small")):
        run, outcomes = made_up(n_train=60, n_test=80, seed=i)
        object.__setattr__(run, "backbones", [dict(run.backbones[0], name=backbone)])
        write_run(tmp_path / str(i), run, outcomes)
    runs = [stored_runs.load(tmp_path / str(i)) for i in range(3)]
    newest = comparison_page.newest_of_each(runs)
    assert sorted(run.folder.name for run in newest) == ["1", "2"]
    html = comparison_page.render(runs)
    assert "1 older run of" in sound(html).text
    across = comparison_page.backbones_table(newest, ["small", "large"])
    cells = across["groups"][0]["rows"][0]["cells"]
    assert [cell["value"] for cell in cells] == [
        next(m["test"]["accuracy"]["value"] for m in run.record["methods"] if m["name"] == across["method"])
        for run in (runs[2], runs[1])
    ]
