"""The command `forget`."""

import difflib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from head2toe.store.common.errors import BadRequest
from head2toe.store.console.cli import echo, json_option, show

if TYPE_CHECKING:
    from head2toe.probe.experiment import Experiment
    from head2toe.probe.extracted import ExtractedFeatures
    from head2toe.probe.forgetting.forget import Forgotten
    from head2toe.probe.results.stored_runs import StoredRun

ANOTHER = "choose another folder with -o DIR"

Origin = Callable[[Path, str, Path], tuple[Path, str, tuple[str, ...]]]
"""Takes a model, a method and the folder of results; returns the run, the method, and what was forgotten before."""
RequiresTarget = Callable[[Path, str], None]
"""Takes a folder and how to choose another one; raises BadRequest where the folder can't take a model."""
Saves = Callable[..., None]
"""Takes an extraction, a linear model, a folder and what is known of the model, and writes a bundle."""


def forget_command(
    experiment_on: Callable[[str, Any], "Experiment[Any]"],
    options: type,
    origin: Origin,
    requires_target: RequiresTarget,
    saves: Saves,
) -> click.Command:
    """Make the command `forget`; what knows model bundles is handed in, for this room does not."""

    @click.command("forget")
    @click.argument("model", type=click.Path(path_type=Path))
    @click.option(
        "--image",
        "images",
        multiple=True,
        required=True,
        metavar="IMAGE",
        help="A training image: its file, its name in the task, or its sha256. May be given more than once.",
    )
    @click.option(
        "-o",
        "target",
        type=click.Path(path_type=Path, file_okay=False),
        help="The folder of the new model.  [default: TASK-METHOD-forgotten]",
    )
    @click.option("--method", default="head2toe", show_default=True, help="Of a run's folder: which method's model.")
    @click.option(
        "--results",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("results"),
        show_default=True,
        help="Where the run of a model that was copied is looked for.",
    )
    @json_option
    def forget(
        model: Path, images: tuple[str, ...], target: Path | None, method: str, results: Path, as_json: bool
    ) -> None:
        """Train MODEL again without some of its training images, in seconds, and prove that it is as if without them.

        MODEL is a run's folder or a model of a run. Features, strengths and weights stay those that were chosen; what
        the model forgot before stays forgotten. The images themselves and their features are not touched.

        \b
        head2toe forget results/my_task-* --image my_task/train/a/1.jpg -o without_it
        """  # noqa: D301 (a raw docstring would show click's mark as text)
        from head2toe.probe.forgetting.forget import forget as forget_rows
        from head2toe.probe.methods.held_out import held_out_rows
        from head2toe.probe.results import stored_runs

        run, method, before = origin(model, method, results)
        stored = stored_runs.load(run)
        folder = target or Path(f"{stored.record['task']}-{method}-forgotten")
        requires_target(folder, ANOTHER)
        experiment = _experiment_of(stored, experiment_on, options)
        extraction = experiment.extractions[0]
        rows = _rows_of(extraction, [*before, *images])
        outcome = experiment.failures.outcome_of(method, experiment.outcomes())
        found = forget_rows(outcome, experiment.data, rows, experiment.task.classes)
        certificate = _certificate(found, extraction, rows, stored.record)
        accuracy = {
            "before": _accuracies(outcome, experiment.data),
            "after": _accuracies(found.outcome, found.data),
        }
        saves(
            extraction,
            found.outcome.model,
            folder,
            ANOTHER,
            method=method,
            settings=found.outcome.settings,
            metrics={name: round(value, 6) for name, value in accuracy["after"].items()},
            held_out=held_out_rows(found.data, found.outcome),
            certificate=certificate,
        )
        document = {**certificate, "accuracy": accuracy, "model": str(folder)}
        if as_json:
            show(document)
        else:
            _echo(document)

    return forget


def _experiment_of(stored: "StoredRun", experiment_on: Callable[[str, Any], Any], options: type) -> Any:
    """Make the experiment of a run once more from what is stored, and check that it is the same."""
    from head2toe.probe.results.stored_runs import options_of, task_of

    record, chosen = stored.record, options_of(stored, options)
    with task_of(stored) as argument:
        experiment = experiment_on(argument, chosen)
    if len(experiment.extractions) > 1:
        raise BadRequest(f"{stored.folder} is of several backbones, which leave no single model to train again")
    if experiment.key() != record["key"]:
        raise BadRequest(
            f"{stored.folder} is not what {record['argument']} gives today (images, labels or head2toe changed):"
            f" {record['command']} runs it again; forget an image before you delete it"
        )
    return experiment


