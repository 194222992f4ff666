"""Tasks are read as they stand, and what is wrong with them is named."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from head2toe.extract.deploy.predict import find_images
from head2toe.extract.readers.splits import contiguous_folds, stratified_folds
from head2toe.extract.tasks.registry import load_task, registered
from head2toe.store.common.errors import BadRequest, DataError


def test_digits_is_a_thousand_rows_and_the_rest() -> None:
    task = load_task("digits")
    assert (task.n_train, len(task.test_labels), len(task.classes)) == (1000, 797, 10)
    assert len({image.digest() for image in task.images}) == 1797
    assert task.images[0].load().mode == "RGB"


def test_image_folder(image_folder: Path) -> None:
    task = load_task(str(image_folder))
    assert task.classes == ("across", "down", "slant")
    assert (task.n_train, len(task.test_labels)) == (36, 15)
    for fold in range(5):
        counts = np.bincount(task.train_labels[task.folds == fold], minlength=3)
        assert counts.max() - counts.min() <= 1, "every fold holds every class evenly"


def test_vtab_layout(vtab_folder: Callable[[], Path]) -> None:
    task = load_task(str(vtab_folder()))
    assert (task.n_train, len(task.test_labels)) == (36, 15)
    assert (np.diff(task.folds) >= 0).all(), "VTAB's folds are contiguous slices"


def test_the_same_images_have_the_same_content_in_both_layouts(
    image_folder: Path, vtab_folder: Callable[[], Path]
) -> None:
    a, b = load_task(str(image_folder)), load_task(str(vtab_folder()))
    assert {i.digest() for i in a.images} == {i.digest() for i in b.images}


def test_folds_of_a_thousand_are_the_papers() -> None:
    assert np.array_equal(contiguous_folds(1000), np.repeat(np.arange(5), 200))


def test_stratified_folds_are_even_and_seeded() -> None:
    labels = np.repeat(np.arange(30), 3)  # fewer rows than folds in each class
    folds = stratified_folds(labels, seed=0)
    assert set(np.bincount(folds)) == {18}
    assert np.array_equal(folds, stratified_folds(labels, seed=0))
    assert not np.array_equal(folds, stratified_folds(labels, seed=1))


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
    assert next(t for t in registered() if t.name == "pets").where.endswith("oxford_iiit_pet")


def test_an_unknown_task_gets_the_nearest_names() -> None:
    with pytest.raises(BadRequest, match="no task or folder 'digts': did you mean digits"):
        load_task("digts")


def test_an_empty_folder_says_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no task in .*empty: expected train800\.txt"):
        load_task(str(tmp_path / "empty"))


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


def test_faults_in_lists_are_named_with_file_and_line(vtab_folder: Callable[[], Path]) -> None:
    folder = vtab_folder()
    lines = (folder / "val200.txt").read_text().splitlines()
    for bad, says in (
        ("../stripes/train/down/00.png", "expected 'path label'"),
        ("images/none.png 1", "no such image"),
        (lines[0].rsplit(" ", 1)[0] + " 7", "names 3 classes, but the lists hold label 7"),
    ):
        (folder / "val200.txt").write_text("\n".join([*lines, bad]))
        with pytest.raises(DataError, match=says):
            load_task(str(folder))
    (folder / "test.txt").unlink()
    (folder / "val200.txt").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"can't read the list .*test\.txt"):
        load_task(str(folder))


def test_lists_and_class_names_as_editors_save_them(vtab_folder: Callable[[], Path]) -> None:
    folder = vtab_folder()
    before = load_task(str(folder))
    lines = (folder / "test.txt").read_text().splitlines()
    (folder / "test.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    (folder / "classes.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\nthree\r\n")
    task = load_task(str(folder))
    assert [image.name for image in task.images] == [image.name for image in before.images]
    assert task.classes == ("one", "two", "three")


def test_a_number_that_is_no_label_is_named(vtab_folder: Callable[[], Path]) -> None:
    """Names of as many classes would fill the memory."""
    folder = vtab_folder()
    first = (folder / "test.txt").read_text().split()[0]
    (folder / "test.txt").write_text(f"{first} 1700000000\n")
    (folder / "classes.txt").unlink()
    with pytest.raises(DataError, match="hold label 1700000000: labels count the classes from 0 on"):
        load_task(str(folder))


def test_a_list_that_is_not_utf8_is_named(vtab_folder: Callable[[], Path]) -> None:
    folder = vtab_folder()
    (folder / "test.txt").write_bytes("images/test/é.jpg 0".encode("latin-1"))
    with pytest.raises(DataError, match=r"can't read the list .*test\.txt: 'utf-8' codec"):
        load_task(str(folder))


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


def test_a_pattern_finds_files_alone(image_folder: Path) -> None:
    found = find_images([str(image_folder / "train" / "**")])
    assert [image.path for image in found] == sorted(image_folder.glob("train/*/*.png"))


def test_without_test_images_a_part_is_held_out_and_said(image_folder: Path) -> None:
    shutil.rmtree(image_folder / "test")
    task = load_task(str(image_folder))
    assert (task.n_train, len(task.test_labels)) == (30, 6)
    assert (np.bincount(task.test_labels) == 2).all()
    assert task.notes == ("no test images: 6 of 36 rows are held out as the test (stratified, seed 0)",)
    other = load_task(str(image_folder), seed=1)
    assert [i.name for i in other.images[30:]] != [i.name for i in task.images[30:]]


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
