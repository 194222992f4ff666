"""VTAB-1k's tasks are read from the community's folders, from copies that are not whole, and after a download."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from head2toe.extract.tasks.registry import load_task, named_tasks
from head2toe.extract.vtab import from_torchvision
from head2toe.extract.vtab.tasks import VTAB_NAMES, VTAB_TASKS, VtabTask, find_vtab_task
from head2toe.store.common.errors import BadRequest, DataError
from PIL import Image

N_TEST = 40


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds `vtab-1k/` with all nineteen tasks: small images, VTAB's numbers of rows and classes."""
    root = tmp_path_factory.mktemp("data")
    for number, task in enumerate(VTAB_TASKS):
        rng = np.random.default_rng(number)
        folder = root / "vtab-1k" / task.folder
        lists = {"train800": 800, "val200": 200, "test": N_TEST}
        labels = rng.permutation(np.arange(1000) % task.n_classes).tolist() + [0] * N_TEST
        lines: dict[str, list[str]] = {}
        for split, count in lists.items():
            (folder / "images" / split).mkdir(parents=True)
            for i in range(count):
                name = f"images/{split}/{i:06d}.jpg"
                lines.setdefault(split, []).append(f"{name} {labels.pop(0)}")
                if i == 0:
                    pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                    Image.fromarray(pixels).save(folder / name)
                else:
                    (folder / name).hardlink_to(folder / f"images/{split}/{0:06d}.jpg")
        lines["train800val200"] = lines["train800"] + lines["val200"]
        for split, rows in lines.items():
            (folder / f"{split}.txt").write_text("\n".join(rows) + "\n")
    return root


@pytest.mark.parametrize("name", VTAB_NAMES)
def test_a_whole_tree_is_read_task_by_task(name: str, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEAD2TOE_DATA", str(tree))
    entry = find_vtab_task(name)
    assert entry is not None
    task = load_task(name)
    assert (task.name, task.group) == (name, entry.group)
    assert (task.n_train, len(task.test_labels), len(task.classes)) == (1000, N_TEST, entry.n_classes)
    assert np.array_equal(task.folds, np.repeat(np.arange(5), 200)), "five slices, the paper's"
    assert np.bincount(task.train_labels).tolist() == np.bincount(np.arange(1000) % entry.n_classes).tolist()
    assert not task.notes
    assert task.provenance["layout"] == "VTAB-1k lists"
    assert task.images[0].load().size == (8, 8)


def test_the_list_of_tasks_says_where_they_are(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEAD2TOE_DATA", str(tree))
    where = {task.name: task.where for task in named_tasks()}
    assert {name: Path(where[name]).parent for name in VTAB_NAMES} == dict.fromkeys(VTAB_NAMES, tree / "vtab-1k")


def test_a_small_copy_works_and_a_note_says_how_it_differs(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEAD2TOE_DATA", str(tmp_path))
    folder = tmp_path / "vtab-1k" / "dtd"
    shutil.copytree(tree / "vtab-1k" / "dtd", folder)
    (folder / "train800val200.txt").unlink()
    lines = [line for line in (folder / "train800.txt").read_text().splitlines() if not line.endswith(" 7")]
    (folder / "train800.txt").write_text("\n".join(lines[:500]))
    lines = [line for line in (folder / "val200.txt").read_text().splitlines() if not line.endswith(" 7")]
    (folder / "val200.txt").write_text("\n".join(lines))
    task = load_task("DTD")
    assert task.n_train == 500 + len(lines)
    assert len(task.classes) == 47
    assert task.notes == (
        f"{task.n_train} training images: VTAB-1k's dtd has 1000 (800 and 200)",
        "1 of 47 classes of dtd have no training image",
    )
    (folder / "classes.txt").write_text("\n".join(f"class {i}" for i in range(48)))
    assert "48 classes: VTAB-1k's dtd has 47" in load_task("dtd").notes


def test_a_label_beyond_the_classes_is_refused(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEAD2TOE_DATA", str(tmp_path))
    folder = tmp_path / "kitti"
    shutil.copytree(tree / "vtab-1k" / "kitti", folder)
    (folder / "test.txt").write_text("images/test/000000.jpg 4\n")
    with pytest.raises(DataError, match=r"the lists in .*kitti hold label 4, but the task has 4 classes"):
        load_task("kitti")


def test_missing_data_says_where_what_and_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEAD2TOE_DATA", str(tmp_path / "data"))
    with pytest.raises(DataError) as caught:
        load_task("Pets")
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    looked = (tmp_path / "data" / "vtab-1k" / "oxford_iiit_pet", tmp_path / "data" / "oxford_iiit_pet")
    assert all(str(folder) in message for folder in looked)
    assert "train800.txt, val200.txt, test.txt with lines like 'images/train800/000000.jpg 23'" in message
    assert all(way in message for way in ("HEAD2TOE_DATA", "--download tfds", "--download torchvision"))
    with pytest.raises(DataError, match="--download tfds") as caught:
        load_task("dmlab")
    assert "torchvision" not in str(caught.value), "it has no such dataset"
    (tmp_path / "pets").mkdir()
    with pytest.raises(DataError, match=r"is read as \./pets"):
        load_task("pets")


def test_a_download_is_asked_for_and_done_once(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEAD2TOE_DATA", str(tmp_path))
    asked: list[str] = []

    def materialise(task: VtabTask, root: Path) -> Path:
        asked.append(task.name)
        folder = root / "vtab-1k" / task.folder
        shutil.copytree(tree / "vtab-1k" / task.folder, folder)
        (folder / "SOURCE.json").write_text(json.dumps({"source": "torchvision", "rows": "drawn anew, seed 0"}))
        return folder

    monkeypatch.setattr(from_torchvision, "materialise", materialise)
    with pytest.raises(DataError, match="no data for task svhn"):
        load_task("svhn")
    for _ in range(2):
        task = load_task("svhn", download="torchvision")
        assert task.n_train == 1000
        assert task.provenance == {"source": "torchvision", "rows": "drawn anew, seed 0", "layout": "VTAB-1k lists"}
        assert task.source.endswith("(from torchvision)")
        assert task.notes == ("the rows are drawn anew, seed 0",)
    assert asked == ["svhn"], "a folder that is there comes first"
    with pytest.raises(BadRequest, match="unknown download 'hub'"):
        load_task("svhn", download="hub")
