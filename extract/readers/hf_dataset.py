"""The reader of what Hugging Face `datasets` writes: folders of `save_to_disk`, and repositories of Parquet files."""

import re
from functools import partial
from pathlib import Path
from typing import Any

from head2toe.extract.images.sources import EncodedImage, image_bytes
from head2toe.extract.readers.listing import (
    SPLITS,
    TEST,
    TRAIN,
    Listing,
    by_split,
    encode_labels,
    read_class_names,
    several_labels,
    split_of,
    unlabelled_test_note,
)
from head2toe.extract.readers.manifest import listing_of
from head2toe.extract.readers.tables import Columns
from head2toe.store.common.errors import DataError, MissingExtra
from head2toe.store.console.text import parse_yaml

_LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "target")
_CARD = "README.md"


def is_saved(folder: Path) -> bool:
    """Return whether the folder was written by `save_to_disk`."""
    return (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()


def parquet_files(folder: Path) -> list[Path]:
    """Return the Parquet files of a folder and of those in it by path: `data/train-0.parquet`, `a/train/0.parquet`.

    Hidden files are left out.
    """
    patterns = ("*.parquet", "*/*.parquet", "*/*/*.parquet")
    files = (path for pattern in patterns for path in folder.glob(pattern) if path.is_file())
    return sorted(path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def read_repository(folder: Path, columns: Columns) -> Listing:
    """Read a repository as the hub has it: Parquet files with the images in them, the split in their names.

    Class names come from the files, else from the `README.md` beside them.

    Raises
    ------
    DataError
        The files are several configurations, or only some name a split; or as of `manifest.read`.
    MissingExtra
        Pyarrow is not installed.
    """
    files = {path: _split(path.relative_to(folder)) for path in parquet_files(folder)}
    if set(files.values()) - {None} and (unnamed := [path for path, split in files.items() if split is None]):
        raise DataError(
            f"{unnamed[0]} has no split in its name (train, validation or test), but other files have: rename or "
            "remove it"
        )
    parts = {path.parent.parent if _split(Path(path.parent.name)) else path.parent for path in files}
    if len(parts) > 1:
        raise DataError(f"{folder} holds several configurations: name one of {', '.join(sorted(map(str, parts)))}")
    names = read_class_names(folder) or _names_of_card(folder) or _names_of_card(folder.parent)
    return listing_of(
        {path: split or TRAIN for path, split in files.items()},
        columns,
        names,
        "Hugging Face repository",
        f"Hugging Face repository {folder.resolve()}",
    )


def _split(path: Path) -> str | None:
    """The split that a file's path names: `data/train-00000-of-00001.parquet`, `test/0000.parquet`."""
    words = re.split(r"[^a-z]+", str(path.with_suffix("")).lower())
    return next((split for word in words if (split := split_of(word))), None)


def _names_of_card(folder: Path) -> list[str] | None:
    """The class names that a repository's README.md says in its first lines, if it does."""
    try:
        text = (folder / _CARD).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    front = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    content = parse_yaml(front[1], str(folder / _CARD)) if front else None
    info = content.get("dataset_info") if isinstance(content, dict) else None
    for part in info if isinstance(info, list) else [info]:
        for feature in part.get("features") or [] if isinstance(part, dict) else []:
            try:
                names = feature["dtype"]["class_label"]["names"]
            except (LookupError, TypeError):
                continue
            return list(map(str, names.values() if isinstance(names, dict) else names))
    return None


def read(folder: Path, columns: Columns | None = None) -> Listing:
    """Read a saved `Dataset` or `DatasetDict` with an image column and a label column.

    Parameters
    ----------
    folder : Path
        What `save_to_disk` wrote.
    columns : Columns, optional
        The columns that the user named.

    Raises
    ------
    DataError
        The folder is damaged, or has no such columns; the message lists those that are there.
    MissingExtra
        `datasets` is not installed.
    """
    datasets = _import_datasets(folder)
    rows: list[tuple[str, EncodedImage, str]] = []
    names: list[str] | None = None
    tables = _load_splits(datasets, folder)
    notes: list[str] = []
    for split_name in sorted(tables, key=lambda name: split_of(name) == TEST):
        table, split = tables[split_name], split_of(split_name)
        if split is None and TEST in map(split_of, tables):
            notes.append(f"split {split_name!r} in {folder} is not read: its name is none of {', '.join(SPLITS)}")
            continue
        if split is None:
            raise DataError(
                f"split {split_name!r} in {folder} is none of {', '.join(SPLITS)}: rename or remove it, for it may be "
                "the test"
            )
        image, label = _columns(table.features, columns or Columns(), datasets, folder)
        if _is_sequence(table.features[label]):
            raise DataError(several_labels(f"the column {label!r} in {folder} is of type {table.features[label]}"))
        names = getattr(table.features[label], "names", names)
        if split == TEST and all(value in (None, -1) for value in table[label]):
            notes.append(unlabelled_test_note(len(table), str(folder)))
            continue
        encoded = table.select_columns([image]).cast_column(image, datasets.Image(decode=False))
        for row, value in enumerate(table[label]):
            if value is None or (names is not None and value == -1):  # -1: how ClassLabel says that there is none
                raise DataError(f"row {row} of split {split_name!r} in {folder} has no label")
            if isinstance(value, list | dict):
                raise DataError(several_labels(f"row {row} of split {split_name!r} in {folder} has the label {value}"))
            if names is not None and not 0 <= value < len(names):
                raise DataError(f"row {row} of split {split_name!r} in {folder} has label {value} of {len(names)}")
            name = f"{folder}/{split_name}[{row}]"
            class_name = str(value if names is None else names[value])
            rows.append((split, EncodedImage(name, partial(_image_bytes, encoded, image, row, folder)), class_name))
    classes, labels = encode_labels((class_name for _, _, class_name in rows), names, str(folder))
    return Listing(
        layout="Hugging Face datasets",
        source=f"Hugging Face datasets folder {folder.resolve()}",
        classes=classes,
        notes=tuple(notes),
        **by_split((split, image, label) for (split, image, _), label in zip(rows, labels, strict=True)),
    )


def _import_datasets(folder: Path) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra(f"reading {folder} needs Hugging Face datasets: pip install 'head2toe[datasets]'") from error
    return datasets


def _load_splits(datasets: Any, folder: Path) -> dict[str, Any]:
    """The saved table of each split by its name; a `Dataset` is one training split."""
    try:
        saved = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        why = "a split has no rows" if isinstance(error, IndexError) else str(error).partition("\n")[0]
        raise DataError(f"can't read the dataset in {folder}: {why}") from error
    return dict(saved) if isinstance(saved, datasets.DatasetDict) else {TRAIN: saved}


def _columns(features: Any, columns: Columns, datasets: Any, folder: Path) -> tuple[str, str]:
    """Names of the image column and of the label column: named by the user, else known by their type.

    The label is known by its name, too.
    """
    there = f"(there are {', '.join(features)})"
    for given in (columns.path, columns.label):
        if given is not None and given not in features:
            raise DataError(f"no column {given!r} in {folder} {there}")
    images = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    labels = [name for name, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
    labels += [name for name in _LABEL_COLUMNS if name in features and name not in labels]
    # Of several labels (CIFAR-100 has a coarse one), the one that is named so.
    labels.sort(key=lambda name: _LABEL_COLUMNS.index(name) if name in _LABEL_COLUMNS else len(_LABEL_COLUMNS))
    image, label = columns.path or next(iter(images), None), columns.label or next(iter(labels), None)
    if image is None or image not in images or label is None:
        raise DataError(
            f"no {'label' if image in images else 'image'} column in {folder} {there}: "
            f"expected one of type Image, and one of type ClassLabel or named {', '.join(_LABEL_COLUMNS)}; "
            "--path-column and --label-column name others"
        )
    return image, label


def _is_sequence(feature: Any) -> bool:
    """Whether a column's type holds several values a row."""
    return isinstance(feature, list | dict) or hasattr(feature, "feature")


def _image_bytes(table: Any, column: str, row: int, folder: Path) -> bytes:
    """The encoded image: from the table, else from the file that the table names. Raises OSError if there is none."""
    return image_bytes(table[row][column] or {}, folder)
