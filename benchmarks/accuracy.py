"""`make bench-accuracy`: every method on every task of a folder of tasks, settings chosen by the same folds.

    python benchmarks/accuracy.py --data path/to/tasks                        # a folder for each task
    python benchmarks/accuracy.py --data path/to/tasks --methods all --output results

Prints a Markdown table of test accuracies (in brackets: mean over the folds), their means, and what is asked of
`head2toe`: at least 4 points above `head2toe-paper` on average, and on no task more than one standard error of the
test accuracy below the linear probe. Runs that are there already are recalled, so that it may be stopped and run again.
"""

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from head2toe.pipeline import METHODS, run

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


def cell(method: Mapping[str, Any], bold: bool) -> str:
    """Test accuracy, and the folds' in brackets."""
    test, cv = method["test"]["accuracy"]["value"], method["cv"]["accuracy"]["mean"]
    return f"{'**' if bold else ''}{test:.3f}{'**' if bold else ''} ({cv:.3f})"


def accuracy(table: Table, task: str, method: str) -> float:
    """On the test."""
    return float(table[task][method]["test"]["accuracy"]["value"])


def markdown(table: Table, methods: Sequence[str]) -> str:
    """The table, and a row of means."""
    lines = [f"| task | classes | {' | '.join(methods)} |", "|---" * (len(methods) + 2) + "|"]
    for task, found in table.items():
        best = max(accuracy(table, task, method) for method in methods)
        cells = [cell(found[method], accuracy(table, task, method) == best) for method in methods]
        lines.append(f"| {task} | {found['task']['classes']} | {' | '.join(cells)} |")
    means = [statistics.fmean(accuracy(table, task, method) for task in table) for method in methods]
    lines.append(f"| **mean** | | {' | '.join(f'{mean:.3f}' for mean in means)} |")
    return "\n".join(lines)


def verdicts(table: Table) -> list[str]:
    """What is asked of the default method, and what it does."""
    gain = statistics.fmean(accuracy(table, t, "head2toe") - accuracy(table, t, "head2toe-paper") for t in table)
    lines = [
        f"head2toe above head2toe-paper, mean over {len(table)} tasks: {100 * gain:+.1f} points (asked: 4, goal: 8)"
    ]
    for task, found in table.items():
        ours, probe, n = accuracy(table, task, "head2toe"), accuracy(table, task, "linear"), found["task"]["test"]
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
    parser.add_argument("--output", type=Path, default=Path("results"))
    o = parser.parse_args()
    methods = list(METHODS) if o.methods == "all" else o.methods.split(",")
    folders = sorted(
        folder for folder in o.data.iterdir() if folder.is_dir() and (not o.tasks or folder.name in o.tasks)
    )
    options = {"input_size": o.input_size, "target_sizes": tuple(o.target_size), "output": o.output}
    table = measured(folders, methods, options)
    print(f"{date.today()}: tf_efficientnet_lite0 at {o.input_size} px, target size {o.target_size}")
    print(f"command: python {' '.join(sys.argv)}\n")
    print(markdown(table, methods), end="\n\n")
    if {"linear", "head2toe", "head2toe-paper"} <= set(methods):
        print("\n".join(verdicts(table)))


if __name__ == "__main__":
    main()
