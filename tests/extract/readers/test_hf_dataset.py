"""Saved datasets: labels count by position, and what is wrong is named."""

from collections.abc import Callable
from pathlib import Path

import pytest
from head2toe.extract.tasks.registry import load_task
from head2toe.extract.tasks.task import Task
from head2toe.store.common.errors import DataError


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
