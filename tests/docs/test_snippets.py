"""The files and folders that the documentation draws are read as it says."""

import csv
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaml
from head2toe.extract.readers import formats
from head2toe.extract.tasks import task_files
from PIL import Image

if TYPE_CHECKING:
    from conftest import Block

ROOT = Path(__file__).parents[2]
OwnData = Callable[[str], str]


@pytest.fixture
def own_data(blocks_of: "Callable[[Path], list[Block]]") -> OwnData:
    """The one block of docs/tasks.md that holds a text."""

    def find(text: str) -> str:
        (content,) = [block.text for block in blocks_of(ROOT / "docs" / "tasks.md") if text in block.text]
        return content

    return find


def picture(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), len(str(file)) % 256, dtype=np.uint8)).save(file)
    return file


def shard(file: Path, labels: tuple[str, ...]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    content = picture(file.with_suffix(".png")).read_bytes()
    file.with_suffix(".png").unlink()
    with tarfile.open(file, "w") as tar:
        for i, label in enumerate(labels):
            for name, data in ((f"{i}.png", content), (f"{i}.cls", label.encode())):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def columns(text: str) -> list[list[str]]:
    """Two layouts that are drawn side by side; the second may be shorter."""
    rows = [[word for word in line.split() if word != "or"] for line in text.splitlines()]
    return [[row[i] for row in rows if len(row) > i] for i in range(2)]


def test_image_folders(own_data: OwnData, tmp_path: Path) -> None:
    with_splits, flat = columns(own_data("my_task/train/cat"))
    for number, (names, n_test) in enumerate(((with_splits, 1), (flat, 0))):
        for name in names:
            picture(file := tmp_path / str(number) / name)
            picture(file.with_name(f"another {file.name}"))  # the least that a class may have
        read = formats.read(tmp_path / str(number) / "my_task")
        assert (read.layout, read.classes) == ("ImageFolder", ("cat", "dog"))
        assert (len(read.train), len(read.test)) == (2 * (len(names) - n_test), 2 * n_test)


def test_shards(own_data: OwnData, tmp_path: Path) -> None:
    for number, names in enumerate(columns(own_data("my_task/pets-train"))):
        for name in names:
            shard(tmp_path / str(number) / name, ("cat", "dog"))
        read = formats.read(tmp_path / str(number) / "my_task")
        assert (read.layout, read.classes) == ("WebDataset", ("cat", "dog"))
        assert (len(read.train), len(read.test)) == (2, 2)


def test_a_manifest(own_data: OwnData, tmp_path: Path) -> None:
    text = own_data("path,label,split")
    rows = list(csv.DictReader(io.StringIO(text)))
    for row in rows:
        picture(tmp_path / row["path"])
    (tmp_path / "manifest.csv").write_text(text)
    read = formats.read(tmp_path / "manifest.csv")
    assert [read.classes[label] for _, label in read.train + read.test] == [row["label"] for row in rows]
    assert len(read.test) == 1


def test_a_task_file(own_data: OwnData, tmp_path: Path) -> None:
    text = own_data("path: ../photos")
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "my_task.yaml").write_text(text)
    file = task_files.find("my_task")
    assert file is not None
    read, document = task_files.load(file), yaml.safe_load(text)
    assert read.path.resolve() == (tmp_path / "photos" / "manifest.csv").resolve()
    assert list(read.classes or ()) == document["classes"]
    assert (read.folds, read.group, read.seed, read.name) == (
        document["folds"],
        document["group"],
        document["seed"],
        document["name"],
    )
    assert set(document) == set(task_files.FIELDS), "every field is shown"
