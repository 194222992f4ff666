"""Manifests: columns are kept, and what is wrong in a row or a column is named."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from head2toe.extract.tasks.registry import load_task
from head2toe.store.common.errors import DataError

Rows = list[dict[str, str]]


def test_a_column_fold_is_kept(rows: Rows, tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    for i, row in enumerate(rows):
        row["fold"] = ("10", "20", "30")[i % 3] if row["split"] == "train" else ""
    path = write_csv(tmp_path / "m.csv", rows)
    task = load_task(str(path))
    expected = [i % 3 for i, row in enumerate(rows) if row["split"] == "train"]
    assert task.folds.tolist() == expected
    assert load_task(str(path), folds="stratified").folds.max() == 4
    assert (np.diff(load_task(str(path), folds="vtab5").folds) >= 0).all()


def test_a_group_on_both_sides_is_refused(rows: Rows, tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    for row in rows:
        row["group"] = "one"
    with pytest.raises(DataError, match=r"group 'one' in .*m\.csv has training and test rows"):
        load_task(str(write_csv(tmp_path / "m.csv", rows)))


@pytest.mark.parametrize(
    ("row", "changes", "says"),
    [
        (3, {"path": "gone.png"}, r"m\.csv, row 4: no such image: .*gone\.png"),
        (3, {"label": ""}, r"m\.csv, row 4: no label"),
        (0, {"path": ""}, r"m\.csv, row 1: no path"),
        (5, {"split": "tets"}, r"m\.csv, row 6: split 'tets' is none of train"),
    ],
)
def test_bad_rows_of_a_manifest_are_named(
    rows: Rows, tmp_path: Path, row: int, changes: dict[str, str], says: str, write_csv: Callable[..., Path]
) -> None:
    rows[row] |= changes
    with pytest.raises(DataError, match=says):
        load_task(str(write_csv(tmp_path / "m.csv", rows)))


def test_bad_columns_of_a_manifest_are_named(
    rows: Rows, tmp_path: Path, write_csv: Callable[..., Path], write_parquet: Callable[..., Path]
) -> None:
    train = [row | {"fold": "1"} for row in rows]
    with pytest.raises(DataError, match=r"column fold in .* has one value"):
        load_task(str(write_csv(tmp_path / "m.csv", train)))
    train[-1]["fold"] = ""
    with pytest.raises(DataError, match="no fold, but other rows have one"):
        load_task(str(write_csv(tmp_path / "m.csv", train)))
    unlabelled = [{"path": row["path"], "kind": row["label"]} for row in rows]
    for path in (write_csv(tmp_path / "m.csv", unlabelled), write_parquet(tmp_path / "m.parquet", unlabelled)):
        with pytest.raises(DataError, match=r"no column 'label' in .* \(there are path, kind\)"):
            load_task(str(path))
    (tmp_path / "m.csv").write_text("")
    with pytest.raises(DataError, match=r"no column 'path' in .* \(there are none\)"):
        load_task(str(tmp_path / "m.csv"))
    (tmp_path / "m.csv").write_text("path,label\n")
    with pytest.raises(DataError, match="has no rows"):
        load_task(str(tmp_path / "m.csv"))
    (tmp_path / "m.csv").write_bytes(b"path,label\n\xff\xfe,x\n")
    with pytest.raises(DataError, match="can't read the manifest"):
        load_task(str(tmp_path / "m.csv"))
    (tmp_path / "m.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match=r"can't read the manifest .*m\.parquet"):
        load_task(str(tmp_path / "m.parquet"))


def test_nan_is_no_label(rows: Rows, tmp_path: Path, write_parquet: Callable[..., Path]) -> None:
    names = sorted({row["label"] for row in rows})
    numbers = [row | {"label": float(names.index(row["label"]))} for row in rows]
    numbers[3]["label"] = float("nan")  # as polars writes a gap; pandas writes null
    with pytest.raises(DataError, match="row 4: no label"):
        load_task(str(write_parquet(tmp_path / "x.parquet", numbers)))
