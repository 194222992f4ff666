"""Labels are made of class names and numbers, in an order that is always the same."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from head2toe.extract.readers.listing import encode_labels
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
