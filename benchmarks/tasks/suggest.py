"""`make bench-suggest`: does labelling what `head2toe suggest` names bring more than labelling at random?

    python benchmarks/tasks/suggest.py --data path/to/tasks                    # a folder for each task

For each task: a hundred training images have labels, the others are the pool. Three rounds of fifty are labelled, by a
rule, with a head trained anew before each; then the test is looked at. The head is scikit-learn's logistic regression
on the standardised features of the last layer, and the directions are their 64 principal ones. Prints a Markdown table
of test accuracies, means over seeds, and by how many points each rule beats chance. Features come from the stores.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from head2toe.extract.tasks.registry import load_task
from head2toe.extract.uncertainty.suggestion import diverse_batch
from head2toe.pipeline import extract
from head2toe.store.format.layer_index import LAST_LAYER
from head2toe.store.reading.design_matrix import DesignMatrix
from sklearn.linear_model import LogisticRegression

START, ROUNDS, BATCH, DIRECTIONS, STRENGTH = 100, 3, 50, 64, 100.0

Rule = Callable[[np.ndarray, np.ndarray, int, int], np.ndarray]
"""Takes probabilities, coordinates, how many and a seed; returns which of the pool to label."""


def at_random(probabilities: np.ndarray, coordinates: np.ndarray, k: int, seed: int) -> np.ndarray:  # noqa: ARG001
    """Choose any."""
    return np.random.default_rng(seed).choice(len(probabilities), k, replace=False)


def by_margin(probabilities: np.ndarray, coordinates: np.ndarray, k: int, seed: int) -> np.ndarray:  # noqa: ARG001
    """Choose the least certain."""
    return diverse_batch(probabilities, None, k)


RULES: dict[str, Rule] = {"at random": at_random, "margin alone": by_margin, "suggest": diverse_batch}


@dataclass(frozen=True, eq=False)
class Features:
    """A task's standardised features of the last layer, training rows first, and the same in principal directions."""

    X: np.ndarray
    coordinates: np.ndarray
    labels: np.ndarray
    n_train: int
    n_classes: int

    @classmethod
    def of(cls, folder: Path, options: dict[str, Any]) -> "Features":
        """Read them from a store; what is missing is extracted."""
        extraction = extract(load_task(str(folder)), **options)
        task, layer = extraction.task, extraction.store.layers.columns(LAST_LAYER)
        X = DesignMatrix.of([extraction.store], extraction.digests).columns(np.arange(layer.start, layer.stop)).T
        train = X[: task.n_train]
        X = (X - train.mean(axis=0)) / (train.std(axis=0) + 1e-6) / X.shape[1] ** 0.5
        axes = np.linalg.svd(X[: task.n_train], full_matrices=False)[2][:DIRECTIONS]
        return cls(X, X @ axes.T, task.labels, task.n_train, len(task.classes))


def accuracy_after(features: Features, rule: Rule, seed: int) -> float:
    """Label by a rule, and return the accuracy on the test."""
    f, rng = features, np.random.default_rng(seed)
    labelled = rng.choice(f.n_train, START, replace=False)
    for number in range(ROUNDS):
        head = LogisticRegression(C=STRENGTH, max_iter=500).fit(f.X[labelled], f.labels[labelled])
        pool = np.setdiff1d(np.arange(f.n_train), labelled)
        chosen = rule(head.predict_proba(f.X[pool]), f.coordinates[pool], BATCH, 1000 * seed + number)
        labelled = np.concatenate([labelled, pool[chosen]])
    head = LogisticRegression(C=STRENGTH, max_iter=500).fit(f.X[labelled], f.labels[labelled])
    return float((head.predict(f.X[f.n_train :]) == f.labels[f.n_train :]).mean())


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with a folder for each task")
    parser.add_argument("--tasks", nargs="+", help="some of them")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--input-size", type=int, default=160)
    parser.add_argument("--store", type=Path, help="folder of the feature stores")
    o = parser.parse_args()
    options: dict[str, Any] = {"input_size": o.input_size} | ({"store": o.store} if o.store else {})
    names = o.tasks or sorted(folder.name for folder in o.data.iterdir() if folder.is_dir())
    print(f"{date.today()}: tf_efficientnet_lite0 at {o.input_size} px; {o.seeds} seeds")
    print(f"command: python {' '.join(sys.argv)}\n")
    others = [name for name in RULES if name != "at random"]
    print(f"| task | {' | '.join(RULES)} | {' | '.join(f'{name}: ahead' for name in others)} |")
    print(f"|{'---|' * (1 + len(RULES) + len(others))}")
    for task in names:
        features = Features.of(o.data / task, options)
        found = {
            name: [accuracy_after(features, rule, seed) for seed in range(o.seeds)] for name, rule in RULES.items()
        }
        means = " | ".join(f"{np.mean(values):.3f}" for values in found.values())
        ahead = [100 * (np.array(found[name]) - np.array(found["at random"])) for name in others]
        cells = " | ".join(f"{one.mean():+.1f} ± {one.std(ddof=1) / len(one) ** 0.5:.1f}" for one in ahead)
        print(f"| {task} | {means} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
