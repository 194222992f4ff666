"""The reader of a folder that Hugging Face `datasets` saved (`Dataset.save_to_disk`)."""

from functools import partial
from pathlib import Path
from typing import Any

from head2toe.extract.images.sources import EncodedImage
from head2toe.extract.readers.listing import SPLITS, TEST, TRAIN, Listing, by_split, encode_labels, split_of
from head2toe.store.common.errors import DataError, MissingExtra

_LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "target")


def is_saved(folder: Path) -> bool:
    """Return whether the folder was written by `save_to_disk`."""
    return (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()


def read(folder: Path) -> Listing:
    """Read a saved `Dataset` or `DatasetDict` with an image column and a label column.

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
    for split_name in sorted(tables, key=lambda name: split_of(name) == TEST):
        table, split = tables[split_name], split_of(split_name)
        if split is None:
            raise DataError(f"split {split_name!r} in {folder} is none of {', '.join(SPLITS)}")
        image, label = _columns(table.features, datasets, folder)
        names = getattr(table.features[label], "names", names)
        encoded = table.select_columns([image]).cast_column(image, datasets.Image(decode=False))
        for row, value in enumerate(table[label]):
            if value is None or (names is not None and value == -1):  # -1: how ClassLabel says that there is none
                raise DataError(f"row {row} of split {split_name!r} in {folder} has no label")
            name = f"{folder}/{split_name}[{row}]"
            class_name = str(value if names is None else names[value])
            rows.append((split, EncodedImage(name, partial(_image_bytes, encoded, image, row, folder)), class_name))
    classes, labels = encode_labels((class_name for _, _, class_name in rows), names, str(folder))
    return Listing(
        layout="Hugging Face datasets",
        source=f"Hugging Face datasets folder {folder.resolve()}",
        classes=classes,
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
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"can't read the dataset in {folder}: {str(error).partition(chr(10))[0]}") from error
    return dict(saved) if isinstance(saved, datasets.DatasetDict) else {TRAIN: saved}


def _columns(features: Any, datasets: Any, folder: Path) -> tuple[str, str]:
    """Names of the image column and of the label column: known by their type, the label also by its name."""
    images = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    labels = [name for name, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
    labels += [name for name in _LABEL_COLUMNS if name in features and name not in labels]
    # Of several labels (CIFAR-100 has a coarse one), the one that is named so.
    labels.sort(key=lambda name: _LABEL_COLUMNS.index(name) if name in _LABEL_COLUMNS else len(_LABEL_COLUMNS))
    if not images or not labels:
        raise DataError(
            f"no {'label' if images else 'image'} column in {folder} (there are {', '.join(features)}): "
            f"expected one of type Image, and one of type ClassLabel or named {', '.join(_LABEL_COLUMNS)}"
        )
    return images[0], labels[0]


def _image_bytes(table: Any, column: str, row: int, folder: Path) -> bytes:
    """The encoded image: from the table, else from the file that the table names. Raises OSError if there is none."""
    cell = table[row][column] or {"bytes": None, "path": None}
    if cell["bytes"] is not None:
        return bytes(cell["bytes"])
    if cell["path"] is None:
        raise OSError("the row has no image")
    return (folder / str(cell["path"])).read_bytes()
