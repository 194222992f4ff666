"""Task files: a name for images of one's own."""

from pathlib import Path

import numpy as np
import pytest
from head2toe.extract.tasks.registry import load_task, named_tasks
from head2toe.store.common.errors import BadRequest, DataError


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def test_a_name_for_a_folder(image_folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "tasks" / "mine.yaml", "path: ../stripes\ngroup: structured\n")
    task = load_task("mine")
    assert (task.name, task.group, task.n_train) == ("mine", "structured", 36)
    assert task.classes == load_task(str(image_folder)).classes


@pytest.mark.usefixtures("image_folder")
@pytest.mark.parametrize("suffix", ["yaml", "yml"])
def test_found_below_the_data_root_and_as_a_path(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEAD2TOE_DATA", str(tmp_path / "data"))
    file = write(tmp_path / "data" / f"mine.{suffix}", "path: ../stripes\nname: stripes-2\n")
    for given in ("mine", str(file), f"data/mine.{suffix}"):
        assert load_task(given).name == "stripes-2"


@pytest.mark.usefixtures("image_folder")
def test_classes_folds_and_seed(tmp_path: Path) -> None:
    text = "path: ../stripes\nclasses: [slant, none, down, across]\nfolds: vtab5\nseed: 3\n"
    write(tmp_path / "tasks" / "mine.yaml", text)
    task = load_task("mine")
    assert task.classes == ("slant", "none", "down", "across")
    assert np.bincount(task.labels, minlength=4).tolist() == [17, 0, 17, 17]
    assert "/slant/" in task.images[int(np.flatnonzero(task.labels == 0)[0])].name
    assert (np.diff(task.folds) >= 0).all()
    # What is said on the command line comes first.
    stratified = load_task("mine", folds="stratified").folds
    assert np.array_equal(stratified, load_task("mine", folds="stratified", seed=5).folds), "the file's seed"
    assert not np.array_equal(stratified, load_task("stripes", folds="stratified", seed=5).folds)


def test_names_for_numbers(image_folder: Path, tmp_path: Path) -> None:
    for split in ("train", "test"):
        for number, name in enumerate(("across", "down", "slant")):
            (image_folder / split / name).rename(image_folder / split / str(number))
    write(tmp_path / "tasks" / "mine.yaml", "path: ../stripes\nclasses: [a, b, c]\n")
    assert load_task("mine").classes == ("a", "b", "c")


@pytest.mark.usefixtures("image_folder")
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("path: ../stripes\ncolour: red\n", "unknown field 'colour': known are path, classes"),
        ("classes: [a, b]\n", "has no path"),
        ("- a\n", "is no mapping"),
        ("", "is no mapping"),
        ("path: [unclosed\n", "can't read the task file"),
        ("path: gone\n", "points to .*gone, which does not exist"),
        ("path: 3\n", "path in the task file .* is 3: expected a path"),
        ("path: ../stripes\nfolds: ten\n", "folds in .* is 'ten': expected one of auto"),
        ("path: ../stripes\nfolds: 1\n", "folds in .* is 1: expected one of auto"),
        ("path:\n- &a [x, x]\n- [*a, *a]\n", "can't read the task file .*: aliases"),
        ("path: " + "[" * 3000, "can't read the task file .*: it is nested too deeply"),
        ("path: ../stripes\nseed: " + "9" * 5000, "can't read the task file .*: Exceeds the limit"),
        ("path: ../stripes\nseed: 2026-02-31\n", "can't read the task file .*: day is out of range"),
        ("path: ../stripes\nname: " + "x/" * 9000, r"name in the task file .* is 'x/.*\.\.\..*x/': expected letters"),
        ("x: " + "y" * 100_001, "can't read the task file .*: 100,004 characters"),
        ("path: ../stripes\nseed: -1\n", "seed in .* is -1"),
        ("path: ../stripes\nseed: 4294967296\n", "seed in .* is 4294967296"),
        ("path: ../stripes\nname: a/b\n", "name in .* is 'a/b'"),
        ("path: ../stripes\nclasses: [yes, no]\n", "classes in .* expected a list of names"),
        ("path: ../stripes\nclasses: [across, down]\n", "names 2 classes, but .* has a class 'slant'"),
        ("path: ../stripes\nclasses: [across, down, down]\n", "class 'down' stands twice in"),
    ],
)
def test_faults_are_one_line(text: str, says: str, tmp_path: Path) -> None:
    write(tmp_path / "tasks" / "mine.yaml", text)
    with pytest.raises(DataError, match=says) as caught:
        load_task("mine")
    assert len(str(caught.value).splitlines()) == 1
    assert str(Path("tasks") / "mine.yaml") in str(caught.value)


@pytest.mark.usefixtures("image_folder")
def test_listed_with_the_others(tmp_path: Path) -> None:
    write(tmp_path / "tasks" / "mine.yaml", "path: ../stripes\nclasses: [across, down, slant]\n")
    write(tmp_path / "tasks" / "bad.yaml", "path: ../stripes\ncolour: red\n")
    write(tmp_path / "data" / "mine.yml", "path: elsewhere\n")
    listed = {task.name: task for task in named_tasks()}
    assert (listed["mine"].n_classes, listed["mine"].where) == (3, str(Path("tasks") / "mine.yaml"))
    assert "unknown field 'colour'" in listed["bad"].where
    assert "digits" in listed
    with pytest.raises(BadRequest, match="did you mean mine"):
        load_task("mime")


@pytest.mark.usefixtures("image_folder")
def test_a_task_file_says_where_a_known_name_is(tmp_path: Path) -> None:
    write(tmp_path / "tasks" / "dtd.yaml", "path: ../stripes\n")
    assert load_task("dtd").n_train == 36
    assert [task.name for task in named_tasks()].count("dtd") == 1
