"""Every method's prediction for every image, in long format: `predictions.parquet`, or `.csv` without pyarrow.

A row for each method and image. Training rows are predicted by the head of the fold that held them out, test rows by
the refit on all training rows. Training rows that no fold held out have no prediction, and are not there.
"""

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from head2toe.probe.methods.outcome import Outcome
from head2toe.probe.metrics.classification import normalized
from head2toe.store.common.errors import Damaged, MissingExtra
from head2toe.store.common.outputs import ANOTHER_OUTPUT, write_output
from head2toe.store.common.parquet import import_pyarrow

PARQUET, CSV = "predictions.parquet", "predictions.csv"
REMEDY = "remove it and run the task again"
_DAMAGED = (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError)
"""What is raised by reading a file that is not what was written; pyarrow's own errors are among them."""


class LabelledImages(Protocol):
    """What has to be known of the images that are predicted; a `record.Run` is one."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes' names in label order."""

    @property
    def ids(self) -> Sequence[str]:
        """The n images' names, training rows first, test rows after them."""

    @property
    def labels(self) -> np.ndarray:
        """(n,) int array: the class of each image."""

    @property
    def folds(self) -> np.ndarray:
        """(n_train,) int array: the fold that holds a training row out; -1 for a row that always trains."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """A method's predictions for n images.

    Attributes
    ----------
    ids : tuple of str
        The images' names.
    test : (n,) bool array
        Whether the image is one of the test.
    folds : (n,) int64 array
        The fold that held the image out; -1 for one of the test, which no fold did.
    labels : (n,) int64 array
        The true classes.
    predicted : (n,) int64 array
        The most probable classes.
    probabilities : (n, classes) float32 array
        The probability of each class, at the temperature that the folds chose.
    """

    ids: tuple[str, ...]
    test: np.ndarray
    folds: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray


def probability_columns(classes: Sequence[str]) -> list[str]:
    """Name a column for each class, in label order.

    A name is `p_<class>`, with `_` for every control character; one that was taken before has its label added.
    """
    names: list[str] = []
    for label, name in enumerate(classes):
        column = "p_" + "".join(c if c.isprintable() else "_" for c in name)
        while column in names:
            column = f"{column}_{label}"
        names.append(column)
    return names


def write(folder: Path, images: LabelledImages, outcomes: Sequence[Outcome]) -> Path:
    """Write all methods' predictions, atomically; the file of an earlier run in the other format is removed.

    Parameters
    ----------
    folder : Path
        The run's folder, which exists.
    images : LabelledImages
    outcomes : sequence of Outcome
        One for each method.

    Returns
    -------
    Path
        The file: Parquet, or CSV where pyarrow is not installed.

    Raises
    ------
    DataError
        A method predicted NaN.
    """
    columns = _columns(images, outcomes)
    try:
        pyarrow = import_pyarrow("Parquet")
    except MissingExtra:
        file, content = folder / CSV, _as_csv(columns)
    else:
        file, content = folder / PARQUET, _as_parquet(columns, pyarrow)
    write_output(file, content, ANOTHER_OUTPUT)
    (folder / (CSV if file.name == PARQUET else PARQUET)).unlink(missing_ok=True)
    return file


def named(file: Path) -> dict[str, str]:
    """Return the entry of a run's record that names the file of its predictions: `file` and its `sha256` (hex)."""
    return {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}


def whole(folder: Path, entry: Mapping[str, str] | None) -> bool:
    """Check the file of a run's predictions against the entry of its record.

    Parameters
    ----------
    folder : Path
        The run's folder.
    entry : mapping or None
        What `named` returned; None for a run that was written before there were such entries, which is not checked.

    Returns
    -------
    bool
        False if the file is gone.

    Raises
    ------
    Damaged
        The file is not what was written.
    """
    if entry is not None and not (folder / entry["file"]).is_file():
        return False
    if entry is not None:
        _content(folder / entry["file"], entry)
    return True


