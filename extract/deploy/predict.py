"""Predictions for images: which files are meant, batches through a deployed network, rows for people and programs."""

import csv
import glob
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from head2toe.extract.deploy.deployed import Deployed
from head2toe.extract.images.batches import batches
from head2toe.extract.images.decode import without_remedy
from head2toe.extract.images.folder_contents import folder_contents, left_out_note
from head2toe.extract.images.sources import ImageFile, ImageSource
from head2toe.store.common.errors import BadRequest, DataError
from head2toe.store.common.files import expanded, partial_name
from head2toe.store.common.parquet import import_pyarrow
from head2toe.store.common.progress import Progress
from PIL import Image

FORMATS = {".csv": "csv", ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}
Row = dict[str, Any]


def find_images(names: Iterable[str]) -> list[ImageFile]:
    """Files, folders (all images below) and glob patterns, in the order given.

    Raises
    ------
    BadRequest
        A name is no file, folder or pattern that matches, or a folder holds no image.
    """
    found: list[ImageFile] = []
    for name in names:
        path = expanded(name)
        if path.is_dir():
            inside = list(folder_contents(path).images)
        else:
            matched = glob.glob(str(path), recursive=True)  # noqa: PTH207
            inside = [path] if path.is_file() else sorted(p for p in map(Path, matched) if p.is_file())
        if not inside:
            notes = "".join(f"; {note}" for note in left_out_notes([name]))
            raise BadRequest(f"no image {name!r}: expected a file, a folder with images, a glob pattern, or -{notes}")
        found += [ImageFile(p) for p in inside]
    return found


def left_out_notes(names: Iterable[str]) -> list[str]:
    """Return a line for each folder among the names that holds files which `find_images` leaves out, by kind."""
    folders = {name: path for name in names if (path := expanded(name)).is_dir()}
    notes = (left_out_note(folder_contents(path).left_out, name) for name, path in folders.items())
    return [note for note in notes if note]


@dataclass
class _Lenient:
    """An image that is blank where it can't be read, the reason noted."""

    source: ImageSource
    faults: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.source.name

    def digest(self) -> str:
        return self.source.digest()

    def load(self) -> Image.Image:
        try:
            return self.source.load()
        except DataError as error:
            self.faults.append(without_remedy(error))
            return Image.new("RGB", (8, 8))


@dataclass(frozen=True, eq=False)
class Prediction:
    """Of one image: its probabilities (classes,) float32, or why it could not be read."""

    image: ImageSource
    probabilities: np.ndarray | None
    fault: str = ""


def predict(
    deployed: Deployed,
    images: Sequence[ImageSource],
    *,
    batch_size: int = 32,
    on_error: str = "stop",
    progress: Progress | None = None,
) -> Iterator[Prediction]:
    """Predictions in the order of the images, batch by batch.

    Raises
    ------
    DataError
        An image can't be read, and `on_error` is "stop".
    """
    if batch_size < 1:
        raise BadRequest("batch size must be 1 or more")
    lenient = {str(i): _Lenient(image) for i, image in enumerate(images)}
    source: dict[str, Any] = lenient if on_error == "skip" else {str(i): image for i, image in enumerate(images)}
    done = 0
    for names, batch in batches(list(source), source, deployed.preprocessing, batch_size):
        with torch.inference_mode():
            pixels = batch.to(deployed.device, memory_format=torch.channels_last)
            values = deployed(pixels).cpu().numpy()
        for name, probabilities in zip(names, values, strict=True):
            fault = next(iter(lenient[name].faults), "")
            yield Prediction(images[int(name)], None if fault else probabilities, fault)
        done += len(names)
        if progress:
            progress(done, len(images))


def row_of(prediction: Prediction, classes: Sequence[str], *, top_k: int = 1, probabilities: bool = False) -> Row:
    """A flat row: path, prediction, probability, those of the next best classes, and on request of every class."""
    values = prediction.probabilities
    assert values is not None, "an image that could not be read has no row"
    row: Row = {"path": prediction.image.name}
    for rank, label in enumerate(np.argsort(-values, kind="stable")[:top_k], start=1):
        tail = "" if rank == 1 else f"_{rank}"
        row |= {f"prediction{tail}": classes[label], f"probability{tail}": float(values[label])}
    if probabilities:
        row |= {f"p({name})": float(value) for name, value in zip(classes, values, strict=True)}
    return row


@contextmanager
def writing(file: Path | None, kind: str | None, stdout: IO[str]) -> Iterator[Any]:
    """A function that takes one row after the other; a file gets its name when it is complete.

    Parameters
    ----------
    kind : {"csv", "jsonl", "parquet"}, optional
        By default that of the file's suffix, and csv on stdout.
    """
    kind = kind or (FORMATS.get(file.suffix.lower()) if file else "csv")
    if kind is None:
        raise BadRequest(f"{file}: the suffix says no format: use {', '.join(FORMATS)} or --format")
    if kind == "parquet" and file is None:
        raise BadRequest("Parquet goes to a file: pass -o FILE.parquet")
    if file is None:
        yield _writer(stdout, kind)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_name(file)
    try:
        if kind == "parquet":
            write_table = _parquet()
            rows: list[Row] = []
            partial.touch()  # what is missing is said before the work, not after it
            yield rows.append
            write_table(rows, partial)
        else:
            with partial.open("w", encoding="utf-8", newline="") as stream:
                yield _writer(stream, kind)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def _writer(stream: IO[str], kind: str) -> Any:
    table: list[Any] = []

    def write(row: Row) -> None:
        if kind == "jsonl":
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
            return
        if not table:
            table.append(csv.DictWriter(stream, list(row), lineterminator="\n"))
            table[0].writeheader()
        table[0].writerow(row)

    return write


def _parquet() -> Callable[[list[Row], Path], None]:
    """A function that writes rows as a Parquet file. Raises MissingExtra without pyarrow."""
    pyarrow = import_pyarrow("Parquet")
    return lambda rows, file: pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
