"""Tasks are found by name and by path, and a name that is none gets the nearest ones."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from head2toe.extract.deploy.predict import find_images
from head2toe.extract.tasks.registry import load_task, named_tasks
from head2toe.store.common.errors import BadRequest, DataError


def test_vtab_tasks_are_found_below_the_data_root(
    vtab_folder: Callable[[], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEAD2TOE_DATA", str(tmp_path / "data"))
    with pytest.raises(DataError, match=r"no data for task pets: looked in .*oxford_iiit_pet"):
        load_task("pets")
    (tmp_path / "data" / "vtab-1k").mkdir(parents=True)
    shutil.move(vtab_folder(), tmp_path / "data" / "vtab-1k" / "oxford_iiit_pet")
    shutil.copytree(tmp_path / "stripes", tmp_path / "data" / "vtab-1k" / "stripes")
    assert load_task("pets").name == load_task("oxford_iiit_pet").name == "pets"
    assert next(t for t in named_tasks() if t.name == "pets").where.endswith("oxford_iiit_pet")


def test_an_unknown_task_gets_the_nearest_names() -> None:
    with pytest.raises(BadRequest, match="no task or folder 'digts': did you mean digits"):
        load_task("digts")


def test_a_tilde_that_names_nobody_is_part_of_a_name(image_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = next(image_folder.rglob("*.png"))
    monkeypatch.chdir(image_folder)
    rows = "".join(f"{path},{path.parent.name}\n" for path in sorted(image_folder.glob("train/*/*.png")))
    shutil.copy(image, image_folder / "~nobody.png")
    (image_folder / "m.csv").write_text(f"path,label\n~nobody.png,down\n{rows}")
    load_task(str(image_folder / "m.csv")).images[0].digest()
    assert find_images(["~nobody.png"])[0].digest() == hashlib.sha256(image.read_bytes()).hexdigest()
    with pytest.raises(BadRequest, match="no task or folder '~nobody/x'"):
        load_task("~nobody/x")
    monkeypatch.setenv("HOME", str(image_folder))
    assert len(find_images(["~/train/down/*.png"])) == len(list(image_folder.glob("train/down/*.png")))


@pytest.mark.parametrize(
    ("name", "classes", "train", "test"),
    [
        ("blood_cells", 4, 1000, 500),
        ("caltech101", 102, 1000, 1000),
        ("cifar100", 100, 1000, 1000),
        ("coil20_azimuth", 18, 990, 450),
        ("dtd10", 10, 900, 300),
        ("nlvr_count", 7, 1000, 1000),
        ("rsscn7", 7, 1000, 600),
    ],
)
def test_real_tasks_have_the_right_counts(shared_data: Path, name: str, classes: int, train: int, test: int) -> None:
    task = load_task(str(shared_data / name))
    assert (len(task.classes), task.n_train, len(task.test_labels)) == (classes, train, test)
