"""`make bench-curve`: what a learning curve of half of the labels promises for all of them, beside what they bring.

    python benchmarks/tasks/curve.py --data path/to/tasks                    # a folder for each task
    python benchmarks/tasks/curve.py --data path/to/tasks --methods linear l21

Prints a Markdown table: for each task and method the accuracy at each number of labels, what the power law through the
points up to half of the labels promises for all (with its interval), what these bring, and the difference in points; at
the end the mean absolute difference of each method. Features come from the stores.
"""

import argparse
import statistics
import sys
from datetime import date
from pathlib import Path
from typing import Any

from head2toe.pipeline import Options, experiment_on
from head2toe.probe.planning.learning_curve import LearningCurve, Point, learning_curves
from head2toe.probe.planning.subsets import subsets

SHARES = (0.125, 0.18, 0.25, 0.35, 0.5, 1.0)
FEWEST_PER_CLASS = 2
"""A class with one row can't be both learned from and judged, so that nothing can be chosen by it."""


def curves(folder: Path, methods: list[str], options: dict[str, Any]) -> list[LearningCurve]:
    """Make the curves of a task; sizes with fewer than two rows for each class are left out."""
    chosen = Options(methods=tuple(methods), **options)
    experiment = experiment_on(str(folder), chosen)
    task = experiment.task
    fewest = FEWEST_PER_CLASS * len(task.classes)
    sizes = [round(share * task.n_train) for share in SHARES if share * task.n_train >= fewest]
    splits = subsets(task.labels[: task.n_train], task.folds, sizes, chosen.seed)
    points: dict[str, list[Point]] = {method: [] for method in methods}
    for _, found in learning_curves(experiment, sizes, splits):
        for method in methods:
            points[method].append(found[method])
    return [LearningCurve(method, tuple(of_method)) for method, of_method in points.items()]


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with a folder for each task")
    parser.add_argument("--tasks", nargs="+", help="some of them")
    parser.add_argument("--methods", nargs="+", default=["linear", "l21"])
    parser.add_argument("--input-size", type=int, default=160)
    parser.add_argument("--output", type=Path, default=Path("results"))
    parser.add_argument("--store", type=Path, help="folder of the feature stores")
    o = parser.parse_args()
    options: dict[str, Any] = {"input_size": o.input_size, "output": o.output} | ({"store": o.store} if o.store else {})
    names = o.tasks or sorted(folder.name for folder in o.data.iterdir() if folder.is_dir())
    print(f"{date.today()}: tf_efficientnet_lite0 at {o.input_size} px, target size 512")
    print(f"command: python {' '.join(sys.argv)}\n")
    print("| task | method | accuracy at so many labels | promised | all labels | off by |\n|---|---|---|---|---|---|")
    off: dict[str, list[float]] = {}
    for name in names:
        for curve in curves(o.data / name, o.methods, options):
            *half, last = curve.points
            promised, interval = LearningCurve(curve.method, tuple(half)).at(last.labels)
            difference = 100 * (promised - last.accuracy)
            off.setdefault(curve.method, []).append(difference)
            shown = ", ".join(f"{point.labels}: {point.accuracy:.3f}" for point in half)
            promise = f"{promised:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
            cells = f"{shown} | {promise} | {last.accuracy:.3f} ± {last.error:.3f} | {difference:+.1f}"
            print(f"| {name} | {curve.method} | {cells} |", flush=True)
    for method, differences in off.items():
        mean, most = statistics.fmean(map(abs, differences)), max(map(abs, differences))
        print(f"\n{method}: off by {mean:.2f} points in the mean, {most:.1f} at most")


if __name__ == "__main__":
    main()
