"""The commands `predict`, `info` and `export`: what a saved model is used for."""

import codecs
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import click
from head2toe.extract.options import MAX_PIXELS, single_views
from head2toe.store.common.errors import BadRequest
from head2toe.store.console.cli import data_stdout, echo, json_option, show

MODELS = "models"
"""The subfolder of a run's folder that holds a model bundle for each method."""


ANOTHER_MODEL = "choose another folder with --save-model DIR"


def require_model_target(folder: Path | None, another: str = ANOTHER_MODEL) -> None:
    """Check before the work that a folder can take a model, if one is named; see `require_model_folder`."""
    from head2toe.extract.deploy.bundle import require_model_folder

    if folder is not None:
        require_model_folder(folder, another)


def model_folder(path: Path, method: str) -> Path:
    """Find a model's folder: the path itself or, in a run's folder (or its result.json), that of a method.

    Raises
    ------
    BadRequest
        The run holds no model of the method.
    """
    run = path.parent if path.name == "result.json" else path
    if (run / "model.json").is_file() or not (run / "result.json").is_file():
        return run
    if not (run / MODELS / method).is_dir():
        names = ", ".join(sorted(p.parent.name for p in (run / MODELS).glob("*/model.json")))
        others = f"there: {names}): choose one of these with --method, or run the task with --methods {method}"
        remedy = others if names else "it holds none): run the task again with --fresh"
        raise BadRequest(f"{run} holds no model of the method {method!r} ({remedy}")
    return run / MODELS / method


def copy_model(run: Path, methods: Sequence[str], target: Path) -> str:
    """Copy a run's model to a folder of its own.

    Parameters
    ----------
    run : Path
        The run's folder.
    methods : sequence of str
        The run's methods. The model is head2toe's, or that of the last of them that left one.
    target : Path
        The folder to write.

    Returns
    -------
    str
        The method whose model it is.

    Raises
    ------
    BadRequest
        No method left a model, or the folder holds something else.
    """
    from head2toe.extract.deploy.bundle import Bundle

    saved = [name for name in methods if (run / MODELS / name).is_dir()]
    if not saved:
        raise BadRequest(f"no method of {run} leaves a model to save: run head2toe, l21 or linear")
    name = "head2toe" if "head2toe" in saved else saved[-1]
    Bundle.load(run / MODELS / name).save(target, another=ANOTHER_MODEL)
    return name


def view_names(views: str) -> tuple[str, ...]:
    """Return the single views that `--views` names; see `single_views`."""
    return single_views(views.split(",")) if views else ()


def views_note(trained: Mapping[str, Any], wanted: Sequence[str]) -> list[str]:
    """Say where a model was judged by other views than it is to predict with; `trained` is `Bundle.views`."""
    judged = list(trained.get("names", ()))
    if set(judged) == set(wanted):
        return []
    of_model = f"with --views {','.join(judged)}" if judged else "without views"
    return [f"this model was judged {of_model}: its accuracy is that of predictions made so"]


def load_options(command: Any) -> Any:
    """Add the options of every command that builds the network."""
    for option in (
        click.option("--method", default="head2toe", show_default=True, help="Whose model, in a run's folder."),
        click.option("--weights", help="Of the backbone.  [default: where the model had them from]"),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
    ):
        command = option(command)
    return command


