"""`make bench-curve`: what a learning curve of half of the labels promises for all of them, beside what they bring.

    python benchmarks/tasks/curve.py --data path/to/tasks                    # a folder for each task
    python benchmarks/tasks/curve.py --data path/to/tasks --methods linear l21

Prints a Markdown table: for each task and method the accuracy at each number of labels, what the power law through the
points up to half of the labels promises for all (with its interval), what these bring, and the difference in points.
Below it a second one has for each method the mean absolute difference, how many intervals hold what all labels bring,
and the mean absolute difference of curves of one repeat, over the repeats. Features come from the stores.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from head2toe.pipeline import Options, experiment_on
from head2toe.probe.choice.nested import Split
from head2toe.probe.curve_command import REPEATS
from head2toe.probe.metrics.uncertainty import Interval
from head2toe.probe.planning.learning_curve import LearningCurve, Point, learning_curves
from head2toe.probe.planning.subsets import subsets

SHARES = (0.125, 0.18, 0.25, 0.35, 0.5, 1.0)
FEWEST_PER_CLASS = 2
"""A class with one row can't be both learned from and judged, so that nothing can be chosen by it."""


class Task:
    """A task whose curves are asked about all of its labels.

    Parameters
    ----------
    folder : Path
        Of the task.
    methods : list of str
    repeats : int
        How often the labels of a size are drawn.
    options : dict
        Further ones of a run.
    """

    def __init__(self, folder: Path, methods: list[str], repeats: int, options: dict[str, Any]) -> None:
        chosen = Options(methods=tuple(methods), **options)
        self.methods, self.seed = methods, chosen.seed
        self.experiment = experiment_on(str(folder), chosen)
        task = self.experiment.task
        fewest = FEWEST_PER_CLASS * len(task.classes)
        self.sizes = [round(share * task.n_train) for share in SHARES if share * task.n_train >= fewest]
        self.splits = subsets(task.labels[: task.n_train], task.folds, self.sizes, chosen.seed, repeats)

    def curves(self) -> list[LearningCurve]:
        """Return the curve of each method."""
        return self._curves(self.splits)

    def curves_of_one(self, repeat: int) -> list[LearningCurve]:
        """Return the curve of each method from one of the repeats; all labels have no other."""
        return self._curves([of_size[repeat : repeat + 1] or of_size for of_size in self.splits])

    def _curves(self, splits: Sequence[Sequence[Sequence[Split]]]) -> list[LearningCurve]:
        found = {one.method: one for one in learning_curves(self.experiment, self.sizes, splits, self.seed)}
        return [found[method] for method in self.methods]


@dataclass
class Tally:
    """What the curves of a method were off by, in points.

    Attributes
    ----------
    off : list of float
        On each task.
    of_one : list of float
        On each task, from each repeat alone.
    held : int
        How many intervals hold what all labels bring.
    """

    off: list[float] = field(default_factory=list)
    of_one: list[float] = field(default_factory=list)
    held: int = 0


def without_last(curve: LearningCurve) -> LearningCurve:
    """Return a curve that does not know what all labels bring."""
    return replace(curve, points=curve.points[:-1])


def points_off(half: LearningCurve, last: Point) -> float:
    """Return by how many points the law of a curve without its last point is above that point."""
    return 100 * (float(half.law(last.labels)) - last.accuracy)


def row(name: str, half: LearningCurve, last: Point, interval: Interval) -> str:
    """Write a curve without its last point, what it promises there, within which interval, and what came."""
    shown = ", ".join(f"{point.labels}: {point.accuracy:.3f}" for point in half.points)
    promised = f"{half.law(last.labels):.3f} [{interval.low:.3f}, {interval.high:.3f}]"
    cells = [name, half.method, shown, promised, f"{last.accuracy:.3f} ± {last.error:.3f}"]
    cells.append(f"{points_off(half, last):+.1f}")
    return f"| {' | '.join(cells)} |"


def mean_and_most(off: list[float]) -> str:
    """Write the mean absolute difference, and the largest one."""
    return f"{statistics.fmean(map(abs, off)):.2f} ({max(map(abs, off)):.1f})"


def main() -> None:
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with a folder for each task")
    parser.add_argument("--tasks", nargs="+", help="some of them")
    parser.add_argument("--methods", nargs="+", default=["linear", "l21"])
    parser.add_argument("--repeats", type=int, default=REPEATS, help="how often the labels of a size are drawn")
    parser.add_argument("--input-size", type=int, default=160)
    parser.add_argument("--output", type=Path, default=Path("results"))
    parser.add_argument("--store", type=Path, help="folder of the feature stores")
    o = parser.parse_args()
    options: dict[str, Any] = {"input_size": o.input_size, "output": o.output} | ({"store": o.store} if o.store else {})
    names = o.tasks or sorted(folder.name for folder in o.data.iterdir() if folder.is_dir())
    print(f"{date.today()}: tf_efficientnet_lite0 at {o.input_size} px, target size 512, {o.repeats} repeats")
    print(f"command: python {' '.join(sys.argv)}\n")
    print("| task | method | accuracy at so many labels | promised | all labels | off by |\n|---|---|---|---|---|---|")
    tallies = {method: Tally() for method in o.methods}
    for name in names:
        task = Task(o.data / name, o.methods, o.repeats, options)
        for curve in task.curves():
            half, last = without_last(curve), curve.points[-1]
            _, interval = half.at(last.labels)
            print(row(name, half, last, interval), flush=True)
            tallies[curve.method].off.append(points_off(half, last))
            tallies[curve.method].held += interval.low <= last.accuracy <= interval.high
        for repeat in range(o.repeats):
            for curve in task.curves_of_one(repeat):
                tallies[curve.method].of_one.append(points_off(without_last(curve), curve.points[-1]))
    print("\nPoints off in the mean, and in brackets the most:\n")
    print(f"| method | {o.repeats} repeats | intervals that hold it | one repeat |\n|---|---|---|---|")
    for method, tally in tallies.items():
        held = f"{tally.held} of {len(names)}"
        print(f"| {method} | {mean_and_most(tally.off)} | {held} | {mean_and_most(tally.of_one)} |")


if __name__ == "__main__":
    main()
