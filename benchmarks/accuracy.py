"""`make bench-accuracy`: every method on every task of a folder of tasks, settings chosen by the same folds.

    python benchmarks/accuracy.py --data path/to/tasks                        # a folder for each task
    python benchmarks/accuracy.py --data path/to/tasks --methods all --output results

Prints a Markdown table of test accuracies with their 95 % intervals, one of the means over the folds, and what is asked
of `head2toe`: at least 4 points above `head2toe-paper` on average, and on no task more than one standard error of the
test accuracy below the linear probe. Runs that are there already are recalled, so that it may be stopped and run again.
"""

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from head2toe.pipeline import run
from head2toe.probe.options import METHODS
from head2toe.store.console.text import plus_minus

Table = dict[str, dict[str, Mapping[str, Any]]]  # task, method, the method's part of the record


def measured(folders: Sequence[Path], methods: Sequence[str], options: Mapping[str, Any]) -> Table:
    """Run every task; the record of each method."""
    table = {}
    for folder in folders:
        result = run(str(folder), methods=methods, **options)
        table[folder.name] = {method["name"]: method for method in result.record["methods"]}
        counts = result.record["counts"]
        table[folder.name]["task"] = {"test": counts["test"], "classes": len(result.record["classes"])}
        print(f"{folder.name}: {result.file}", file=sys.stderr, flush=True)
    return table


def on_test(method: Mapping[str, Any]) -> str:
    """Test accuracy with its interval."""
    figure = method["test"]["accuracy"]
    low, high = figure["interval"]
    return f"{figure['value']:.3f} [{low:.2f}, {high:.2f}]"


def over_folds(method: Mapping[str, Any]) -> str:
    """Mean accuracy over the folds with its standard error."""
    figure = method["cv"]["accuracy"]
    return plus_minus(figure["mean"], figure["stderr"])


def log_loss(method: Mapping[str, Any]) -> str:
    """On the test, and as a mean over the folds, in nats."""
    return f"{method['test']['log_loss']['value']:.3f} / {method['cv']['log_loss']['mean']:.3f}"


def accuracy(table: Table, task: str, method: str) -> float:
    """On the test."""
    return float(table[task][method]["test"]["accuracy"]["value"])


def markdown(table: Table, methods: Sequence[str]) -> str:
    """Test accuracies, a row for each method, the best of a task in bold; the same over the folds; log-losses."""
    names = [f"{task} ({of_task['task']['classes']})" for task, of_task in table.items()]
    rule = "|---" * (len(names) + 1) + "|"
    best = {task: max(accuracy(table, task, method) for method in methods) for task in table}
    tests = [f"| test | {' | '.join(names)} | mean |", f"{rule}---|"]
    folds = [f"| folds | {' | '.join(names)} |", rule]
    losses = [f"| log-loss, test / folds | {' | '.join(names)} |", rule]
    for method in methods:
        cells = [on_test(of_task[method]) for of_task in table.values()]
        marked = [
            f"**{cell}**" if accuracy(table, task, method) == best[task] else cell
            for task, cell in zip(table, cells, strict=True)
        ]
        mean = statistics.fmean(accuracy(table, task, method) for task in table)
        tests.append(f"| {method} | {' | '.join(marked)} | {mean:.3f} |")
        folds.append(f"| {method} | {' | '.join(over_folds(of_task[method]) for of_task in table.values())} |")
        losses.append(f"| {method} | {' | '.join(log_loss(of_task[method]) for of_task in table.values())} |")
    return "\n".join([*tests, "", *folds, "", *losses])


def verdicts(table: Table) -> list[str]:
    """What is asked of the default method, and what it does."""
    gain = statistics.fmean(accuracy(table, t, "head2toe") - accuracy(table, t, "head2toe-paper") for t in table)
    lines = [
        f"head2toe above head2toe-paper, mean over {len(table)} tasks: {100 * gain:+.1f} points (asked: 4, goal: 8)"
    ]
    for task, of_task in table.items():
        ours, probe, n = accuracy(table, task, "head2toe"), accuracy(table, task, "linear"), of_task["task"]["test"]
        error = (probe * (1 - probe) / n) ** 0.5
        if ours < probe - error:
            lines.append(f"{task}: head2toe {ours:.3f} is more than one standard error below linear {probe:.3f}")
    if len(lines) == 1:
        lines.append("no task is more than one standard error below the linear probe")
    return lines


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with a folder for each task")
    parser.add_argument("--tasks", nargs="+", help="some of them")
    parser.add_argument("--methods", default="linear,l21,head2toe,head2toe-paper", help="comma-separated, or all")
    parser.add_argument("--input-size", type=int, default=160)
    parser.add_argument("--target-size", type=int, nargs="+", default=[512])
    parser.add_argument("--views", default="", help="further views of every image, for methods that take them")
    parser.add_argument("--output", type=Path, default=Path("results"))
    o = parser.parse_args()
    methods = list(METHODS) if o.methods == "all" else o.methods.split(",")
    folders = sorted(
        folder for folder in o.data.iterdir() if folder.is_dir() and (not o.tasks or folder.name in o.tasks)
    )
    views = tuple(o.views.split(",")) if o.views else ()
    options = {"input_size": o.input_size, "target_sizes": tuple(o.target_size), "output": o.output, "views": views}
    table = measured(folders, methods, options)
    print(f"{date.today()}: tf_efficientnet_lite0 at {o.input_size} px, target size {o.target_size}")
    print(f"command: python {' '.join(sys.argv)}\n")
    print(markdown(table, methods), end="\n\n")
    if {"linear", "head2toe", "head2toe-paper"} <= set(methods):
        print("\n".join(verdicts(table)))


if __name__ == "__main__":
    main()