@click.command("predict")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File.  [default: stdout]")
@click.option("--format", "kind", type=click.Choice(["csv", "jsonl", "parquet"]), help="[default: the file's suffix]")
@click.option("--top-k", type=click.IntRange(min=1), default=1, show_default=True, help="So many classes an image.")
@click.option("--csv-safe", is_flag=True, help="In CSV, ' before class names that spreadsheets take for formulas.")
@click.option("--probabilities", is_flag=True, help="A column p(class) for every class.")
@click.option("--coverage", type=float, help="Columns set, set_size, abstain: the set holds the class so often; ood.")
@click.option("--ood", is_flag=True, help="A column ood: the share of training images that are less unusual.")
@click.option("--views", default="", help="Average over views of an image, too: flip,crop:2.  [default: none]")
@click.option("--batch-size", type=click.IntRange(min=1), default=32, show_default=True)
@click.option("--on-error", type=click.Choice(["stop", "skip"]), default="stop", show_default=True)
@click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    default=MAX_PIXELS,
    show_default=True,
    help="The most pixels an image may have, against decompression bombs.",
)
@load_options
def predict_command(
    model: Path,
    images: tuple[str, ...],
    output: Path | None,
    kind: str | None,
    top_k: int,
    probabilities: bool,
    csv_safe: bool,
    coverage: float | None,
    ood: bool,
    views: str,
    batch_size: int,
    on_error: str,
    max_pixels: int,
    method: str,
    weights: str | None,
    device: str,
) -> None:
    """Classify IMAGES (files, folders, globs, or - for paths on stdin) with MODEL, a bundle or a run's folder.

    Example: head2toe predict my_model photos -o predictions.csv --top-k 3
    """
    from head2toe.extract.deploy.bundle import Bundle
    from head2toe.extract.deploy.deployed import load
    from head2toe.extract.deploy.predict import columns_of, find_images, left_out_notes, predict, row_of, writing
    from head2toe.extract.features.views import View
    from head2toe.extract.images.frames import several_frames_note
    from head2toe.extract.images.sources import with_limit
    from head2toe.extract.uncertainty.calibration import calibration_of, least_probability
    from head2toe.extract.uncertainty.columns import NOVELTY, set_cells, sure_columns
    from head2toe.store.console.progress import progress

    wanted, sets, ood = view_names(views), coverage is not None, ood or coverage is not None
    bundle = Bundle.load(model_folder(model, method))
    least, sure_notes = (0.0, []) if coverage is None else least_probability(bundle, coverage)
    if ood and calibration_of(bundle).novelty is None:
        sure_notes.append("the model has no training images to compare with: the column ood stays empty")
    looked_at = [View.of(name, bundle.views.get("seed", 0)) for name in wanted]
    names = names_of(images)
    sources = with_limit(find_images(names), max_pixels)
    notes = [*left_out_notes(names), *several_frames_note(sources), *views_note(bundle.views, wanted), *sure_notes]
    for note in notes:
        echo(f"note       {note}", err=True)
    deployed, skipped = load(bundle, device=device, weights=weights), 0
    if differs := deployed.precision.differs_on(deployed.device):
        echo(f"note       {differs}", err=True)
    columns = columns_of(bundle.classes, top_k=top_k, probabilities=probabilities) + sure_columns(sets=sets, ood=ood)
    place = writing(output, kind, data_stdout(), columns, csv_safe=csv_safe)
    with place as write, progress("predicting", unit="img") as report:
        how: dict[str, Any] = {"batch_size": batch_size, "on_error": on_error, "views": looked_at, "ood": ood}
        how["progress"] = report
        for prediction in predict(deployed, sources, **how):
            if prediction.fault:
                skipped += 1
                echo(f"skipped    {prediction.fault}", err=True)
            else:
                row = row_of(prediction, bundle.classes, top_k=top_k, probabilities=probabilities)
                if sets and prediction.probabilities is not None:
                    row |= set_cells(prediction.probabilities, bundle.classes, least)
                write(row | ({NOVELTY: prediction.ood} if ood else {}))
    if output:
        echo(f"predicted  {len(sources) - skipped} images, {skipped} skipped: {output}", err=True)


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@load_options
@json_option
def info(model: Path, method: str, weights: str | None, device: str, as_json: bool) -> None:
    """Show what MODEL reads, how large it is, and what cutting the backbone after its deepest layer gains.

    Example: head2toe info my_model
    """
    from dataclasses import asdict

    from head2toe.extract.deploy.bundle import HEAD, Bundle
    from head2toe.extract.deploy.deployed import load, measure
    from head2toe.store.console.text import readable, table

    folder = model_folder(model, method)
    bundle = Bundle.load(folder)
    speed = measure(load(bundle, device=device, weights=weights))
    head_bytes = (folder / HEAD).stat().st_size
    if as_json:
        names = ("backbone", "method", "settings", "metrics", "task", "classes", "views", "certificate")
        document = {name: getattr(bundle, name) for name in names}
        layers = [
            asdict(layer) | {"kept_by_statistic": counts}
            for layer, counts in zip(bundle.layers, bundle.kept_by_statistic, strict=True)
        ]
        document |= {"pool": list(bundle.pool), "layers": layers}
        show(document | {"head_bytes": head_bytes, "ms": asdict(speed)})
        return
    head = ["layer", "target size", "features", "trained on"]
    rows = [[la.name, str(la.target_size), f"{la.kept:,} of {la.width:,}", la.dtype] for la in bundle.layers]
    if bundle.pool != ("mean",):
        head.insert(3, "of which")
        for row, counts in zip(rows, bundle.kept_by_statistic, strict=True):
            row.insert(3, ", ".join(f"{n:,} {statistic}" for statistic, n in counts.items()))
    echo(table(head, rows))
    echo(f"backbone   {bundle.backbone['name']}, weights {bundle.backbone['weights']}")
    echo(f"task       {bundle.task.get('name', '?')}: {len(bundle.classes)} classes, method {bundle.method}")
    if bundle.views:
        echo(f"views      trained and judged on plain, {', '.join(bundle.views['names'])}")
    if bundle.certificate:
        echo(f"forgotten  {len(bundle.certificate['forgotten'])} images of the task: see its certificate, with --json")
    echo(f"head       {len(bundle.columns):,} features of {len(rows)} layers, {readable(head_bytes)}")
    echo(
        f"speed      {speed.full:.2f} ms an image for the whole backbone, {speed.cut:.2f} ms cut, head included"
        f" (batches of {speed.batch_size} on {speed.device})"
    )


