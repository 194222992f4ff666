"""Predictions for images: which files are meant, batches through a deployed network, and rows that are written."""

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
from head2toe.extract.deploy.deployed import Deployed, overflow
from head2toe.extract.features.views import PLAIN, View
from head2toe.extract.images.batches import view_batches
from head2toe.extract.images.decode import without_remedy
from head2toe.extract.images.folder_contents import folder_contents, left_out_note
from head2toe.extract.images.sources import ImageFile, ImageSource
from head2toe.store.common.errors import BadRequest, DataError
from head2toe.store.common.files import expanded, explained
from head2toe.store.common.outputs import whole_file
from head2toe.store.common.parquet import import_pyarrow
from head2toe.store.console.progress import Counter, Progress
from head2toe.store.console.text import FORMULA_STARTS, class_cell, json_text, path_cell
from PIL import Image

FORMATS = {".csv": "csv", ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}
"""The format that predictions are written in, by the file's suffix."""

Row = dict[str, Any]
"""One image's prediction, by column."""

Write = Callable[[Row], object]
"""Takes one row after the other."""


def find_images(names: Iterable[str]) -> list[ImageFile]:
    """Find the images that names stand for, in the order given; where there is none, that is always an error.

    An empty table would pass for a result of a wrong folder, a disk that is not mounted, or a list that failed.

    Parameters
    ----------
    names : iterable of str
        Files, folders (all images below), and glob patterns.

    Raises
    ------
    BadRequest
        There is no name; or one is no file, folder or pattern that matches, or a folder that holds no image.
    """
    images: list[ImageFile] = []
    for name in names:
        path = expanded(name)
        if path.is_dir():
            files = list(folder_contents(path).images)
        else:
            matches = glob.glob(str(path), recursive=True)  # noqa: PTH207
            files = [path] if path.is_file() else sorted(p for p in map(Path, matches) if p.is_file())
        if not files:
            notes = "".join(f"; {note}" for note in left_out_notes([name]))
            raise BadRequest(f"no image {name!r}: expected a file, a folder with images, a glob pattern, or -{notes}")
        images += [ImageFile(p) for p in files]
    if not images:
        raise BadRequest("no image: the list is empty; expected files, folders with images, or glob patterns")
    return images


def left_out_notes(names: Iterable[str]) -> list[str]:
    """Return a line for each folder among the names that holds files which `find_images` leaves out, by kind."""
    folders = {name: path for name in names if (path := expanded(name)).is_dir()}
    notes = (left_out_note(folder_contents(path).left_out, name) for name, path in folders.items())
    return [note for note in notes if note]


