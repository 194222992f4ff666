"""`make bench-probe`: the grid of heads beside a loop over scikit-learn's LogisticRegression, on the same features.

    OPENBLAS_NUM_THREADS=1 python benchmarks/probing.py                       # digits, a minute or two
    OPENBLAS_NUM_THREADS=1 python benchmarks/probing.py --folds 5 --strengths 12

5 folds x 12 strengths x 5 sizes of selection F, random convolution features of scikit-learn's digits. CPU seconds of
one thread; both give probabilities of the held-out rows, whose accuracies are compared. Asked: a tenth of the CPU.
"""

import argparse
import time
from datetime import date

import numpy as np
from features import digits
from head2toe.probe.crossval import Labels, cross_validate
from head2toe.probe.rows import standardized_rows
from head2toe.select.arrays import namespace
from head2toe.store.design import ArrayDesign
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

SIZES = (100, 300, 1000, 3000, 10_000)


def ours(design: ArrayDesign, y: np.ndarray, folds: np.ndarray, strengths: np.ndarray) -> dict:
    """(F, C) to out-of-fold predictions (n,)."""
    arrays, classes = namespace("cpu"), int(y.max()) + 1
    labels, found = Labels.of(y, folds, classes, arrays), {}
    for size in SIZES:
        columns = [np.arange(size)] * (int(folds.max()) + 1)
        for C, logp in cross_validate(design, columns, labels, strengths, standardized_rows, arrays):
            found[size, C] = logp.argmax(axis=1)
    return found


def scikit_learns(design: ArrayDesign, y: np.ndarray, folds: np.ndarray, strengths: np.ndarray, tol: float) -> dict:
    """The same by a loop, warm-started along the strengths as a careful user would."""
    arrays, found = namespace("cpu"), {}
    for size in SIZES:
        for fold in range(int(folds.max()) + 1):
            train = folds != fold
            X = standardized_rows(design, np.arange(size), train, arrays).values.T
            head = LogisticRegression(tol=tol, max_iter=1000, warm_start=True)
            for C in strengths:
                head.set_params(C=C).fit(X[train], y[train])
                found.setdefault((size, C), np.empty(len(y), int))[~train] = head.predict(X[~train])
    return found


def main() -> None:
    """Print the two costs, their ratio, and how the accuracies agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--strengths", type=int, default=12)
    parser.add_argument("--tol", type=float, default=1e-4, help="scikit-learn's (its default)")
    o = parser.parse_args()
    X, y = digits(max(SIZES))
    design, folds = ArrayDesign(X), np.arange(len(y)) * o.folds // len(y)
    strengths = np.geomspace(0.1, 1e4, o.strengths)
    accuracies, seconds = [], []
    for solve in (
        lambda: ours(design, y, folds, strengths),
        lambda: scikit_learns(design, y, folds, strengths, o.tol),
    ):
        start = time.process_time()
        found = solve()
        seconds.append(time.process_time() - start)
        accuracies.append(np.array([(found[key] == y).mean() for key in sorted(found)]))
    difference = accuracies[0] - accuracies[1]
    print(f"{date.today()}: {o.folds} folds x {o.strengths} strengths x {len(SIZES)} sizes, n = {len(y)}, one thread")
    print(f"head2toe {seconds[0]:.1f} CPU s, scikit-learn {seconds[1]:.1f} CPU s: {seconds[1] / seconds[0]:.1f}x less")
    print(f"accuracy, ours - theirs: mean {difference.mean():+.4f}, largest {np.abs(difference).max():.4f}")


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
