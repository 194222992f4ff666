"""The commands `tasks` and `layers`, and what the commands that extract show of it.

Torch is imported only by the command that needs it.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from head2toe.extract.options import POOL, ExtractOptions
from head2toe.store.common.errors import BadRequest
from head2toe.store.console.cli import echo, json_option, listed_names, show

if TYPE_CHECKING:
    import numpy as np
    from head2toe.extract.backbone.taps import Tap
    from head2toe.extract.features.extraction import Extraction
    from head2toe.extract.images.sources import ImageSource
    from head2toe.extract.survey import Trial
    from head2toe.extract.tasks.task import Task


@click.command()
@json_option
def tasks(as_json: bool) -> None:
    """List the tasks that have a name.

    Example: head2toe tasks
    """
    from dataclasses import asdict

    from head2toe.extract.tasks.registry import named_tasks
    from head2toe.store.console.text import table

    named = named_tasks()
    if as_json:
        show({"tasks": [asdict(task) for task in named]})
    else:
        rows = [(task.name, task.group, str(task.n_classes or ""), task.where) for task in named]
        echo(table(("task", "group", "classes", "where"), rows))


@click.command()
@click.argument("backbone", required=False)
@click.option(
    "--check-all", is_flag=True, help="Which of timm's models (of a BACKBONE pattern) can't be read, and why."
)
@click.option("--families", is_flag=True, help="With --check-all: the smallest model of each of timm's families alone.")
@click.option("--taps", default="h2t", show_default=True, help="h2t, blocks, all, or globs: 'blocks.*'.")
@click.option("--input-size", type=click.IntRange(min=1), help="Pixels.  [default: the model's own]")
@click.option(
    "--target-size", "target_sizes", type=click.IntRange(min=1), multiple=True, default=(512,), show_default=True
)
@click.option(
    "--pool",
    default="mean",
    show_default=True,
    callback=listed_names(POOL),
    help="What is kept of every pooling window: mean, or several of mean,std,max.",
)
@click.option(
    "--images", type=click.IntRange(min=1), default=1000, show_default=True, help="Count the bytes for this many."
)
@json_option
def layers(
    backbone: str | None,
    check_all: bool,
    families: bool,
    taps: str,
    input_size: int | None,
    target_sizes: tuple[int, ...],
    pool: tuple[str, ...],
    images: int,
    as_json: bool,
) -> None:
    """List the layers that would be stored: tap, shape, pooled size, bytes.

    Example: head2toe layers resnet50 --taps blocks --target-size 512
    """
    if families and not check_all:
        raise BadRequest("--families goes with --check-all")
    if check_all:
        _check_all(backbone or "*", taps, families, as_json)
        return
    if backbone is None:
        raise BadRequest("name a backbone: head2toe layers resnet50")
    from head2toe.extract.backbone.backbone import load_backbone
    from head2toe.extract.backbone.taps import discover

    statistics: Any = ExtractOptions(pool=pool).pool
    # Shapes do not depend on the weights, so none are fetched.
    network = load_backbone(backbone, weights="random", input_size=input_size, device="cpu")
    discovery = discover(network, taps)
    taps_and_widths = [
        (tap, {size: tap.width(size, statistics=statistics) for size in target_sizes}) for tap in discovery.taps
    ]
    total = {size: sum(widths[size] for _, widths in taps_and_widths) for size in target_sizes}
    if not as_json:
        _echo_layers(taps_and_widths, total, images, discovery.untapped)
        return
    show(
        {
            "backbone": backbone,
            "input_size": network.input_size,
            "pool": list(statistics),
            "layers": [
                {"name": tap.name, "shape": tap.shape, "layout": tap.layout, "features": widths}
                for tap, widths in taps_and_widths
            ],
            "features": total,
            "bytes": {size: 2 * images * features for size, features in total.items()},
            "untapped": discovery.untapped,
        }
    )


def _check_all(pattern: str, taps: str, families: bool, as_json: bool) -> None:
    """Show which of the models that match a pattern can't be read, as they are found, and how many can.

    Of families the smallest model is tried, at few pixels if it takes these, and what it took is shown.
    """
    from head2toe.extract.survey import families_of, names_like, smallest, survey
    from head2toe.store.console.progress import progress

    names = names_like(pattern)
    groups = families_of(names) if families else {name: [name] for name in names}
    trials = {}
    with progress("checking", unit="family" if families else "model") as report:
        for number, (group, members) in enumerate(groups.items(), start=1):
            (trial,) = survey([smallest(members) if families else group], taps, small_input=families)
            trials[group] = trial
            report(number, len(groups))
            if as_json:
                continue
            if families:
                at = f"{trial.pixels} px" if trial.pixels else trial.reason
                echo(f"{group:28} {trial.name:36} {trial.seconds:5.1f} s  {at}")
            elif trial.reason:
                echo(f"{trial.name}: {trial.reason}")
    refused = {trial.name: trial.reason for trial in trials.values() if trial.reason}
    if as_json:
        show({"models": len(groups), "refused": refused} | ({"families": _documents(trials)} if families else {}))
    else:
        echo(f"{len(groups) - len(refused)} of {len(groups)} {'families' if families else 'models'} can be read")


def _documents(trials: "Mapping[str, Trial]") -> dict[str, dict[str, Any]]:
    return {family: trial._asdict() for family, trial in trials.items()}


def _echo_layers(
    taps_and_widths: "Sequence[tuple[Tap, dict[int, int]]]",
    total: Mapping[int, int],
    images: int,
    untapped: Mapping[str, str],
) -> None:
    """A table of taps with their features at each target size, what they come to, and what is not tapped and why."""
    from head2toe.store.console.text import table

    rows = [
        (tap.name, " x ".join(map(str, tap.shape)), tap.layout, *map(str, widths.values()))
        for tap, widths in taps_and_widths
    ]
    rows.append((f"{len(rows)} layers", "", "", *(f"{features:,}" for features in total.values())))
    rows.append((f"{images:,} images", "float16", "", *(f"{2e-6 * images * n:.1f} MB" for n in total.values())))
    echo(table(("tap", "shape", "layout", *(f"at {size}" for size in total)), rows))
    for name, reason in untapped.items():
        echo(f"not tapped: {name}: {reason}")


def echo_extraction(extraction: "Extraction") -> None:
    """Show what stage one did: the task, how many images were extracted, notes, stores, and images left out."""
    done, rows = extraction.images_extracted, len(extraction.digests)
    what = "views of images" if extraction.views else "images"
    how = f"{done} {what} extracted" if done else "nothing to extract: the store holds all images"
    reused = f", {extraction.images_reused} reused" if extraction.images_reused else ""
    echo(f"task       {extraction.task.name}: {rows} images, {len(extraction.task.classes)} classes")
    echo(f"extract    {how}{reused} ({extraction.seconds:.1f} s)")
    for note in extraction.notes:
        echo(f"note       {note}")
    for size, written in extraction.stores.items():
        echo(f"store      {written.path}  (target size {size}: {written.layers.n_features:,} features)")
    for name, stores in extraction.views.items():
        for size, written in stores.items():
            echo(f"store      {written.path}  (view {name}, target size {size})")
    for reason in extraction.skipped:
        echo(f"skipped    {reason}", err=True)


def thumbnails(record: Mapping[str, Any]) -> Callable[[str], bytes | None]:
    """Return a function from an image's name to a small JPEG, or None where task or image can't be read any more."""
    from head2toe.extract.tasks.thumbnails import thumbnails_of

    return thumbnails_of(record)


def load_for(task: str, options: ExtractOptions) -> "Task":
    """Load a task with the options that say how: seed, folds, download, the columns of a table. See `load_task`."""
    from head2toe.extract.tasks.registry import load_task

    columns = {"path_column": options.path_column, "label_column": options.label_column}
    return load_task(task, seed=options.seed, folds=options.folds, download=options.download, **columns)


def grey_versions(images: "Sequence[ImageSource]") -> "np.ndarray | None":
    """Return small grey versions of images (n, 64, 64); None where one can't be read any more."""
    from head2toe.extract.tasks.thumbnails import grey_versions

    return grey_versions(images)


