"""Saved datasets: labels count by position, and what is wrong is named."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from head2toe.extract.images.sources import image_bytes
from head2toe.extract.tasks.registry import load_task
from head2toe.extract.tasks.task import Task
from head2toe.store.common.errors import DataError

Rows = list[dict[str, str]]
Written = Callable[..., Path]


def test_class_labels_that_are_digits_in_another_order(
    image_folder: Path, tmp_path: Path, content: Callable[[Task], list[tuple[str, str]]]
) -> None:
    """A ClassLabel counts by position, whatever its names look like."""
    import datasets

    files = sorted((image_folder / "train").rglob("*.png"))
    columns = {"image": [str(file) for file in files], "label": [i // 12 for i in range(36)]}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["2", "1", "0"])})
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(str(tmp_path / "saved"))
    task = load_task(str(tmp_path / "saved"))
    assert task.classes == ("2", "1", "0")
    plain = load_task(str(image_folder / "train"))
    names = {"across": "2", "down": "1", "slant": "0"}
    assert sorted(content(task)) == sorted((digest, names[name]) for digest, name in content(plain))


def test_faults_of_a_saved_dataset_are_named(tmp_path: Path) -> None:
    import datasets

    datasets.Dataset.from_dict({"picture": ["a"], "label": [0]}).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(DataError, match=r"no image column in .*saved \(there are picture, label\)"):
        load_task(str(tmp_path / "saved"))
    (tmp_path / "saved" / "dataset_info.json").unlink()
    (tmp_path / "saved" / "state.json").write_text("{}")
    with pytest.raises(DataError, match="can't read the dataset in"):
        load_task(str(tmp_path / "saved"))
    (tmp_path / "saved" / "dataset_dict.json").write_text("[]")
    with pytest.raises(DataError, match="can't read the dataset in"):
        load_task(str(tmp_path / "saved"))


def test_a_row_without_an_image_is_an_unreadable_image(image_folder: Path, tmp_path: Path) -> None:
    import datasets

    files = sorted((image_folder / "train").rglob("*.png"))
    columns = {"image": [None, *map(str, files[1:])], "label": [path.parent.name for path in files]}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(str(tmp_path / "saved"))
    images = {image.name: image for image in load_task(str(tmp_path / "saved")).images}
    with pytest.raises(DataError, match=r"can't read image .*saved/train\[0\]: the row has no image"):
        images[f"{tmp_path / 'saved'}/train[0]"].load()


def written_repository(image_folder: Path, folder: Path, names: list[str] | None) -> Path:
    """A repository as the hub has it: Parquet files of bytes and label numbers, with or without names in the files."""
    import datasets

    for split in ("train", "test"):
        files = sorted((image_folder / split).rglob("*.png"))
        of_class = sorted({path.parent.name for path in files})
        columns = {
            "img": [{"bytes": path.read_bytes(), "path": path.name} for path in files],
            "label": [of_class.index(path.parent.name) for path in files],
        }
        label = datasets.Value("int64") if names is None else datasets.ClassLabel(names=names)
        features = datasets.Features({"img": datasets.Image(), "label": label})
        (folder / "data").mkdir(parents=True, exist_ok=True)
        table = datasets.Dataset.from_dict(columns, features=features)
        table.to_parquet(str(folder / "data" / f"{split}-00000-of-00001.parquet"), batch_size=7)
    return folder


@pytest.mark.parametrize("names_in", ["files", "card", "card with numbers"])
def test_a_repository_is_read_as_a_saved_dataset(
    image_folder: Path, tmp_path: Path, names_in: str, content: Callable[[Task], list[tuple[str, str]]]
) -> None:
    names = ["across", "down", "slant"]
    folder = written_repository(image_folder, tmp_path / "repo", names if names_in == "files" else None)
    listed = {
        "files": "license: mit",
        "card": "dataset_info:\n  features:\n  - name: img\n    dtype: image\n  - name: label\n    dtype:\n"
        "      class_label:\n        names: [across, down, slant]",
        "card with numbers": "dataset_info:\n- config_name: default\n  features:\n  - name: label\n    dtype:\n"
        "      class_label:\n        names:\n          '0': across\n          '1': down\n          '2': slant",
    }[names_in]
    (folder / "README.md").write_text(f"---\n{listed}\n---\n# A card\n")
    task = load_task(str(folder))
    plain = load_task(str(image_folder))
    assert content(task) == content(plain)
    assert (task.n_train, task.classes, task.images[-1].load().size) == (36, tuple(names), (24, 24))
    for split in ("train", "test"):  # as the hub converts data sets
        (folder / "default" / split).mkdir(parents=True)
        (folder / "data" / f"{split}-00000-of-00001.parquet").rename(folder / "default" / split / "0000.parquet")
    assert content(load_task(str(folder))) == content(plain)
    one = load_task(str(folder / "default" / "train" / "0000.parquet"))
    assert one.n_train + len(one.test_labels) == 36


def test_faults_of_a_repository_are_named(image_folder: Path, tmp_path: Path) -> None:
    folder = written_repository(image_folder, tmp_path / "repo", None)
    shutil.copytree(folder / "data", folder / "other")
    with pytest.raises(DataError, match=r"holds several configurations: name one of .*data, .*other"):
        load_task(str(folder))
    shutil.rmtree(folder / "other")
    (folder / "data" / "part.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"part\.parquet has no split in its name"):
        load_task(str(folder))
    (folder / "data" / "part.parquet").rename(folder / "data" / "train-1.parquet")
    with pytest.raises(DataError, match=r"can't read the manifest .*train-1\.parquet"):
        load_task(str(folder))
    (folder / "data" / "train-1.parquet").unlink()
    (folder / "README.md").write_text("---\na: &x [1]\nb: *x\n---\n")
    with pytest.raises(DataError, match=r"can't read .*README\.md: aliases"):
        load_task(str(folder))


@pytest.mark.parametrize("typed", [True, False])
def test_several_labels_an_image_are_refused(image_folder: Path, tmp_path: Path, typed: bool) -> None:
    import datasets

    files = sorted((image_folder / "train").rglob("*.png"))
    of_one = datasets.ClassLabel(names=["a", "b"]) if typed else datasets.Value("int64")
    columns = {"image": list(map(str, files)), "labels": [[0], [1], [0, 1]] * 12}
    features = datasets.Features({"image": datasets.Image(), "labels": datasets.Sequence(of_one)})
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(DataError, match=r"column 'labels' in .* several labels of one image are not"):
        load_task(str(tmp_path / "saved"))


@pytest.mark.parametrize("path", ["/dev/zero", "../../stripes/train/down/00.png", "gone.png"])
def test_a_saved_dataset_opens_no_file_elsewhere(tmp_path: Path, path: str) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "00.png").write_bytes(b"inside")
    with pytest.raises(OSError, match="which is no file in"):
        image_bytes({"bytes": None, "path": path}, tmp_path / "saved")
    assert image_bytes({"bytes": None, "path": "00.png"}, tmp_path / "saved") == b"inside"


def test_a_test_of_which_no_image_has_a_label_is_left_out(rows: Rows, tmp_path: Path, written: Written) -> None:
    """As competitions and the hub have them: -1 in a ClassLabel, an empty cell in a table."""
    import datasets

    saved = datasets.load_from_disk(str(written("dataset", rows, tmp_path)))
    saved["test"] = saved["test"].map(lambda _: {"label": -1})
    saved.save_to_disk(str(tmp_path / "unlabelled"))
    (tmp_path / "repository").mkdir()
    for split in saved:
        saved[split].to_parquet(str(tmp_path / "repository" / f"{split}-00000-of-00001.parquet"))
    table = written("csv", [row | ({"label": ""} if row["split"] == "test" else {}) for row in rows], tmp_path)
    for path in (tmp_path / "unlabelled", tmp_path / "repository", table):
        task = load_task(str(path))
        assert len(task.images) == 36
        assert task.notes[0].startswith("15 test images in ")
        assert task.notes[0].endswith("have no labels and are left out: head2toe predict takes them")
    rows[-1]["label"] = ""
    with pytest.raises(DataError, match="row 51: no label"):
        load_task(str(written("csv", rows, tmp_path)))


def test_a_split_of_another_name_is_read_by_nobody(rows: Rows, tmp_path: Path, written: Written) -> None:
    import datasets

    saved = datasets.load_from_disk(str(written("dataset", rows, tmp_path)))
    datasets.DatasetDict({**saved, "extra": saved["train"]}).save_to_disk(str(tmp_path / "more"))
    assert "split 'extra' in" in load_task(str(tmp_path / "more")).notes[0]
    datasets.DatasetDict({"train": saved["train"], "extra": saved["test"]}).save_to_disk(str(tmp_path / "no_test"))
    with pytest.raises(DataError, match=r"split 'extra' in .*: rename or remove it, for it may be the test"):
        load_task(str(tmp_path / "no_test"))


@pytest.mark.parametrize("extra", [{}, {"path": None}, {"width": 48, "height": 48}])
def test_images_in_a_struct_are_known_by_their_bytes(
    rows: Rows, tmp_path: Path, extra: dict[str, object], written: Written
) -> None:
    content = [
        {"image": {"bytes": (tmp_path / row["path"]).read_bytes(), **extra}, "label": row["label"]} for row in rows
    ]
    task = load_task(str(written("parquet", content, tmp_path)))
    assert [image.digest() for image in task.images[: task.n_train]]
    assert {image.load().mode for image in task.images[:3]} == {"RGB"}


def test_labels_of_bytes_are_text(rows: Rows, tmp_path: Path, written: Written) -> None:
    task = load_task(str(written("parquet", [row | {"label": row["label"].encode()} for row in rows], tmp_path)))
    assert task.classes == ("across", "down", "slant")
