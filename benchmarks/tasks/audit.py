"""`make bench-audit`: how many labels that were turned on purpose an audit finds, and how many copies of pictures.

    python benchmarks/tasks/audit.py --data path/to/tasks                  # a folder for each task
    python benchmarks/tasks/audit.py --data path/to/tasks --tasks dtd10 --methods linear --shares 0.05

Prints two Markdown tables. The first: of each task, share of training labels that are turned to another class (by a
seed) and method, the precision among the first k labels as they rank, k being the number that was turned: by the score
of the audit, by the probability of the label alone, and by the margin to the most probable other class; beside it the
accuracy of the held-out predictions on the true labels. Features come from the stores: nothing is extracted for it.

The second: pictures of each task and copies of them that were changed in one way, which share of the copies is found by
their pixels as they are, and with one picture laid over the other; and how many pairs each finds that are no copies.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from head2toe.extract.images.sources import ImageArray
from head2toe.extract.tasks.registry import load_task
from head2toe.extract.tasks.task import Task
from head2toe.extract.tasks.thumbnails import grey_versions
from head2toe.pipeline import extract, run
from head2toe.probe.audit.duplicates import duplicate_pairs
from head2toe.probe.audit.label_errors import label_quality, usual_probabilities
from head2toe.probe.audit.near_copies import near_copies
from head2toe.probe.results import predictions
from head2toe.store.format.layer_index import LAST_LAYER
from head2toe.store.reading.design_matrix import DesignMatrix
from PIL import Image, ImageEnhance

TASKS = ("dtd10", "rsscn7", "caltech101", "nlvr_count")
COPIES = ("dtd10", "rsscn7", "caltech101")
COPIED = 100


def turned(task: Task, share: float, seed: int) -> tuple[Task, np.ndarray]:
    """Turn a share of the training labels to other classes; also return which rows they are, (n_train,) bool."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(task.n_train, round(share * task.n_train), replace=False)
    labels, classes = task.labels.copy(), len(task.classes)
    labels[rows] = (labels[rows] + rng.integers(1, classes, len(rows))) % classes
    was_turned = np.zeros(task.n_train, bool)
    was_turned[rows] = True
    return replace(task, labels=labels, name=f"{task.name}-{share:g}"), was_turned


def precisions(task: Task, share: float, method: str, seed: int, options: dict[str, Any]) -> str:
    """Make a row of the first table."""
    changed, was_turned = turned(task, share, seed)
    result = run(changed, methods=(method,), **options)
    predicted = predictions.read(result.file.parent)[method]
    held = ~predicted.test
    P, given = predicted.probabilities[held], predicted.labels[held]
    quality = label_quality(P, given, usual_probabilities(P, given))
    rows = np.arange(len(given))
    others = P.copy()
    others[rows, given] = -1
    k = int(was_turned.sum())

    def precision(score: np.ndarray) -> float:
        return float(was_turned[np.argsort(-score, kind="stable")[:k]].mean())

    by_score = float(was_turned[quality.ranking[:k]].mean())
    accuracy = float((P.argmax(axis=1) == task.train_labels).mean())
    plain, margin = precision(-P[rows, given]), precision(others.max(axis=1) - P[rows, given])
    found = float((was_turned & quality.suspected).sum() / k)
    cells = f"{accuracy:.3f} | {by_score:.3f} | {plain:.3f} | {margin:.3f}"
    return f"| {task.name} | {share:.0%} | {k} | {method} | {cells} | {quality.suspected.sum()} | {found:.2f} |"