@dataclass
class _Lenient:
    """An image source that gives a blank image where its own can't be read, and notes the reason."""

    source: ImageSource
    faults: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.source.name

    def digest(self) -> str:
        return "" if self.faults else self.source.digest()

    def load(self) -> Image.Image:
        try:
            return self.source.load()
        except DataError as error:
            self.faults.append(without_remedy(error))
            return Image.new("RGB", (8, 8))


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a deployed network says of one image.

    Attributes
    ----------
    image : ImageSource
        The image.
    probabilities : (classes,) float32 array, optional
        The probability of every class; None for an image that could not be read.
    fault : str
        Why it could not be read; empty if it could.
    ood : float, optional
        How unlike the training images it is, between 0 and 1; None where nobody asked, or the model can't tell.
    coordinates : (r,) float32 array, optional
        Where it lies in the directions by which the model tells that; None as `ood`.
    """

    image: ImageSource
    probabilities: np.ndarray | None
    fault: str = ""
    ood: float | None = None
    coordinates: np.ndarray | None = None


def predict(
    deployed: Deployed,
    images: Sequence[ImageSource],
    *,
    batch_size: int = 32,
    on_error: str = "stop",
    views: Sequence[View] = (),
    ood: bool = False,
    placed: bool = False,
    progress: Progress | None = None,
) -> Iterator[Prediction]:
    """Predict images, batch by batch.

    Parameters
    ----------
    deployed : Deployed
        The network with its head.
    images : sequence of ImageSource
        What to classify.
    batch_size : int
        Images that go through the network at once.
    on_error : {"stop", "skip"}
        What an image that can't be read does: raise its error, or become a prediction with its fault.
    views : sequence of View
        Further views of every image; what is predicted is the mean of the log-probabilities over the whole image and
        these, normalised, or what `Bundle.coef_whole` says. An image then costs as many passes more.
    ood : bool
        Whether to tell how unlike the training images each whole image is.
    placed : bool
        Whether to give coordinates instead; without views.
    progress : callable, optional
        Called with how many images are predicted, and how many there are.

    Yields
    ------
    Prediction
        One for each image, in the order of the images.

    Raises
    ------
    BadRequest
        The batch size is below 1.
    DataError
        An image can't be read, and `on_error` is "stop".
    """
    if batch_size < 1:
        raise BadRequest("batch size must be 1 or more")
    lenient = {str(i): _Lenient(image) for i, image in enumerate(images)}
    source: dict[str, Any] = lenient if on_error == "skip" else {str(i): image for i, image in enumerate(images)}
    counter, every = Counter(progress, len(images)), (PLAIN, *views)
    whole_images = len(every) * max(1, batch_size // len(every))  # all views of an image are in one batch
    wanted = [(name, every) for name in source]
    for pairs, batch in view_batches(wanted, source, deployed.preprocessing, whole_images):
        with torch.inference_mode():
            pixels = batch.to(deployed.device, memory_format=torch.channels_last)
            scored = deployed.placed(pixels) if placed else deployed.scores(pixels, ood=ood, n_views=len(every))
            values = torch.softmax(scored[0], dim=1).cpu().numpy()
        names = [name for name, view in pairs if view == PLAIN]
        further = [None] * len(names) if scored[1] is None else scored[1].cpu().numpy()
        for name, probabilities, value in zip(names, values, further, strict=True):
            reason = next(iter(lenient[name].faults), "") or overflow(images[int(name)].name, probabilities, value)
            if reason and on_error == "stop":
                raise DataError(reason)
            known = {} if reason or value is None else {"coordinates": value} if placed else {"ood": float(value)}
            yield Prediction(images[int(name)], None if reason else probabilities, reason, **known)
        counter.add(len(names))


def row_of(prediction: Prediction, classes: Sequence[str], *, top_k: int = 1, probabilities: bool = False) -> Row:
    """Make a flat row of a prediction.

    Parameters
    ----------
    prediction : Prediction
        The prediction of an image that could be read.
    classes : sequence of str
        Class names in label order.
    top_k : int
        How many of the most probable classes are named, each with its probability.
    probabilities : bool
        Whether a column `p(class)` is added for every class.
    """
    values = prediction.probabilities
    assert values is not None, "an image that could not be read has no row"
    row: Row = {"path": prediction.image.name}
    for rank, label in enumerate(np.argsort(-values, kind="stable")[:top_k], start=1):
        tail = "" if rank == 1 else f"_{rank}"
        row |= {f"prediction{tail}": classes[label], f"probability{tail}": float(values[label])}
    if probabilities:
        row |= {f"p({name})": float(value) for name, value in zip(classes, values, strict=True)}
    return row


def columns_of(classes: Sequence[str], *, top_k: int = 1, probabilities: bool = False) -> list[str]:
    """Name the columns of the rows that `row_of` makes, with the same parameters."""
    tails = ["" if rank == 1 else f"_{rank}" for rank in range(1, min(top_k, len(classes)) + 1)]
    best = [f"{name}{tail}" for tail in tails for name in ("prediction", "probability")]
    return ["path", *best, *(f"p({name})" for name in classes if probabilities)]


@contextmanager
def writing(
    file: Path | None, kind: str | None, stdout: IO[str], columns: Sequence[str], *, csv_safe: bool = False
) -> Iterator[Write]:
    """Open a place for rows; a file gets its name when it is complete.

    Parameters
    ----------
    file : Path, optional
        Where to write; its folder is made if it is missing. By default rows go to `stdout`.
    kind : {"csv", "jsonl", "parquet"}, optional
        The format; by default that of the file's suffix, and csv on stdout.
    stdout : text stream
        Where rows go without a file.
    columns : sequence of str
        The columns' names. A CSV file begins with them, and a Parquet file has them, where there is no row, too.
    csv_safe : bool
        Whether class names that a spreadsheet would run as formulas get an apostrophe in front, in CSV alone.

    Yields
    ------
    callable
        Takes one row after the other, all with the same columns.

    Raises
    ------
    BadRequest
        The suffix says no format, or Parquet is to go to stdout.
    MissingExtra
        Parquet is asked for, and pyarrow is not installed.
    StoreError
        The file can't be written.
    """
    kind = kind or (FORMATS.get(file.suffix.lower()) if file else "csv")
    if kind is None:
        raise BadRequest(f"{file}: the suffix says no format: use {', '.join(FORMATS)} or --format")
    if kind == "parquet" and file is None:
        raise BadRequest("Parquet goes to a file: pass -o FILE.parquet")
    if file is None:
        yield _writer(stdout, kind, columns, csv_safe=csv_safe)
        return
    another = "choose another file with -o FILE"
    write_table = _parquet(columns) if kind == "parquet" else None
    with whole_file(file, another) as partial:  # what can't be written is an error before the work, not after it
        if write_table is not None:
            rows: list[Row] = []
            yield rows.append
            with explained(file, another):
                write_table(rows, partial)
            return
        stream = partial.open("w", encoding="utf-8", newline="")
        try:
            with explained(file, another):
                write = _writer(stream, kind, columns, csv_safe=csv_safe)
            yield lambda row: _written(write, row, file, another)
        finally:
            with explained(file, another):
                stream.close()


def _written(write: Write, row: Row, file: Path, another: str) -> None:
    """Write a row; raises StoreError for what the operating system refuses."""
    with explained(file, another):
        write(row)


def _writer(stream: IO[str], kind: str, columns: Sequence[str], *, csv_safe: bool) -> Write:
    """Return a function that writes rows to a stream as CSV, under a header, or as JSON, each in a line."""
    if kind == "jsonl":
        return lambda row: stream.write(json_text(row) + "\n")
    table = csv.DictWriter(stream, columns, lineterminator="\n")
    table.writeheader()
    return lambda row: table.writerow({name: _cell(name, value, csv_safe=csv_safe) for name, value in row.items()})


def _cell(column: str, value: Any, *, csv_safe: bool) -> Any:
    """Keep a spreadsheet from running a name as a formula: a path goes on to name its file, a class asks for leave.

    What is no text or number is written as JSON: lists, true and false.
    """
    if isinstance(value, list | bool):
        return json.dumps(value, ensure_ascii=False)
    if not isinstance(value, str) or not value.startswith(FORMULA_STARTS):
        return value
    if column == "path":
        return path_cell(value)
    return class_cell(value, safe=csv_safe)


def _parquet(columns: Sequence[str]) -> Callable[[list[Row], Path], None]:
    """Return a function that writes rows as a Parquet file. Raises MissingExtra without pyarrow."""
    pyarrow = import_pyarrow("Parquet")
    kinds = {"path": pyarrow.string(), "set": pyarrow.list_(pyarrow.string()), "set_size": pyarrow.int64()}
    kinds |= {name: pyarrow.string() for name in columns if name.startswith("prediction")}
    kinds |= {"abstain": pyarrow.bool_()}
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.float64())) for name in columns])
    return lambda rows, file: pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), file)
