"""The model card: what a model bundle's README.md says to people."""

from typing import TYPE_CHECKING, Any

from head2toe.store.writing.space import readable

if TYPE_CHECKING:
    from head2toe.extract.deploy.bundle import Bundle

SHOWN_CLASSES = 20


def model_card(bundle: "Bundle", head_bytes: int) -> str:
    """Markdown: use, data, scores, what is read, how to load it, limits."""
    return "\n".join([*_head(bundle), *_scores(bundle), *_reads(bundle, head_bytes), *_use(), *_limits(bundle)]) + "\n"


def _head(bundle: "Bundle") -> list[str]:
    classes = ", ".join(bundle.classes[:SHOWN_CLASSES])
    more = f" and {len(bundle.classes) - SHOWN_CLASSES} more" if len(bundle.classes) > SHOWN_CLASSES else ""
    task = bundle.task
    counts = ", ".join(f"{task[key]:,} {what}" for key, what in _COUNTS.items() if key in task)
    return [
        f"# {task.get('name', 'Model')}: image classifier",
        "",
        f"Assigns an image to one of {len(bundle.classes)} classes: {classes}{more}.",
        f"The frozen backbone {bundle.backbone['name']} with a linear head, made by head2toe"
        f" {bundle.versions.get('head2toe', '')} (method {bundle.method}).".replace("  ", " "),
        "",
        "## Data",
        f"{task.get('source', 'Not recorded')}{f' ({counts})' if counts else ''}.",
        "",
    ]


_COUNTS = {"n_train": "images to learn from", "n_test": "for the test"}


def _scores(bundle: "Bundle") -> list[str]:
    lines = [f"| {name.replace('_', ' ')} | {_number(value)} |" for name, value in bundle.metrics.items()]
    settings = ", ".join(f"{key} {value}" for key, value in bundle.settings.items())
    table = ["| | |", "|---|---|", *lines] if lines else ["None were recorded."]
    return ["## Scores", *table, "", *([f"Settings: {settings}.", ""] if settings else [])]


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _reads(bundle: "Bundle", head_bytes: int) -> list[str]:
    total = sum(layer.kept for layer in bundle.layers)
    lines = [
        f"| {layer.name} | {layer.target_size} | {layer.kept:,} of {layer.width:,} | {layer.dtype} |"
        for layer in bundle.layers
    ]
    return [
        "## What it reads",
        f"{total:,} features of {len(bundle.layers)} layers; the head takes {readable(head_bytes)}. Backbone weights:"
        f" {bundle.backbone['weights']}, sha256 of all tensors {bundle.backbone['weights_sha256']}.",
        "",
        "| layer | target size | features | trained on |",
        "|---|---|---|---|",
        *lines,
        "",
    ]


def _use() -> list[str]:
    return [
        "## Use",
        "```console",
        "$ head2toe predict . photo.jpg folder_of_photos -o predictions.csv",
        "$ head2toe info .",
        "$ head2toe export . --format onnx -o model.onnx",
        "```",
        "```python",
        "from pathlib import Path",
        "",
        "from head2toe.extract.deploy.deployed import load",
        "from head2toe.extract.deploy.bundle import Bundle",
        "",
        'network = load(Bundle.load(Path(".")))  # a torch module: uint8 pixels (n, 3, s, s) to probabilities',
        "```",
        "",
    ]


def _limits(bundle: "Bundle") -> list[str]:
    missing = "" if "test_accuracy" in bundle.metrics else " No test images were held out: judge it before you use it."
    return [
        "## Intended use and limits",
        "For images like those it was trained on. It names one of its classes whatever it is shown; probabilities are a"
        " softmax's and were not calibrated. What the backbone's training data lacks or distorts, it lacks and distorts"
        f" too.{missing}",
        "The backbone's weights are not in this folder; they are found by their origin and checked by their hash.",
    ]
