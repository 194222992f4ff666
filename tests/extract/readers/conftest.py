"""The striped images in every format that a task can come in."""

import csv
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from head2toe.extract.tasks.task import Task

Rows = list[dict[str, str]]


@pytest.fixture
def rows(image_folder: Path) -> Rows:
    """The striped images as rows of a manifest in the folder above them."""
    images = []
    for path in sorted(image_folder.rglob("*.png")):
        split, name = path.parts[-3:-1]
        images.append({"path": str(path.relative_to(image_folder.parent)), "label": name, "split": split})
    return images


@pytest.fixture
def write_csv() -> Callable[..., Path]:
    """`write_csv(file, rows, delimiter=",")`."""
    return _write_csv


@pytest.fixture
def write_parquet() -> Callable[..., Path]:
    """`write_parquet(file, rows)`."""
    return _write_parquet


@pytest.fixture
def write_shards() -> Callable[..., Path]:
    """`write_shards(folder, rows, root)`: WebDataset shards of the images below a root."""
    return _write_shards


@pytest.fixture
def add_member() -> Callable[..., None]:
    """`add_member(tar, name, content)`."""
    return _add_member


@pytest.fixture
def written() -> Callable[..., Path]:
    """`written(format, rows, root)`: the images below a root in a format."""
    return _written


@pytest.fixture
def content() -> Callable[[Task], list[tuple[str, str]]]:
    """Digest and class name of every row of a task, sorted within training and test rows."""

    def pairs(task: Task) -> list[tuple[str, str]]:
        every = [(i.digest(), task.classes[label]) for i, label in zip(task.images, task.labels, strict=True)]
        return sorted(every[: task.n_train]) + sorted(every[task.n_train :])

    return pairs


def _write_csv(file: Path, rows: Rows, delimiter: str = ",") -> Path:
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return file


def _write_parquet(file: Path, rows: Rows) -> Path:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist(rows), file)
    return file


def _write_shards(folder: Path, rows: Rows, root: Path) -> Path:
    """A shard for each split, 20 samples at most, `<key>.png` beside `<key>.cls`."""
    folder.mkdir()
    for split in ("train", "test"):
        mine = [row for row in rows if row["split"] == split]
        for start in range(0, len(mine), 20):
            with tarfile.open(folder / f"stripes-{split}-{start:06d}.tar", "w") as tar:
                for i, row in enumerate(mine[start : start + 20], start=start):
                    _add_member(tar, f"{i:05d}.png", (root / row["path"]).read_bytes())
                    _add_member(tar, f"{i:05d}.cls", row["label"].encode())
    return folder


def _add_member(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _write_dataset(folder: Path, rows: Rows, root: Path, *, typed: bool = True) -> Path:
    """`save_to_disk` of a DatasetDict; without `typed`, labels are words and not a ClassLabel."""
    import datasets

    names = sorted({row["label"] for row in rows})
    kind = datasets.ClassLabel(names=names) if typed else datasets.Value("string")
    parts = {}
    for split in ("train", "test"):
        mine = [row for row in rows if row["split"] == split]
        columns = {
            "image": [{"bytes": (root / row["path"]).read_bytes(), "path": None} for row in mine],
            "label": [row["label"] for row in mine],
        }
        features = datasets.Features({"image": datasets.Image(), "label": kind})
        parts[split] = datasets.Dataset.from_dict(columns, features=features)
    datasets.DatasetDict(parts).save_to_disk(str(folder))
    return folder


def _written(format: str, rows: Rows, root: Path) -> Path:
    match format:
        case "csv":
            return _write_csv(root / "m.csv", rows)
        case "semicolons":
            return _write_csv(root / "m.csv", rows, ";")
        case "tsv":
            return _write_csv(root / "m.tsv", rows, "\t")
        case "parquet":
            return _write_parquet(root / "m.parquet", rows)
        case "webdataset":
            return _write_shards(root / "shards", rows, root)
        case "dataset":
            return _write_dataset(root / "saved", rows, root)
        case _:
            return _write_dataset(root / "saved", rows, root, typed=False)
