"""VTAB-1k's lists are read as they stand, and what is wrong in them is named with file and line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from head2toe.extract.tasks.registry import load_task
from head2toe.store.common.errors import DataError


def test_vtab_layout(vtab_folder: Callable[[], Path]) -> None:
    task = load_task(str(vtab_folder()))
    assert (task.n_train, len(task.test_labels)) == (36, 15)
    assert (np.diff(task.folds) >= 0).all(), "VTAB's folds are contiguous slices"


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
    with pytest.raises(DataError, match=r"test\.txt:1: label 1700000000: labels count the classes from 0 on"):
        load_task(str(folder))
    (folder / "test.txt").write_text(f"{first} {'9' * 5000}\n")  # more digits than Python makes a number of
    with pytest.raises(DataError, match=r"test\.txt:1: label 9{40}: labels count"):
        load_task(str(folder))


def test_a_list_that_is_not_utf8_is_named(vtab_folder: Callable[[], Path]) -> None:
    folder = vtab_folder()
    (folder / "test.txt").write_bytes("images/test/é.jpg 0".encode("latin-1"))
    with pytest.raises(DataError, match=r"can't read the list .*test\.txt: 'utf-8' codec"):
        load_task(str(folder))
