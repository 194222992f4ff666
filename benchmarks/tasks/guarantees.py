"""`make bench-guarantees`: how often prediction sets hold the true class, and whether a model knows foreign images.

    python benchmarks/tasks/guarantees.py --data path/to/tasks             # a folder for each task
    python benchmarks/tasks/guarantees.py --data path/to/tasks --coverage 0.8 0.9 --output results --store stores
    python benchmarks/tasks/guarantees.py --data path/to/tasks --tasks blood_cells --redraw

Prints two Markdown tables. The first: for each task and coverage the share of test images whose set holds the true
class, how many standard errors that is from what was asked (of test and held-out rows, by the binomial), and the mean
size of a set. The second: for each task's model the share of its own test images whose `ood` is .95 or more, and how
well `ood` tells its test images from those of every other task (area under the ROC curve), beside the same by 1 minus
the largest probability. Features come from the stores: what `predict` computes of the images. Runs that are there
already are recalled. With `--redraw` training and test images are drawn anew from all images of a task, so that they
are alike.
"""

import argparse
import csv
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from head2toe.extract.deploy.bundle import Bundle
from head2toe.extract.features.extraction import Extraction
from head2toe.extract.uncertainty.calibration import calibration_of
from head2toe.extract.uncertainty.novelty_score import NoveltyScore
from head2toe.extract.uncertainty.prediction_sets import prediction_sets, threshold
from head2toe.pipeline import run
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design_matrix import DesignMatrix
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

UNUSUAL = 0.95


@dataclass(frozen=True, eq=False)
class Trained:
    """A task's model, and the features of its images.

    Attributes
    ----------
    bundle : Bundle
    extraction : Extraction
    """

    bundle: Bundle
    extraction: Extraction


@dataclass(frozen=True, eq=False)
class Said:
    """What a model says of the test images of a task: probabilities (n, classes) and novelty (n,)."""

    probabilities: np.ndarray
    ood: np.ndarray


def redrawn(task: Path, folder: Path) -> Path:
    """Draw a task's training and test images anew from all of them: a manifest."""
    lists = [(task / name).read_text(encoding="utf-8").splitlines() for name in ("train800val200.txt", "test.txt")]
    images = np.random.default_rng(0).permutation([line for lines in lists for line in lines])
    splits = np.repeat(["train", "test"], [len(lines) for lines in lists])
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{task.name}_redrawn.csv").open("w", newline="", encoding="utf-8") as file:
        write = csv.writer(file).writerow
        write(("path", "label", "split"))
        for line, split in zip(images, splits, strict=True):
            image, label = line.split()
            write((task.resolve() / image, label, split))
    return Path(file.name)


def trained(task: Path, method: str, options: dict[str, Any]) -> Trained:
    """Run a task, or recall its run."""
    result = run(str(task), methods=[method], **options)
    print(f"{task.name}: {result.file}", file=sys.stderr, flush=True)
    return Trained(Bundle.load(result.file.parent / "models" / method), result.extractions[0])


def kept_features(bundle: Bundle, extraction: Extraction) -> np.ndarray:
    """Read a model's features (n, k) of the test images of any task with stores of the same layers."""
    sizes = list(dict.fromkeys(layer.target_size for layer in bundle.layers))
    stores = [extraction.stores[size] for size in sizes]
    index = LayerIndex.concat([store.layers for store in stores], [f"{size}/" for size in sizes])
    starts = dict(zip(index.names, index.offsets, strict=False))
    columns = [
        starts[f"{layer.target_size}/{layer.name}"] + own
        for layer, own in zip(bundle.layers, bundle.features_by_layer, strict=True)
    ]
    design = DesignMatrix.of(stores, extraction.digests[extraction.task.n_train :])
    return design.columns(np.concatenate(columns).astype(np.int64)).T


def said(bundle: Bundle, extraction: Extraction) -> Said:
    """Apply a model to the test images of a task."""
    x = kept_features(bundle, extraction)
    logits = ((x - bundle.mean) * bundle.scale).astype(np.float64) @ bundle.coef + bundle.intercept
    novelty = calibration_of(bundle).novelty
    assert novelty is not None, "the tasks have images enough"
    return Said(softmax(logits, axis=1), NoveltyScore(novelty)(torch.from_numpy(np.ascontiguousarray(x))).numpy())


