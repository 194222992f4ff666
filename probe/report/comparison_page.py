"""The page that compares runs: tasks x methods, grouped as VTAB groups them, with means; and backbones side by side."""

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from head2toe.probe.report.record_charts import accuracy_chart
from head2toe.probe.report.rendering import fill
from head2toe.probe.results import summary
from head2toe.probe.results.stored_runs import StoredRun

OTHER = "other"
GROUPS = ("natural", "specialised", "structured", OTHER)
"""VTAB's groups of tasks, and the one of all other tasks, in the order of the page."""


@dataclass(frozen=True)
class Accuracy:
    """A method's accuracy on a task, from 0 to 1, and the ends of its 95 % interval, where there is a test."""

    value: float
    interval: Sequence[float] | None

    @classmethod
    def of(cls, method: Mapping[str, Any]) -> "Accuracy":
        """Take it from a method's entry in a record."""
        interval = method["test"]["accuracy"]["interval"] if method["test"] else None
        return cls(summary.accuracy_of(method), interval)


@dataclass(frozen=True)
class TaskRow:
    """A row of a table of tasks.

    Attributes
    ----------
    group : str
        One of `GROUPS`.
    task : str
        The task's name.
    accuracies : dict
        Column to `Accuracy`; a column may be missing.
    level : set of str
        The columns that McNemar's test can't tell from the best.
    """

    group: str
    task: str
    accuracies: Mapping[str, Accuracy]
    level: Set[str] = frozenset()


def render(runs: Sequence[StoredRun]) -> str:
    """Make the page that compares runs; of those of one task and backbone, the newest counts.

    Returns
    -------
    str
        One HTML file that needs nothing else.

    Raises
    ------
    MissingExtra
        Matplotlib or Jinja is not installed.
    """
    newest = newest_of_each(runs)
    backbones = list(dict.fromkeys(run.backbone for run in newest))
    of_backbone = {name: [run for run in newest if run.backbone == name] for name in backbones}
    return fill(
        "comparison.html",
        runs=newest,
        older=len(runs) - len(newest),
        tasks=list(dict.fromkeys(run.record["task"] for run in newest)),
        backbones=backbones,
        tested=all(method["test"] for run in newest for method in run.record["methods"]),
        by_method=[methods_table(alike, backbone) for backbone, alike in of_backbone.items()],
        by_backbone=backbones_table(newest, backbones) if len(backbones) > 1 else None,
        charts=[
            {"task": run.record["task"], "backbone": run.backbone, "svg": accuracy_chart(f"dots{i}", run.record)}
            for i, run in enumerate(in_order(newest))
        ],
    )


def newest_of_each(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """Take the newest run of each task and backbone, in the order in which they came."""
    newest: dict[tuple[str, str], StoredRun] = {}
    for run in runs:
        key = (run.record["task"], run.backbone)
        if key not in newest or run.written >= newest[key].written:
            newest[key] = run
    return list(newest.values())


def group_of(run: StoredRun) -> str:
    """Return the group of the run's task, one of `GROUPS`."""
    return run.record["group"] if run.record["group"] in GROUPS else OTHER


def in_order(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """Sort runs by the groups of their tasks, and by the tasks' names within a group."""
    return sorted(runs, key=lambda run: (GROUPS.index(group_of(run)), run.record["task"]))


def methods_table(runs: Sequence[StoredRun], backbone: str) -> dict[str, Any]:
    """Make the table of tasks (rows) and methods (columns) from the runs of a backbone; see `table`."""
    methods = list(dict.fromkeys(method["name"] for run in runs for method in run.record["methods"]))
    rows = [
        TaskRow(
            group_of(run),
            run.record["task"],
            {method["name"]: Accuracy.of(method) for method in run.record["methods"]},
            summary.level_with_best(run.record),
        )
        for run in in_order(runs)
    ]
    return {"backbone": backbone, **table(rows, methods)}


def backbones_table(runs: Sequence[StoredRun], backbones: Sequence[str]) -> dict[str, Any]:
    """Make the table of tasks (rows) and backbones (columns), by the method that is best on the whole; see `table`."""
    best = best_on_the_whole(runs)
    of_task: dict[str, list[StoredRun]] = {}
    for run in in_order(runs):
        of_task.setdefault(run.record["task"], []).append(run)
    rows = []
    for task, alike in of_task.items():
        methods = [(run.backbone, method) for run in alike for method in run.record["methods"]]
        accuracies = {backbone: Accuracy.of(method) for backbone, method in methods if method["name"] == best}
        rows.append(TaskRow(group_of(alike[0]), task, accuracies))
    return {"method": best, **table(rows, backbones)}


def best_on_the_whole(runs: Sequence[StoredRun]) -> str:
    """Return the name of the method with the highest mean accuracy, of those that most runs have."""
    accuracies: dict[str, list[float]] = {}
    for run in runs:
        for method in run.record["methods"]:
            accuracies.setdefault(method["name"], []).append(summary.accuracy_of(method))
    return max(accuracies, key=lambda name: (len(accuracies[name]), sum(accuracies[name]) / len(accuracies[name])))


def table(rows: Sequence[TaskRow], columns: Sequence[str]) -> dict[str, Any]:
    """Group rows, and take means over groups and over all.

    Returns
    -------
    dict
        The `columns`, the number of `tasks`, the `groups` that have rows, each with `name`, `rows` and `mean`, and the
        `mean` of all. A row has the task's `name` and a cell for each column, a mean is such cells: None where there is
        no accuracy, else `value` and `best`, of a row also `interval` and `level`. There is no mean of one row.
    """
    groups = []
    for name in GROUPS:
        members = [row for row in rows if row.group == name]
        if members:
            cells = [{"name": row.task, "cells": _cells(row, columns)} for row in members]
            groups.append({"name": name, "rows": cells, "mean": _mean(members, columns)})
    return {"columns": list(columns), "groups": groups, "mean": _mean(rows, columns), "tasks": len(rows)}


def _cells(row: TaskRow, columns: Sequence[str]) -> list[dict[str, Any] | None]:
    """A cell for each column; of equals, the first is the best."""
    top = max((accuracy.value for accuracy in row.accuracies.values()), default=math.nan)
    best = next((name for name in columns if name in row.accuracies and row.accuracies[name].value == top), None)
    return [
        {
            "value": row.accuracies[name].value,
            "interval": row.accuracies[name].interval,
            "best": name == best,
            "level": name in row.level,
        }
        if name in row.accuracies
        else None
        for name in columns
    ]


def _mean(rows: Sequence[TaskRow], columns: Sequence[str]) -> list[dict[str, Any] | None] | None:
    """The mean of each column that every row has; a mean over other tasks could not be compared."""
    if len(rows) < 2:
        return None
    means = {
        name: sum(row.accuracies[name].value for row in rows) / len(rows)
        for name in columns
        if all(name in row.accuracies for row in rows)
    }
    top = max(means.values(), default=math.nan)
    return [{"value": means[name], "best": means[name] == top} if name in means else None for name in columns]
