"""The commands `tasks` and `layers`, and what the commands that extract show of it.

Torch is imported only by the command that needs it.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click
from head2toe.store.common.errors import BadRequest
from head2toe.store.console.cli import echo, json_option, show

if TYPE_CHECKING:
    from head2toe.extract.backbone.taps import Tap
    from head2toe.extract.features.extraction import Extraction


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
@click.option("--taps", default="h2t", show_default=True, help="h2t, blocks, all, or globs: 'blocks.*'.")
@click.option("--input-size", type=click.IntRange(min=1), help="Pixels.  [default: the model's own]")
@click.option(
    "--target-size", "target_sizes", type=click.IntRange(min=1), multiple=True, default=(512,), show_default=True
)
@click.option(
    "--images", type=click.IntRange(min=1), default=1000, show_default=True, help="Count the bytes for this many."
)
@json_option
def layers(
    backbone: str | None,
    check_all: bool,
    taps: str,
    input_size: int | None,
    target_sizes: tuple[int, ...],
    images: int,
    as_json: bool,
) -> None:
    """List the layers that would be stored: tap, shape, pooled size, bytes.

    Example: head2toe layers resnet50 --taps blocks --target-size 512
    """
    if check_all:
        _check_all(backbone or "*", taps, as_json)
        return
    if backbone is None:
        raise BadRequest("name a backbone: head2toe layers resnet50")
    from head2toe.extract.backbone.backbone import load_backbone
    from head2toe.extract.backbone.taps import discover

    # Shapes do not depend on the weights, so none are fetched.
    network = load_backbone(backbone, weights="random", input_size=input_size, device="cpu")
    discovery = discover(network, taps)
    taps_and_widths = [(tap, {size: tap.width(size) for size in target_sizes}) for tap in discovery.taps]
    total = {size: sum(widths[size] for _, widths in taps_and_widths) for size in target_sizes}
    if not as_json:
        _echo_layers(taps_and_widths, total, images, discovery.untapped)
        return
    show(
        {
            "backbone": backbone,
            "input_size": network.input_size,
            "layers": [
                {"name": tap.name, "shape": tap.shape, "layout": tap.layout, "features": widths}
                for tap, widths in taps_and_widths
            ],
            "features": total,
            "bytes": {size: 2 * images * features for size, features in total.items()},
            "untapped": discovery.untapped,
        }
    )


def _check_all(pattern: str, taps: str, as_json: bool) -> None:
    """Show which of the models that match a pattern can't be read, as they are found, and how many can."""
    from head2toe.extract.survey import names_like, survey
    from head2toe.store.console.progress import progress

    names, refusals = names_like(pattern), []
    with progress("checking", unit="model") as report:
        for number, refusal in enumerate(survey(names, taps), start=1):
            report(number, len(names))
            if refusal is not None:
                refusals.append(refusal)
                if not as_json:
                    click.echo(f"{refusal.name}: {refusal.reason}")
    if as_json:
        show({"models": len(names), "refused": {refusal.name: refusal.reason for refusal in refusals}})
    else:
        click.echo(f"{len(names) - len(refusals)} of {len(names)} models can be read")


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
