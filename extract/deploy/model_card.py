"""The model card: what a model bundle's README.md says to people."""

from collections.abc import Mapping
from typing import Any

from head2toe.store.console.text import markdown_text, readable

Model = Mapping[str, Any]
"""The content of model.json: the fields of a `Bundle`, but for its arrays."""
SHOWN_CLASSES = 20
COUNTS = {"n_train": "images to learn from", "n_test": "for the test"}


def model_card(model: Model, head_bytes: int) -> str:
    """Write the model card in Markdown: classes, data, scores, what is read, how to use it, limits.

    Parameters
    ----------
    model : mapping
        The content of model.json.
    head_bytes : int
        The size of the head's file in bytes.
    """
    model = _as_text(model)
    return (
        "\n".join([*_introduction(model), *_scores(model), *_layers(model, head_bytes), *_use(model), *_limits(model)])
        + "\n"
    )


def _as_text(value: Any) -> Any:
    """Escape every text in a value: names of tasks and classes are whatever somebody chose, and no markup."""
    if isinstance(value, str):
        return markdown_text(value)
    if isinstance(value, Mapping):
        return {name: _as_text(entry) for name, entry in value.items()}
    return [_as_text(entry) for entry in value] if isinstance(value, list | tuple) else value


def _introduction(model: Model) -> list[str]:
    classes = ", ".join(model["classes"][:SHOWN_CLASSES])
    more = f" and {len(model['classes']) - SHOWN_CLASSES} more" if len(model["classes"]) > SHOWN_CLASSES else ""
    task = model["task"]
    counts = ", ".join(f"{task[key]:,} {meaning}" for key, meaning in COUNTS.items() if key in task)
    return [
        f"# {task.get('name', 'Model')}: image classifier",
        "",
        f"Assigns an image to one of {len(model['classes'])} classes: {classes}{more}.",
        f"The frozen backbone {model['backbone']['name']} with a linear head, made by head2toe"
        f" {model['versions'].get('head2toe', '')} (method {model['method']}).".replace("  ", " "),
        "",
        "## Data",
        f"{task.get('source', 'Not recorded')}{f' ({counts})' if counts else ''}.{_forgotten(model)}",
        "",
    ]


def _forgotten(model: Model) -> str:
    """Say of how many images the head was trained again without, if of any."""
    n = len(model.get("certificate", {}).get("forgotten", ()))
    return f" The head was trained again without {n} of the task's images: `certificate` of model.json." if n else ""


def _scores(model: Model) -> list[str]:
    lines = [f"| {name.replace('_', ' ')} | {_number(value)} |" for name, value in model["metrics"].items()]
    settings = ", ".join(f"{key} {value}" for key, value in model["settings"].items())
    table = ["| | |", "|---|---|", *lines] if lines else ["None were recorded."]
    return ["## Scores", *table, "", *([f"Settings: {settings}.", ""] if settings else [])]


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _layers(model: Model, head_bytes: int) -> list[str]:
    pool = ", ".join(model.get("pool", ()))
    total = sum(layer["kept"] for layer in model["layers"])
    null = "" if total else " It is the null model: it predicts the frequencies of the classes, whatever the image."
    lines = [
        f"| {layer['name']} | {layer['target_size']} | {layer['kept']:,} of {layer['width']:,} | {layer['dtype']} |"
        for layer in model["layers"]
    ]
    return [
        "## What it reads",
        f"{total:,} features of {len(model['layers'])} layers; the head takes {readable(head_bytes)}. Backbone weights:"
        f" {model['backbone']['weights']}, sha256 of all tensors {model['backbone']['weights_sha256']}."
        f"{f' Of every pooling window it knows {pool}.' if pool else ''}{null}",
        "",
        "| layer | target size | features | trained on |",
        "|---|---|---|---|",
        *lines,
        "",
    ]


def _use(model: Model) -> list[str]:
    views = ",".join(model.get("views", {}).get("names", ()))
    return [
        "## Use",
        "```console",
        f"$ head2toe predict . photo.jpg folder_of_photos{f' --views {views}' if views else ''} -o predictions.csv",
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


def _limits(model: Model) -> list[str]:
    probabilities = (
        "probabilities were calibrated on rows that the folds held out, and `predict --coverage 0.95` names the classes"
        " that hold the true one so often, and says how unlike the training images an image is"
        if model.get("calibration_sha256")
        else "probabilities are a softmax's and were not calibrated"
    )
    missing = (
        "" if "test_accuracy" in model["metrics"] else " No test images were held out: judge it before you use it."
    )
    return [
        "## Intended use and limits",
        f"For images like those it was trained on. It names one of its classes whatever it is shown; {probabilities}."
        f" What the backbone's training data lacks or distorts, it lacks and distorts too.{missing}",
        "The backbone's weights are not in this folder; they are found by their origin and checked by their hash.",
    ]