def names_of(images: Sequence[str]) -> list[str]:
    """Return what is named on a command line and, where `-` is among it, the paths that are listed on stdin."""
    return [*(name for name in images if name != "-"), *(_listed(sys.stdin.buffer) if "-" in images else [])]


def _listed(stream: BinaryIO) -> list[str]:
    """The names in a list, one a line, or with a zero byte after each as of `find -print0`."""
    content = stream.read().removeprefix(codecs.BOM_UTF8)
    # As bytes: a file's name need not be UTF-8.
    lines = content.split(b"\0") if b"\0" in content else content.splitlines()
    return [os.fsdecode(line.strip()) for line in lines if line.strip()]


_EXPORTED = {".onnx": "onnx", ".pt2": "torch", ".pt": "torch", ".pth": "torch"}
"""The format of an export by the suffix of its name."""


@click.command("export")
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "kind",
    type=click.Choice(["bundle", "onnx", "torch"]),
    help="[default: the output's suffix (.onnx, .pt2), else bundle]",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder (bundle) or file.")
@click.option("--views", default="", help="flip: the graph averages over both directions.  [default: none]")
@load_options
@json_option
def export_command(
    source: Path,
    kind: str | None,
    output: Path,
    views: str,
    method: str,
    weights: str | None,
    device: str,
    as_json: bool,
) -> None:
    """Export a run's folder or a model bundle: as a bundle, as ONNX, or as torch.export's .pt2.

    Example: head2toe export my_model --format onnx -o my_model.onnx
    """
    from head2toe.extract.deploy.bundle import Bundle
    from head2toe.store.console.text import readable

    kind = kind or _EXPORTED.get(output.suffix.lower(), "bundle")
    wanted = view_names(views)
    bundle, worst = Bundle.load(model_folder(source, method)), None
    if kind == "bundle":
        if wanted:
            raise BadRequest(
                "a bundle is exported without --views: predict takes them, and so do the formats onnx and torch"
            )
        bundle.save(output, another="choose another folder with -o DIR")
    else:
        from head2toe.extract.deploy.deployed import load
        from head2toe.extract.deploy.export import export

        device = "cpu" if kind == "onnx" else device
        worst = export(load(bundle, device=device, weights=weights), output, kind, views=wanted)
    size = sum(p.stat().st_size for p in (output.iterdir() if output.is_dir() else [output]))
    if as_json:
        show({"output": str(output), "format": kind, "bytes": size, "largest_difference": worst})
        return
    checked = "" if worst is None else f", checked: largest difference of a probability {worst:.1e}"
    echo(f"exported {output} ({readable(size)}{checked})")


MODEL_COMMANDS = (predict_command, info, export_command)
"""The commands of this file, for the command line."""
