"""Class folders, with and without splits above them, are a task."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from head2toe.extract.deploy.predict import find_images
from head2toe.extract.tasks.registry import load_task
from head2toe.store.common.errors import DataError


def test_image_folder(image_folder: Path) -> None:
    task = load_task(str(image_folder))
    assert task.classes == ("across", "down", "slant")
    assert (task.n_train, len(task.test_labels)) == (36, 15)
    for fold in range(5):
        counts = np.bincount(task.train_labels[task.folds == fold], minlength=3)
        assert counts.max() - counts.min() <= 1, "every fold holds every class evenly"


def test_validation_images_are_training_rows(image_folder: Path) -> None:
    for name in ("across", "down", "slant"):
        (image_folder / "val" / name).mkdir(parents=True)
        for file in sorted((image_folder / "train" / name).iterdir())[:4]:
            file.rename(image_folder / "val" / name / file.name)
    task = load_task(str(image_folder))
    assert (task.n_train, len(task.test_labels)) == (36, 15)


def test_class_folders_alone_are_a_task(image_folder: Path) -> None:
    task = load_task(str(image_folder / "train"))
    assert (task.n_train, len(task.test_labels), task.classes) == (30, 6, ("across", "down", "slant"))
    assert "held out as the test" in task.notes[0]


def test_a_class_with_one_image_is_named(image_folder: Path) -> None:
    for file in sorted((image_folder / "train" / "down").iterdir())[1:]:
        file.unlink()
    with pytest.raises(DataError, match="class 'down' has 1 image in"):
        load_task(str(image_folder))


def test_what_the_system_leaves_among_images_is_no_image(image_folder: Path) -> None:
    before = load_task(str(image_folder))
    folder = image_folder / "train" / "across"
    (folder / "._0.png").write_bytes(b"\x00\x05\x16\x07")  # macOS, on a disk that isn't its own
    (folder / ".DS_Store").write_bytes(b"Bud1")
    (folder / ".ipynb_checkpoints").mkdir()
    shutil.copy(next(folder.glob("*.png")), folder / ".ipynb_checkpoints" / "0-checkpoint.png")
    assert [i.name for i in load_task(str(image_folder)).images] == [i.name for i in before.images]
    assert {i.name for i in find_images([str(image_folder)])} == {i.name for i in before.images}


def test_what_is_left_out_is_counted_in_a_note(image_folder: Path) -> None:
    assert load_task(str(image_folder)).notes == ()
    (image_folder / "train" / "across" / "scan.PDF").write_bytes(b"%PDF-1.4")
    (image_folder / "train" / "down" / "0004").write_bytes(b"no suffix")
    shutil.copy(next(image_folder.rglob("*.png")), image_folder / "train" / "beside.png")
    (note,) = load_task(str(image_folder)).notes
    assert note.startswith(f"3 files of {image_folder} are left out")
    assert all(f"{kind} 1" in note for kind in (".pdf", "without a suffix", "beside the class folders"))


def test_a_class_of_files_that_are_not_read_is_an_error_that_counts_them(image_folder: Path) -> None:
    for file in (image_folder / "train" / "down").iterdir():
        file.rename(file.with_suffix(".h5"))
    with pytest.raises(DataError, match=r"class 'down' has 0 images .* files of .* are left out \(\.h5 \d+\)"):
        load_task(str(image_folder))