def correct_task(task: "Task", decisions: Path, manifest: Path) -> tuple[int, int]:
    """Apply a table of decisions to a task, and write the manifest that they make; see `write_corrected`."""
    from head2toe.extract.tasks.corrections import write_corrected

    return write_corrected(task, decisions, manifest)


def cluster_of(word: str | None, devices: Sequence[str]) -> Callable[[], Any] | None:
    """Return what connects to the workers that `--cluster` and several devices name, or starts them; else None."""
    if word is None and len(devices) < 2:
        return None
    from functools import partial

    from head2toe.extract.cluster.address import Address
    from head2toe.extract.cluster.path_workers import path_workers

    address = Address.asked(word, devices)
    return None if address is None else partial(path_workers, address)


def model_origin(path: Path, method: str, results: Path) -> tuple[Path, str, tuple[str, ...]]:
    """Find the run that a model comes from, which knows more of its training than the model does.

    Parameters
    ----------
    path : Path
        A model's folder, or that of a run.
    method : str
        The method whose model of a run is meant.
    results : Path
        The folder of the runs among which that of a copied model is looked for.

    Returns
    -------
    run : Path
        The run's folder.
    method : str
        The method that left the model.
    forgotten : tuple of str
        The sha256 (hex) of the images that it was trained again without.

    Raises
    ------
    BadRequest
        There is no model, or none of the runs left it.
    """
    from head2toe.extract.deploy.bundle import MODEL, Bundle
    from head2toe.extract.deploy.commands import MODELS, model_folder

    folder = model_folder(path, method)
    bundle = Bundle.load(folder)
    forgotten = tuple(one["sha256"] for one in bundle.certificate.get("forgotten", ()))
    if forgotten:
        runs = [file.parent for file in results.glob(f"**/*-{bundle.certificate['run'][:8]}/result.json")]
    else:
        same = (folder / MODEL).read_bytes()
        models = [folder, *results.glob(f"**/{MODELS}/{bundle.method}")]
        runs = [one.parent.parent for one in models if (one / MODEL).is_file() and (one / MODEL).read_bytes() == same]
    runs = [run for run in runs if (run / "result.json").is_file()]
    if not runs:
        raise BadRequest(f"no run below {results} left the model {path}: name the folder of its run, or --results DIR")
    # A run of older code may have left the same model, byte for byte: the latest is the one of today's.
    latest = max(runs, key=lambda run: (run == folder.parent.parent, (run / "result.json").stat().st_mtime))
    return latest, bundle.method, forgotten


def whole_models(folder: Path) -> bool:
    """Whether every model of a run can be read, of the folder that holds them."""
    from head2toe.extract.deploy.bundle import all_whole

    return all_whole(folder)


def save_bundle(extraction: Any, model: Any, folder: Path, another: str, **known: Any) -> None:
    """Pack a head as a bundle, see `bundle_of`, and write it to a folder; `another` says how to choose another."""
    from head2toe.extract.deploy.packing import bundle_of
    from head2toe.store.common.fingerprint import versions

    bundle_of(extraction, model, **known, versions=versions()).save(folder, another=another)