def _rows_of(extraction: Any, wanted: Sequence[str]) -> Any:
    """Find the training rows of images by name, sha256 or file; all rows of the same bytes, sorted.

    Raises
    ------
    BadRequest
        An image is none of the training images.
    """
    import numpy as np

    task, digests = extraction.task, extraction.digests
    by_name = {image.name: digest for image, digest in zip(task.images, digests, strict=True)}
    training, rows = set(digests[: task.n_train]), set()
    for word in wanted:
        digest = word.lower() if word.lower() in training else by_name.get(word) or _digest_of(Path(word))
        if digest not in training:
            if digest in digests:
                raise BadRequest(f"{word} is a test image of {task.name}: the model was not trained on it")
            near = difflib.get_close_matches(word, list(by_name)[: task.n_train], n=1, cutoff=0)
            raise BadRequest(
                f"{word or repr(word)} is no training image of {task.name}: give its file, or its name in the task, "
                f"such as {near[0]}"
            )
        rows |= {row for row in range(task.n_train) if digests[row] == digest}
    return np.array(sorted(rows))


def _digest_of(file: Path) -> str:
    """Return the sha256 (hex) of a file; empty if there is none."""
    if not file.is_file():
        return ""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _certificate(
    found: "Forgotten", extraction: "ExtractedFeatures", rows: Any, run: Mapping[str, Any]
) -> dict[str, Any]:
    """Say as JSON what was forgotten, what was learned from instead, and what is proved."""
    from head2toe.probe.forgetting.forget import STILL
    from head2toe.store.common.fingerprint import fingerprint

    task, gone = extraction.task, set(rows.tolist())
    left = [[extraction.digests[row], int(task.labels[row])] for row in range(task.n_train) if row not in gone]
    return {
        "forgotten": [
            {
                "image": task.images[row].name,
                "sha256": extraction.digests[row],
                "label": task.classes[int(task.labels[row])],
            }
            for row in sorted(gone)
        ],
        "run": run["key"],
        "method": found.outcome.name,
        "training": {"images": len(left), "sha256": fingerprint(left)},
        "stores": [
            {"target_size": size, "key": store.key, "content_sha256": store.content_fingerprint()}
            for size, store in extraction.stores.items()
        ],
        "heads": list(found.heads),
        "gap": found.worst("gap"),
        "error": found.worst("error"),
        "depends_still_on": list(STILL),
        "seconds": round(found.seconds, 3),
    }


def _accuracies(outcome: Any, data: Any) -> dict[str, float]:
    """Return the accuracy over the folds, of the rows that they hold out, and on the test where there is one."""
    from head2toe.probe.metrics.classification import accuracy

    held = data.folds >= 0
    found = {"cv_accuracy": accuracy(outcome.fold_log_probabilities[held], data.train_labels[held])}
    if len(data.test_labels):
        found["test_accuracy"] = accuracy(outcome.test_log_probabilities, data.test_labels)
    return found


def _echo(document: Mapping[str, Any]) -> None:
    """Say what was forgotten and what is proved."""
    for one in document["forgotten"]:
        echo(f"forgotten  {one['image']} ({one['label']})")
    heads, images = len(document["heads"]), document["training"]["images"]
    echo(f"refitted   {heads} head{'s' * (heads > 1)} on {images} images in {document['seconds']:.1f} s")
    if document["gap"] is None:
        echo("certified  nothing: this kind of head is trained by so many steps, not to an optimum")
    else:
        error = "" if document["error"] is None else f", weights within {document['error']:.1e} of the optimum's"
        echo(f"certified  duality gap {document['gap']:.1e} at most{error}")
    before, after = document["accuracy"]["before"], document["accuracy"]["after"]
    if "test_accuracy" in after:
        echo(f"test       {after['test_accuracy']:.4f} (before: {before['test_accuracy']:.4f})")
    for line in document["depends_still_on"]:
        echo(f"unchanged  {line}")
    echo(f"model      {document['model']}")
