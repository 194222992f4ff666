"""The report of several runs: tasks x methods, grouped as VTAB groups them, with means; and backbones side by side."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from head2toe.probe.report import run_page as page
from head2toe.probe.report.rendering import fill
from head2toe.probe.results import summary
from head2toe.probe.results.runs import Found

GROUPS = ("natural", "specialised", "structured")
OTHER = "other"


def render(runs: Sequence[Found]) -> str:
    """The page that compares runs, as HTML that needs nothing else.

    Of runs of one task and backbone, the newest counts.

    Raises
    ------
    MissingExtra
        Matplotlib or Jinja is not installed.
    """
    newest = latest_of_each(runs)
    backbones = list(dict.fromkeys(run.backbone for run in newest))
    return fill(
        "comparison",
        title="Head2Toe report: comparison",
        runs=newest,
        older=len(runs) - len(newest),
        tasks=list(dict.fromkeys(run.record["task"] for run in newest)),
        backbones=backbones,
        tested=all(method["test"] for run in newest for method in run.record["methods"]),
        tables=[methods_table([run for run in newest if run.backbone == backbone], backbone) for backbone in backbones],
        across=backbones_table(newest, backbones) if len(backbones) > 1 else None,
        dots=[
            {
                "task": run.record["task"],
                "backbone": run.backbone,
                "svg": page.accuracy_dots(f"dots{i}", run.record),
            }
            for i, run in enumerate(by_group(newest))
        ],
    )


def latest_of_each(runs: Sequence[Found]) -> list[Found]:
    """The newest run of each task and backbone, in the order in which they came."""
    newest: dict[tuple[str, str], Found] = {}
    for run in runs:
        key = (run.record["task"], run.backbone)
        if key not in newest or run.written >= newest[key].written:
            newest[key] = run
    return list(newest.values())


def group_of(run: Found) -> str:
    """VTAB's name of the run's group, or `other`."""
    return run.record["group"] if run.record["group"] in GROUPS else OTHER


def by_group(runs: Sequence[Found]) -> list[Found]:
    """Natural, specialised, structured, other; by name within."""
    return sorted(runs, key=lambda run: ((*GROUPS, OTHER).index(group_of(run)), run.record["task"]))


def methods_table(runs: Sequence[Found], backbone: str) -> dict[str, Any]:
    """Rows of tasks under columns of methods, with a mean for each group and over all tasks."""
    methods = list(dict.fromkeys(method["name"] for run in runs for method in run.record["methods"]))
    lines = [
        (
            group_of(run),
            run.record["task"],
            {m["name"]: (summary.accuracy_of(m), _interval(m)) for m in run.record["methods"]},
            summary.level_with_best(run.record),
        )
        for run in by_group(runs)
    ]
    return {"backbone": backbone, "columns": methods, **grouped(lines, methods)}


def backbones_table(runs: Sequence[Found], backbones: Sequence[str]) -> dict[str, Any]:
    """Rows of tasks under columns of backbones: each by the method that is best on the whole."""
    method = best_on_the_whole(runs)
    lines: dict[str, tuple[str, str, dict[str, tuple[float, list[float] | None]], set[str]]] = {}
    for run in by_group(runs):
        line = lines.setdefault(run.record["task"], (group_of(run), run.record["task"], {}, set()))
        for found in run.record["methods"]:
            if found["name"] == method:
                line[2][run.backbone] = (summary.accuracy_of(found), _interval(found))
    return {"method": method, "columns": list(backbones), **grouped(list(lines.values()), backbones)}


def best_on_the_whole(runs: Sequence[Found]) -> str:
    """Of the methods that most runs have, the one with the highest mean accuracy."""
    of: dict[str, list[float]] = {}
    for run in runs:
        for method in run.record["methods"]:
            of.setdefault(method["name"], []).append(summary.accuracy_of(method))
    return max(of, key=lambda name: (len(of[name]), sum(of[name]) / len(of[name])))


def grouped(
    lines: Sequence[tuple[str, str, Mapping[str, tuple[float, list[float] | None]], set[str]]], columns: Sequence[str]
) -> dict[str, Any]:
    """Lines (group, name, column to accuracy and interval, columns level with the best) as groups of rows and means."""
    groups = []
    for group in (*GROUPS, OTHER):
        mine = [line for line in lines if line[0] == group]
        if mine:
            tasks = [_row(name, values, columns, level) for _, name, values, level in mine]
            groups.append({"name": group, "rows": tasks, "mean": _mean(mine, columns) if len(mine) > 1 else None})
    return {"groups": groups, "mean": _mean(lines, columns) if len(lines) > 1 else None, "tasks": len(lines)}


def _row(
    name: str, values: Mapping[str, tuple[float, list[float] | None]], columns: Sequence[str], level: set[str]
) -> dict[str, Any]:
    top = max((value for value, _ in values.values()), default=math.nan)
    first = next((column for column in columns if column in values and values[column][0] == top), None)
    cells = [
        None
        if column not in values
        else {
            "value": values[column][0],
            "interval": values[column][1],
            "best": column == first,
            "level": column in level,
        }
        for column in columns
    ]
    return {"name": name, "cells": cells}


def _mean(lines: Sequence[Any], columns: Sequence[str]) -> list[dict[str, Any] | None]:
    """Of each column that every line has; a mean over other tasks could not be compared."""
    means = {
        column: sum(line[2][column][0] for line in lines) / len(lines)
        for column in columns
        if all(column in line[2] for line in lines)
    }
    top = max(means.values(), default=math.nan)
    return [{"value": means[c], "best": means[c] == top} if c in means else None for c in columns]


def _interval(method: Mapping[str, Any]) -> list[float] | None:
    return method["test"]["accuracy"]["interval"] if method["test"] else None
