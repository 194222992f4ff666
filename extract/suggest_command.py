"""The command `suggest`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from head2toe.extract.deploy.commands import load_options, model_folder, names_of
from head2toe.extract.options import MAX_PIXELS
from head2toe.store.common.errors import BadRequest, DataError
from head2toe.store.console.cli import data_stdout, echo

if TYPE_CHECKING:
    import numpy as np
    from head2toe.extract.deploy.bundle import Bundle
    from head2toe.extract.deploy.predict import Prediction
    from head2toe.extract.images.sources import ImageSource

COLUMNS = ("path", "prediction", "probability", "margin")


@click.command("suggest")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("pool", nargs=-1, required=True)
@click.option("-k", "count", type=click.IntRange(min=1), default=50, show_default=True, help="How many images.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File.  [default: stdout]")
@click.option("--format", "kind", type=click.Choice(["csv", "jsonl", "parquet"]), help="[default: the file's suffix]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the clustering.")
@click.option("--batch-size", type=click.IntRange(min=1), default=32, show_default=True)
@click.option("--on-error", type=click.Choice(["stop", "skip"]), default="stop", show_default=True)
@load_options
def suggest(
    model: Path,
    pool: tuple[str, ...],
    count: int,
    output: Path | None,
    kind: str | None,
    seed: int,
    batch_size: int,
    on_error: str,
    method: str,
    weights: str | None,
    device: str,
) -> None:
    """Say which images of POOL to label next, given MODEL, a bundle or a run's folder.

    They are images that the model is unsure of, and unlike each other. Those that it was trained on are left out, and
    of several copies all but one. POOL is files, folders and globs, or - for paths on stdin.

    Example: head2toe suggest my_model unlabelled -k 50 -o next.csv
    """
    from head2toe.extract.deploy.bundle import Bundle
    from head2toe.extract.deploy.deployed import load
    from head2toe.extract.deploy.predict import find_images, left_out_notes, predict, writing
    from head2toe.extract.images.sources import with_limit
    from head2toe.store.console.progress import progress

    bundle = Bundle.load(model_folder(model, method))
    names = names_of(pool)
    sources = _without_copies(with_limit(find_images(names), MAX_PIXELS))
    for note in left_out_notes(names):
        echo(f"note       {note}", err=True)
    deployed = load(bundle, device=device, weights=weights)
    with writing(output, kind, data_stdout(), COLUMNS) as write:
        with progress("looking", unit="img") as report:
            how: dict[str, Any] = {"batch_size": batch_size, "on_error": on_error, "progress": report}
            seen = list(predict(deployed, sources, placed=True, **how))
        for fault in (one.fault for one in seen if one.fault):
            echo(f"skipped    {fault}", err=True)
        for row in _rows(bundle, [one for one in seen if not one.fault], count, seed):
            write(row)
    if output:
        echo(f"suggested  {output}", err=True)


def _without_copies(sources: "Sequence[ImageSource]") -> "list[ImageSource]":
    """Keep the first of all images of the same bytes: a second label of a picture brings nothing."""
    first: dict[object, ImageSource] = {}
    for source in sources:
        try:
            digest: object = source.digest()
        except DataError:
            digest = source  # whoever reads it says why it can't be read
        first.setdefault(digest, source)
    if copies := len(sources) - len(first):
        echo(f"note       the pool has copies of images: {copies} left out", err=True)
    return list(first.values())


def _rows(bundle: "Bundle", seen: "list[Prediction]", count: int, seed: int) -> list[dict[str, Any]]:
    """Choose among images that could be read; a row for each chosen one."""
    import numpy as np
    from head2toe.extract.uncertainty.suggestion import diverse_batch, margins

    pool, coordinates = _unseen(bundle, seen)
    if not pool:
        raise BadRequest("no image of the pool is left: the model was trained on all of them, or none could be read")
    if count > len(pool):
        images = f"{len(pool)} image{'s' * (len(pool) > 1)}"
        echo(f"note       the pool has {images}, fewer than {count}: all of them", err=True)
    probabilities = np.stack([one.probabilities for one in pool if one.probabilities is not None])
    margin = margins(probabilities)
    rows = []
    for i in diverse_batch(probabilities, coordinates, count, seed).tolist():
        label = int(probabilities[i].argmax())
        values = (pool[i].image.name, bundle.classes[label], float(probabilities[i, label]), float(margin[i]))
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def _unseen(bundle: "Bundle", seen: "list[Prediction]") -> "tuple[list[Prediction], np.ndarray | None]":
    """Leave out training images; also return where the others lie, or None where the model can't tell."""
    import numpy as np
    from head2toe.extract.uncertainty.suggestion import trained_on

    novelty = None if bundle.calibration is None else bundle.calibration.novelty
    if novelty is None or any(one.coordinates is None for one in seen):
        echo("note       the model keeps no training images: the least certain images are suggested", err=True)
        return seen, None
    if not seen:
        return [], None
    coordinates = np.stack([one.coordinates for one in seen if one.coordinates is not None])
    known = trained_on(coordinates, novelty.rows)
    if known.any():
        echo(f"note       {int(known.sum())} images of the pool are training images of the model: left out", err=True)
    return [one for one, is_known in zip(seen, known, strict=True) if not is_known], coordinates[~known]