def coverages(models: dict[str, Trained], wanted: Sequence[float]) -> str:
    """Make the table of prediction sets."""
    cells = "".join(f" {share:g}: covered | off by | mean size | all classes |" for share in wanted)
    lines = [f"| task | held out | test | accuracy |{cells}", f"|{'---|' * (4 + 4 * len(wanted))}"]
    for name, one in models.items():
        held_out, labels = calibration_of(one.bundle).held_out, one.extraction.task.test_labels
        probabilities, rows = said(one.bundle, one.extraction).probabilities, np.arange(len(labels))
        line = f"| {name} | {len(held_out)} | {len(labels)} | {np.mean(probabilities.argmax(1) == labels):.3f} |"
        for share in wanted:
            sets = prediction_sets(probabilities, threshold(held_out, share))
            covered = float(sets[rows, labels].mean())
            error = (share * (1 - share) * (1 / len(labels) + 1 / len(held_out))) ** 0.5
            whole = float(sets.all(axis=1).mean())
            off = f"{(covered - share) / error:+.1f} s.e."
            line += f" {covered:.3f} | {off} | {sets.sum(axis=1).mean():.2f} | {whole:.3f} |"
        lines.append(line)
    return "\n".join(lines)


def foreign(models: dict[str, Trained]) -> str:
    """Make the table of novelty."""
    lines = [
        f"| model | own ≥ {UNUSUAL} | {' | '.join(models)} | mean | by largest probability |",
        f"|{'---|' * (4 + len(models))}",
    ]
    everything, by_probability = [], []
    for name, one in models.items():
        own = said(one.bundle, one.extraction)
        others = {other: said(one.bundle, two.extraction) for other, two in models.items() if other != name}
        areas = {other: area(own.ood, seen.ood) for other, seen in others.items()}
        usual = [area(1 - own.probabilities.max(1), 1 - seen.probabilities.max(1)) for seen in others.values()]
        everything += areas.values()
        by_probability += usual
        cells = " | ".join(f"{areas[other]:.3f}" if other in areas else "–" for other in models)
        mean, plain = statistics.fmean(areas.values()), statistics.fmean(usual)
        lines.append(f"| {name} | {np.mean(own.ood >= UNUSUAL):.3f} | {cells} | {mean:.3f} | {plain:.3f} |")
    lines.append(
        f"\nmean of {len(everything)} pairs: {statistics.fmean(everything):.3f}, smallest {min(everything):.3f}; "
        f"by largest probability {statistics.fmean(by_probability):.3f}, smallest {min(by_probability):.3f}"
    )
    return "\n".join(lines)


def area(own: np.ndarray, other: np.ndarray) -> float:
    """Area under the ROC curve of a score that should be larger for others."""
    return float(roc_auc_score(np.repeat([0, 1], [len(own), len(other)]), np.concatenate([own, other])))


def main() -> None:
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with a folder for each task")
    parser.add_argument("--tasks", nargs="+", help="some of them")
    parser.add_argument("--redraw", action="store_true", help="draw training and test images anew from all")
    parser.add_argument("--method", default="head2toe", help="one that leaves a model")
    parser.add_argument("--coverage", type=float, nargs="+", default=[0.9, 0.95])
    parser.add_argument("--input-size", type=int, default=160)
    parser.add_argument("--target-size", type=int, nargs="+", default=[512])
    parser.add_argument("--output", type=Path, default=Path("results"))
    parser.add_argument("--store", type=Path, help="folder of the feature stores")
    o = parser.parse_args()
    options = {"input_size": o.input_size, "target_sizes": tuple(o.target_size), "output": o.output}
    options |= {"store": o.store} if o.store else {}
    names = sorted(folder.name for folder in o.data.iterdir() if folder.is_dir())
    tasks = {name: o.data / name for name in o.tasks or names}
    if o.redraw:
        tasks = {name: redrawn(folder, o.output / "redrawn") for name, folder in tasks.items()}
    models = {name: trained(task, o.method, options) for name, task in tasks.items()}
    print(f"{date.today()}: {o.method}, tf_efficientnet_lite0 at {o.input_size} px, target size {o.target_size}")
    print(f"command: python {' '.join(sys.argv)}\n")
    print(coverages(models, o.coverage), end="\n\n")
    if len(models) > 1:
        print(foreign(models))


if __name__ == "__main__":
    main()
