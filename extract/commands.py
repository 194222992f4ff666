"""The commands of tasks and networks (`tasks`, `layers`) and of models (`predict`, `info`, `export`).

Torch is imported only by the command that needs it.
"""

from typing import TYPE_CHECKING

import click
from head2toe.store.common.cli import json_option, show

if TYPE_CHECKING:
    from head2toe.extract.features.extraction import Extraction


@click.command()
@json_option
def tasks(as_json: bool) -> None:
    """List the tasks that have a name.

    Example: head2toe tasks
    """
    from dataclasses import asdict

    from head2toe.extract.tasks.registry import registered
    from head2toe.store.common.text import table

    found = registered()
    if as_json:
        show({"tasks": [asdict(task) for task in found]})
    else:
        rows = [(t.name, t.group, str(t.n_classes or ""), t.where) for t in found]
        click.echo(table(("task", "group", "classes", "where"), rows))


@click.command()
@click.argument("backbone")
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
    backbone: str, taps: str, input_size: int | None, target_sizes: tuple[int, ...], images: int, as_json: bool
) -> None:
    """List the layers that would be stored: tap, shape, pooled size, bytes.

    Example: head2toe layers resnet50 --taps blocks --target-size 512
    """
    from head2toe.extract.backbone.backbone import load_backbone
    from head2toe.extract.backbone.taps import discover
    from head2toe.store.common.text import table

    # Shapes do not depend on the weights, so none are fetched.
    network = load_backbone(backbone, weights="random", input_size=input_size, device="cpu")
    discovery = discover(network, taps)
    widths = [{size: tap.width(size) for size in target_sizes} for tap in discovery.taps]
    total = {size: sum(width[size] for width in widths) for size in target_sizes}
    if as_json:
        listed = zip(discovery.taps, widths, strict=True)
        show(
            {
                "backbone": backbone,
                "input_size": network.input_size,
                "layers": [{"name": t.name, "shape": t.shape, "layout": t.layout, "features": w} for t, w in listed],
                "features": total,
                "bytes": {size: 2 * images * features for size, features in total.items()},
                "untapped": discovery.untapped,
            }
        )
        return
    rows = [
        (tap.name, " x ".join(map(str, tap.shape)), tap.layout, *map(str, width.values()))
        for tap, width in zip(discovery.taps, widths, strict=True)
    ]
    rows.append((f"{len(rows)} layers", "", "", *(f"{features:,}" for features in total.values())))
    rows.append((f"{images:,} images", "float16", "", *(f"{2e-6 * images * n:.1f} MB" for n in total.values())))
    click.echo(table(("tap", "shape", "layout", *(f"at {size}" for size in target_sizes)), rows))
    for name, why in discovery.untapped.items():
        click.echo(f"not tapped: {name}: {why}")


def echo_extraction(extraction: "Extraction") -> None:
    """What stage one did, in three lines."""
    done, rows = extraction.images_extracted, len(extraction.digests)
    how = f"{done} images extracted" if done else "nothing to extract: the store holds all images"
    reused = f", {extraction.images_reused} reused" if extraction.images_reused else ""
    click.echo(f"task       {extraction.task.name}: {rows} images, {len(extraction.task.classes)} classes")
    click.echo(f"extract    {how}{reused} ({extraction.seconds:.1f} s)")
    for note in extraction.notes:
        click.echo(f"note       {note}")
    for size, written in extraction.stores.items():
        click.echo(f"store      {written.path}  (target size {size}: {written.layers.n_features:,} features)")
    for reason in extraction.skipped:
        click.echo(f"skipped    {reason}", err=True)
