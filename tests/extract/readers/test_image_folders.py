"""Class folders, with and without splits above them, are a task."""

import shutil
import unicodedata
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


@pytest.mark.parametrize("name", ["test_set", "Test2017", "test-images", "Testing Data", "test1"])
def test_other_spellings_of_a_split_are_understood_and_said(image_folder: Path, name: str) -> None:
    before = load_task(str(image_folder))
    digests = [image.digest() for image in before.images]
    (image_folder / "train").rename(image_folder / "training_set")
    (image_folder / "test").rename(image_folder / name)
    task = load_task(str(image_folder))
    assert [image.digest() for image in task.images] == digests
    assert np.array_equal(task.labels, before.labels)
    assert task.notes == (
        f"{image_folder / 'training_set'} is read as the train split",
        f"{image_folder / name} is read as the test split",
    )


@pytest.mark.parametrize("name", ["eval", "holdout", "private"])
def test_classes_in_a_folder_of_another_name_are_no_test_left_unread(image_folder: Path, name: str) -> None:
    (image_folder / "test").rename(image_folder / name)
    with pytest.raises(DataError, match=rf"{name} beside train holds folders of classes \(across, down, s.* rename"):
        load_task(str(image_folder))
    shutil.copytree(image_folder / name, image_folder / "test")
    (note,) = load_task(str(image_folder)).notes
    assert note.startswith(f"{image_folder / name} holds 15 images that are not read")


def test_two_folders_of_one_split_are_refused(image_folder: Path) -> None:
    shutil.copytree(image_folder / "test", image_folder / "test_images")
    with pytest.raises(DataError, match=r"test and .*test_images are both named like the test split"):
        load_task(str(image_folder))


@pytest.mark.parametrize("helper", ["__MACOSX", "@eaDir", "$RECYCLE.BIN", "lost+found", ".ipynb_checkpoints"])
@pytest.mark.parametrize("place", [".", "train", "train/across"])
def test_folders_that_systems_leave_are_no_classes(image_folder: Path, helper: str, place: str) -> None:
    before = [image.name for image in load_task(str(image_folder)).images]
    shutil.copytree(image_folder / "train" / "down", image_folder / place / helper / "down")
    task = load_task(str(image_folder))
    assert (task.classes, [image.name for image in task.images]) == (("across", "down", "slant"), before)


def test_linked_classes_are_followed_and_a_link_upwards_is_no_class(image_folder: Path, tmp_path: Path) -> None:
    before = load_task(str(image_folder))
    (image_folder / "train" / "down").rename(tmp_path / "elsewhere")
    (image_folder / "train" / "down").symlink_to(tmp_path / "elsewhere")
    (image_folder / "train" / "loop").symlink_to(image_folder / "train")
    (image_folder / "train" / "up").symlink_to("..")
    task = load_task(str(image_folder))
    assert task.classes == before.classes
    assert [image.digest() for image in task.images] == [image.digest() for image in before.images]


def test_accents_written_in_two_ways_are_one_class(image_folder: Path) -> None:
    name = "café"
    for split, form in (("train", "NFC"), ("test", "NFD")):
        (image_folder / split / "down").rename(image_folder / split / unicodedata.normalize(form, name))
    spare = image_folder / "train" / unicodedata.normalize("NFD", name)
    spare.mkdir()
    first = next((image_folder / "train" / unicodedata.normalize("NFC", name)).iterdir())
    first.rename(spare / first.name)
    task = load_task(str(image_folder))
    assert task.classes == ("across", unicodedata.normalize("NFC", name), "slant")
    assert (np.bincount(task.labels) == 17).all()


def test_numbers_in_class_names_count(image_folder: Path) -> None:
    for split in ("train", "test"):
        for old, new in (("across", "2"), ("down", "10"), ("slant", "1")):
            (image_folder / split / old).rename(image_folder / split / new)
    assert load_task(str(image_folder)).classes == ("1", "2", "10")


def test_a_test_among_class_folders_is_no_class(image_folder: Path) -> None:
    for folder in (image_folder / "train").iterdir():
        folder.rename(image_folder / folder.name)
    (image_folder / "train").rmdir()
    with pytest.raises(DataError, match=r"test stands among class folders and holds folders of the same classes"):
        load_task(str(image_folder))
    for number, file in enumerate(sorted((image_folder / "test").rglob("*.png"))):
        file.rename(image_folder / "test" / f"{number}.png")
    for name in ("across", "down", "slant"):
        (image_folder / "test" / name).rmdir()
    task = load_task(str(image_folder))
    assert task.classes == ("across", "down", "slant", "test")
    assert task.notes[0] == f"{image_folder / 'test'} is read as a class, for it stands among class folders"


@pytest.mark.parametrize(
    ("places", "says"),
    [
        ({"train": "archive/train", "test": "archive/test"}, r"the class folders are in .*archive: pass its path"),
        (
            {"train": "seg_train/seg_train", "test": "seg_test/seg_test"},
            r"seg_test, .*seg_train: .* the one to train on",
        ),
        ({"train": "A/train", "test": "B/train"}, r"class folders are in .*A, .*B: pass the path of one$"),
        (
            {"train": "train/train", "test": "test/test"},
            r"train/train is the only class folder.*move them up to .*train$",
        ),
        ({"train/down": "train", "test": "test"}, r"the images in .*train are in no class folders"),
        ({"train/down": "down"}, r"down is the only folder of images"),
    ],
)
def test_class_folders_at_another_place_are_pointed_to(
    image_folder: Path, tmp_path: Path, places: dict[str, str], says: str
) -> None:
    for old, new in places.items():
        shutil.copytree(image_folder / old, tmp_path / "task" / new)
    with pytest.raises(DataError, match=says):
        load_task(str(tmp_path / "task"))


def test_a_linked_class_that_is_gone_is_counted(image_folder: Path) -> None:
    (image_folder / "train" / "bird").symlink_to("nowhere")
    assert load_task(str(image_folder)).notes[0].endswith("is left out (broken links 1)")


@pytest.mark.parametrize(("one", "other"), [("cat", "Cat"), ("cat", "cat "), ("1", "01"), ("big cat", "big_cat")])
def test_classes_that_may_be_one_are_named(image_folder: Path, one: str, other: str) -> None:
    for old, new in (("across", one), ("down", other)):
        for split in ("train", "test"):
            (image_folder / split / old).rename(image_folder / split / new)
    note = next(note for note in load_task(str(image_folder)).notes if note.startswith("classes that differ"))
    assert repr(one) in note
    assert repr(other) in note