def read(folder: Path, entry: Mapping[str, str] | None = None) -> dict[str, Predictions]:
    """Read all methods' predictions from a run's folder.

    Parameters
    ----------
    folder : Path
        The run's folder.
    entry : mapping, optional
        What the run's record says of the file (see `named`), which is then checked.

    Returns
    -------
    dict
        Method name to `Predictions`; empty if the folder has no file of them.

    Raises
    ------
    Damaged
        The file is not what was written.
    MissingExtra
        The file is Parquet, and pyarrow is not installed.
    """
    for name, load in ((PARQUET, _from_parquet), (CSV, _from_csv)):
        if (file := folder / name).is_file():
            content = _content(file, entry if entry and entry["file"] == name else None)
            try:
                return _by_method(load(content, file))
            except _DAMAGED as error:
                raise Damaged(file, f"damaged ({' '.join(str(error).split())})", REMEDY) from error
    return {}


def _content(file: Path, entry: Mapping[str, str] | None) -> bytes:
    """Read a file as a whole, which a mapped one that shrinks meanwhile would not survive, and check it."""
    content = file.read_bytes()
    if entry is not None and hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise Damaged(file, "damaged (not what was written)", REMEDY)
    return content


def _by_method(columns: Mapping[str, Any]) -> dict[str, Predictions]:
    probabilities = np.array([v for name, v in columns.items() if name.startswith("p_")], dtype=np.float32).T
    methods, ids, test = np.asarray(columns["method"]), list(columns["id"]), np.asarray(columns["split"]) == "test"
    folds = np.array([-1 if fold in (None, "") else int(fold) for fold in columns["fold"]], dtype=np.int64)
    labels, predicted = (np.array(columns[name], dtype=np.int64) for name in ("y", "y_hat"))
    by_method = {}
    for method in dict.fromkeys(columns["method"]):
        mine = np.flatnonzero(methods == method)
        by_method[method] = Predictions(
            tuple(ids[i] for i in mine), test[mine], folds[mine], labels[mine], predicted[mine], probabilities[mine]
        )
    return by_method


def _columns(images: LabelledImages, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Column name to its values: lists of str and int, float32 arrays of probabilities."""
    held = np.flatnonzero(images.folds >= 0)
    logs = [normalized(np.vstack([o.fold_log_probabilities[held], o.test_log_probabilities])) for o in outcomes]
    logp = np.vstack(logs) if logs else np.empty((0, len(images.classes)))
    rows = np.concatenate([held, np.arange(len(images.folds), len(images.labels))])  # those that were predicted
    n, n_train, times = len(rows), len(held), len(outcomes)
    columns: dict[str, Any] = {
        "method": [outcome.name for outcome in outcomes for _ in range(n)],
        "id": [images.ids[i] for i in rows] * times,
        "split": (["train"] * n_train + ["test"] * (n - n_train)) * times,
        "fold": (images.folds[held].tolist() + [None] * (n - n_train)) * times,
        "y": images.labels[rows].tolist() * times,
        "y_hat": logp.argmax(axis=1).tolist(),
    }
    probabilities = np.exp(logp).astype(np.float32)
    return columns | dict(zip(probability_columns(images.classes), probabilities.T, strict=True))


def _as_csv(columns: Mapping[str, Any]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    shown = [[f"{p:.6g}" for p in v] if isinstance(v, np.ndarray) else v for v in columns.values()]
    writer.writerows(zip(*shown, strict=True))
    return text.getvalue().encode()


def _as_parquet(columns: Mapping[str, Any], pyarrow: Any) -> bytes:
    sink = io.BytesIO()
    # Dictionaries pay for names that repeat, not for probabilities.
    pyarrow.parquet.write_table(
        pyarrow.table({name: pyarrow.array(values) for name, values in columns.items()}),
        sink,
        compression="zstd",
        use_dictionary=["method", "id", "split"],
    )
    return sink.getvalue()


def _from_csv(content: bytes, _: Path) -> dict[str, list[Any]]:
    header, *body = csv.reader(io.StringIO(content.decode(), newline=""))
    return dict(zip(header, map(list, zip(*body, strict=True)), strict=True))


def _from_parquet(content: bytes, file: Path) -> dict[str, Any]:
    pyarrow = import_pyarrow(f"reading {file}")
    table = pyarrow.parquet.read_table(io.BytesIO(content))
    columns = zip(table.column_names, table.columns, strict=True)
    return {name: column.to_numpy() if name.startswith("p_") else column.to_pylist() for name, column in columns}
