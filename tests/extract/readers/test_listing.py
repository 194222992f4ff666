"""Labels are made of class names and numbers, in an order that is always the same."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from head2toe.extract.readers.listing import encode_labels, in_class_order, split_of
from head2toe.extract.tasks.registry import load_task
from head2toe.store.common.errors import DataError

Rows = list[dict[str, str]]


def test_labels_of_one_number_keep_their_order() -> None:
    """A set gives words in another order in every process."""
    words = ["0" * zeros + "7" for zeros in range(6)]
    assert encode_labels(words, None, "here")[0] == tuple(sorted(words))


def test_labels_are_names_or_numbers_of_the_class_file(
    rows: Rows, tmp_path: Path, write_csv: Callable[..., Path]
) -> None:
    names = ["slant", "down", "across", "none"]
    (tmp_path / "classes.txt").write_text("\n".join(names))
    by_name = load_task(str(write_csv(tmp_path / "m.csv", rows)))
    numbered = [row | {"label": str(names.index(row["label"]))} for row in rows]
    by_number = load_task(str(write_csv(tmp_path / "n.csv", numbered)))
    assert by_name.classes == by_number.classes == tuple(names)
    assert np.array_equal(by_name.labels, by_number.labels)
    rows[0]["label"] = "aslant"
    with pytest.raises(DataError, match=r"label 'aslant' in .* is none of its 4 classes"):
        load_task(str(write_csv(tmp_path / "m.csv", rows)))
    (tmp_path / "classes.txt").write_text("down\nacross\ndown\n")
    with pytest.raises(DataError, match="class 'down' stands twice"):
        load_task(str(tmp_path / "n.csv"))


@pytest.mark.parametrize(
    "names",
    [
        ["2", "10", "11"],
        ["-1", "0", "0.25", "0.5", "10"],
        ["img2", "img10", "img10b"],
        ["a", "a1b2", "a1b10", "a2"],
        ["Zebra", "apple"],
        ["9", "9" * 5000],
        ["", "1", "a"],
    ],
)
def test_class_order_counts_numbers_and_does_not_depend_on_the_order_given(names: list[str]) -> None:
    assert in_class_order(reversed(names)) == in_class_order(names) == tuple(names)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *(("Train", "train"), ("training_set", "train"), ("trainset", "train"), ("train2017", "train")),
        *(("val", "validation"), ("valid images", "validation"), ("dev", "validation"), ("val-data", "validation")),
        *(("TEST", "test"), ("test_set", "test"), ("Testing", "test"), ("test.2007", "test")),
        *((name, None) for name in ("eval", "holdout", "dataset", "trainer", "testament", "contest", "", "2017")),
    ],
)
def test_names_of_splits(name: str, split: str | None) -> None:
    assert split_of(name) == split


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (["a", "nan", "b", "NaN"], r"rows 2, 4 of here: no label"),
        (["a", ""], "row 2 of here: no label"),
        (["a", "b" * 501], "row 2 of here: a label of 501 characters is no class name"),
        (["[0]", "[1, 2]"], r"the labels in here are lists, such as \[0\]: several labels"),
    ],
)
def test_what_is_no_label_is_named_with_its_row(labels: list[str], says: str) -> None:
    with pytest.raises(DataError, match=says):
        encode_labels(labels, None, "here")


def test_numbers_beyond_the_class_names_are_refused() -> None:
    for number in ("3", "9" * 20, "9" * 500):
        with pytest.raises(DataError, match="is none of its 3 classes"):
            encode_labels(["0", number], ["x", "y", "z"], "here")
    assert encode_labels(["0", "02", "2"], ["x", "y", "z"], "here")[1] == [0, 2, 2]
    assert encode_labels(["nan", "cat"], ["cat", "nan"], "here")[1] == [1, 0], "a class that is listed is one"
