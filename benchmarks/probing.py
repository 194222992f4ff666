"""`make bench-probe`: the grid of heads beside loops over scikit-learn's LogisticRegression, on the same features.

    OPENBLAS_NUM_THREADS=1 python benchmarks/probing.py                       # digits, two minutes
    OPENBLAS_NUM_THREADS=1 python benchmarks/probing.py --exact               # and how far each is from the optimum
    OPENBLAS_NUM_THREADS=1 python benchmarks/probing.py --task PATH --strengths 6
    OPENBLAS_NUM_THREADS=1 python benchmarks/probing.py --ensemble --task PATH     # what averaging heads costs

5 folds x 12 strengths x 5 sizes of selection F, random convolution features of scikit-learn's digits, or a task's. CPU
seconds of one thread, reading and scaling of columns included. Scikit-learn's loop comes twice: as one writes it, a fit
for every cell, and warm-started from one strength to the next; both at its default tolerance, with steps enough to get
there. All give probabilities of the held-out rows, whose accuracies are compared. Asked: a tenth of the plain loop.

With --ensemble: CPU seconds of the method `head2toe`, selection included, as it is and with one head (`--members 1`).
Asked: three times as much at most.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from features import digits, of_task
from head2toe.pipeline import Options, experiment_on
from head2toe.probe.choice.sweep import evaluate
from head2toe.probe.heads.crossval import Labels, cross_validate, fold_bases, out_of_fold
from head2toe.probe.heads.logistic import logistic_path
from head2toe.probe.heads.scaling import Scaled, standardized_rows
from head2toe.select.compute.arrays import namespace
from head2toe.store.reading.design_matrix import ArrayDesign, Design
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

SIZES = (100, 300, 1000, 3000, 10_000)
ARRAYS = namespace("cpu")
Predictions = dict[tuple[int, float], np.ndarray]
"""(F, C) to out-of-fold probabilities (n, classes)."""


@dataclass(frozen=True)
class Grid:
    """What every solver is given: the columns of each size, the smaller among the larger, and the rest."""

    design: Design
    y: np.ndarray
    folds: np.ndarray
    columns: dict[int, np.ndarray]
    strengths: np.ndarray

    @property
    def n_folds(self) -> int:
        return int(self.folds.max()) + 1

    @property
    def labels(self) -> Labels:
        return Labels.of(self.y, self.folds, int(self.y.max()) + 1, ARRAYS)


def ours(grid: Grid) -> Predictions:
    """As the sweep does it."""
    predictions = {}
    for size, columns in grid.columns.items():
        same = [columns] * grid.n_folds
        for C, logp in cross_validate(grid.design, same, grid.labels, grid.strengths, standardized_rows, ARRAYS):
            predictions[size, C] = np.exp(logp)
    return predictions


def exact(grid: Grid) -> Predictions:
    """The same in float64, to a tolerance where nothing changes any more."""

    def rows(*arguments: object) -> Scaled:
        scaled = standardized_rows(*arguments)
        return Scaled(scaled.values.astype(np.float64), scaled.unit, scaled.mean, scaled.scale)

    predictions = {}
    for size, columns in grid.columns.items():
        labels = grid.labels
        basis = fold_bases(grid.design, [columns] * grid.n_folds, labels, rows, ARRAYS)
        for heads in logistic_path(basis, labels.onehot.astype(np.float64), grid.strengths, ARRAYS.xp, tol=1e-6):
            predictions[size, heads.C] = np.exp(out_of_fold(heads.log_probabilities, labels.folds))
    return predictions


def scikit_learns(grid: Grid, *, warm: bool) -> Predictions:
    """By a loop: a fit for every cell, or warm-started along the strengths as a careful user would."""
    predictions: Predictions = {}
    for size, columns in grid.columns.items():
        for fold in range(grid.n_folds):
            train = grid.folds != fold
            X = standardized_rows(grid.design, columns, train, ARRAYS).values.T
            head = LogisticRegression(max_iter=100_000, warm_start=warm)
            for C in grid.strengths:
                # With two classes scikit-learn penalises one vector instead of two: its C is twice ours.
                head.set_params(C=C if grid.y.max() > 1 else 2 * C).fit(X[train], grid.y[train])
                cell = predictions.setdefault((size, C), np.zeros((len(grid.y), int(grid.y.max()) + 1)))
                cell[np.ix_(~train, head.classes_)] = head.predict_proba(X[~train])
    return predictions


def timed(solve: Callable[[], Predictions]) -> tuple[float, Predictions]:
    """CPU seconds and what was found."""
    start = time.process_time()
    predictions = solve()
    return time.process_time() - start, predictions


def accuracies(predictions: Predictions, grid: Grid) -> np.ndarray:
    """(sizes, strengths)."""
    return np.array([[(predictions[F, C].argmax(1) == grid.y).mean() for C in grid.strengths] for F in grid.columns])


def error(predictions: Predictions, truth: Predictions) -> str:
    """Mean distance of probabilities, by strength, over all sizes."""
    strengths = sorted({C for _, C in truth})
    means = [np.mean([np.abs(predictions[key] - truth[key]).mean() for key in truth if key[1] == C]) for C in strengths]
    return " ".join(f"{mean:.0e}" for mean in means)


def read(o: argparse.Namespace) -> tuple[str, Grid]:
    """The grid that was asked for, and its name."""
    if o.task:
        design, y, masks, name = of_task(o.task, input_size=o.input_size, target_sizes=(512,))
        folds = (~masks[:-1]).argmax(axis=0)
        order = np.random.default_rng(0).permutation(design.shape[1])
    else:
        X, y = digits(max(o.sizes))
        design, name, order = ArrayDesign(X), "digits", np.arange(X.shape[1])
        folds = np.arange(len(y)) * o.folds // len(y)
    columns = {size: np.sort(order[:size]) for size in o.sizes}
    return name, Grid(design, y, folds, columns, np.geomspace(0.1, 1e4, o.strengths))


def ensemble(task: str, input_size: int) -> None:
    """Print what the default method costs beside the same with a single head, on a task's features."""
    options = Options(input_size=input_size, methods=("head2toe",), fresh=True)
    experiment = experiment_on(task, options)
    start = time.process_time()
    data = experiment.data
    selecting = time.process_time() - start
    seconds = {}
    for members in (1, options.members):
        start = time.process_time()
        outcome = evaluate("head2toe", replace(data, members=members))
        seconds[members] = time.process_time() - start
        print(
            f"members {members}: {seconds[members]:.1f} CPU s beside {selecting:.1f} of the selection, "
            f"{len(outcome.sweep)} heads tried, {outcome.features_kept} features kept"
        )
    single, several = (selecting + each for each in seconds.values())
    print(f"{date.today()}: {task}, n = {data.n_train}, {data.n_classes} classes: {several / single:.2f}x (asked: 3)")