def resized(image: Image.Image) -> Image.Image:
    """Half as wide and high."""
    return image.resize((max(image.width // 2, 1), max(image.height // 2, 1)))


def compressed(image: Image.Image) -> Image.Image:
    """As a JPEG of quality 30."""
    sink = BytesIO()
    image.save(sink, "JPEG", quality=30)
    return Image.open(BytesIO(sink.getvalue())).convert("RGB")


def cropped(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    """Without a share of the width or height at each side."""
    w, h = image.size
    return image.crop((round(w * left), round(h * top), w - round(w * right), h - round(h * bottom)))


def all_around(image: Image.Image, share: float) -> Image.Image:
    """Without the same share at all sides."""
    return cropped(image, share, share, share, share)


def rotated(image: Image.Image, degrees: float, cut: float = 0.0) -> Image.Image:
    """Turned, with black corners, and without a share at all sides."""
    return all_around(image.rotate(degrees, Image.Resampling.BILINEAR), cut)


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half the size": resized,
    "JPEG of quality 30": compressed,
    "3 % less at each side": partial(all_around, share=0.03),
    "5 % less at each side": partial(all_around, share=0.05),
    "10 % less at each side": partial(all_around, share=0.1),
    "15 % less at the right": partial(cropped, left=0.0, top=0.0, right=0.15, bottom=0.0),
    "10 % less at the left and the top": partial(cropped, left=0.1, top=0.1, right=0.0, bottom=0.0),
    "a third brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.33),
    "a third darker": lambda image: ImageEnhance.Brightness(image).enhance(0.67),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned by a quarter": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "turned by 5 degrees": partial(rotated, degrees=5),
    "turned by 10 degrees": partial(rotated, degrees=10),
    "turned by 10 degrees, without its black corners": partial(rotated, degrees=10, cut=0.14),
}


def copies(task: Task, seed: int, options: dict[str, Any]) -> list[str]:
    """Make the rows of the second table for a task."""
    chosen = np.sort(np.random.default_rng(seed).choice(task.n_train, COPIED, replace=False))
    originals = [task.images[row] for row in chosen]
    rows = []
    for name, change in CHANGES.items():
        changed = [ImageArray(f"copy {i}", np.asarray(change(image.load()))) for i, image in enumerate(originals)]
        images = (*originals, *changed)
        labels, folds = np.tile(task.labels[chosen], 2), np.arange(2 * COPIED) % 5
        both = replace(task, name=f"{task.name} copied", images=images, labels=labels, folds=folds)
        extraction = extract(both, **{key: value for key, value in options.items() if key != "output"})
        store = extraction.store
        design = DesignMatrix.of([store], extraction.digests)
        layer = store.layers.columns(LAST_LAYER)
        features = design.columns(np.arange(layer.start, layer.stop)).T
        pixels = grey_versions(images)
        assert pixels is not None, "the images have just been read"
        as_they_are = {(i, j) for i, j, _ in duplicate_pairs(features, pixels)}
        pairs = as_they_are | {(i, j) for i, j, _ in near_copies(features, pixels, as_they_are)}
        right = {(i, i + COPIED) for i in range(COPIED)}
        cells = [f"{len(one & right) / COPIED:.2f} | {len(one - right)}" for one in (as_they_are, pairs)]
        rows.append(f"| {task.name} | {name} | {' | '.join(cells)} |")
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def main() -> None:
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with a folder for each task")
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--methods", nargs="*", default=["linear", "head2toe"])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.05, 0.1])
    parser.add_argument("--copies", nargs="*", default=COPIES, help="tasks of the second table")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--input-size", type=int, default=160)
    parser.add_argument("--output", type=Path, default=Path("results"))
    parser.add_argument("--store", type=Path, help="folder of the feature stores")
    o = parser.parse_args()
    options: dict[str, Any] = {"input_size": o.input_size, "output": o.output}
    options |= {"store": o.store} if o.store else {}
    print(f"{date.today()}: tf_efficientnet_lite0 at {o.input_size} px, target size 512")
    print(f"command: python {' '.join(sys.argv)}\n")
    header = "| task | turned | labels | method | accuracy | score | probability | margin | suspected | of the turned |"
    show(
        header, [row(o, name, share, method, options) for name in o.tasks for method in o.methods for share in o.shares]
    )
    print()
    rows = [line for name in o.copies for line in copies(load_task(str(o.data / name)), o.seed, options)]
    show("| task | copies | pixels as they are | other pairs | found | other pairs |", rows)


def row(o: argparse.Namespace, name: str, share: float, method: str, options: dict[str, Any]) -> str:
    """Make a row of the first table, and say on stderr that it is there."""
    line = precisions(load_task(str(o.data / name)), share, method, o.seed, options)
    print(line, file=sys.stderr, flush=True)
    return line


def show(header: str, rows: Sequence[str]) -> None:
    """Print a Markdown table."""
    print(header)
    print("|" + "---|" * (header.count("|") - 1))
    print("\n".join(rows))


if __name__ == "__main__":
    main()