def main() -> None:
    """Print the costs, their ratios, and how the accuracies agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", type=int, default=5, help="of the digits; a task has its own")
    parser.add_argument("--strengths", type=int, default=12)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--task", help="a task's features instead of the digits'")
    parser.add_argument("--input-size", type=int, default=160)
    parser.add_argument("--exact", action="store_true", help="solve to the optimum, too, and print the distances to it")
    parser.add_argument("--ensemble", action="store_true", help="what averaging heads costs, instead")
    o = parser.parse_args()
    if o.ensemble:
        ensemble(o.task or "digits", o.input_size)
        return
    name, grid = read(o)
    print(
        f"{date.today()}: {name}, n = {len(grid.y)}, {int(grid.y.max()) + 1} classes: {grid.n_folds} folds x "
        f"{o.strengths} strengths x F = {', '.join(map(str, o.sizes))}; one thread",
        flush=True,
    )
    mine, predictions = timed(lambda: ours(grid))
    truth = exact(grid) if o.exact else None
    print(f"head2toe {mine:.1f} CPU s", flush=True)
    if truth:
        print(f"  mean error of probabilities, by C: {error(predictions, truth)}", flush=True)
    for warm in (False, True):
        seconds, theirs = timed(lambda warm=warm: scikit_learns(grid, warm=warm))
        difference = accuracies(predictions, grid) - accuracies(theirs, grid)
        best = np.mean([accuracies(solved, grid).max(axis=1) for solved in (predictions, theirs)], axis=1)
        print(
            f"scikit-learn{', warm-started' if warm else ''} {seconds:.1f} CPU s: head2toe {seconds / mine:.1f}x less"
        )
        print(
            f"  accuracy, ours - theirs: mean {difference.mean():+.4f}, largest {np.abs(difference).max():.4f}; "
            f"of the best strength of each F: {best[0]:.4f} and {best[1]:.4f}"
        )
        if truth:
            print(f"  mean error of probabilities, by C: {error(theirs, truth)}", flush=True)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
