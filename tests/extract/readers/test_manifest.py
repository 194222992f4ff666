"""Manifests: columns are kept, and what is wrong in a row or a column is named."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from head2toe.extract.tasks.registry import load_task
from head2toe.store.common.errors import BadRequest, DataError

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


def renamed(rows: Rows, **names: str) -> Rows:
    """The rows with other names of some columns."""
    return [{names.get(column, column): value for column, value in row.items()} for row in rows]


@pytest.mark.parametrize(
    "names",
    [
        {"path": " Path", "label": "LABEL ", "split": "Split"},
        {"path": "file_name", "label": "class"},
        {"path": "File Name", "label": "Category"},
        {"path": "image", "label": "target"},
        {"path": "image-path", "label": "Class Name"},
    ],
)
def test_columns_are_known_by_their_usual_names(
    rows: Rows,
    tmp_path: Path,
    names: dict[str, str],
    write_csv: Callable[..., Path],
    write_parquet: Callable[..., Path],
) -> None:
    plain = load_task(str(write_csv(tmp_path / "plain.csv", rows)))
    for path in (
        write_csv(tmp_path / "m.csv", renamed(rows, **names)),
        write_parquet(tmp_path / "m.parquet", renamed(rows, **names)),
    ):
        task = load_task(str(path))
        assert [image.name for image in task.images] == [image.name for image in plain.images]
        assert (task.classes, task.n_train) == (plain.classes, plain.n_train)


def test_columns_can_be_named_and_must_be_where_several_fit(
    rows: Rows, tmp_path: Path, write_csv: Callable[..., Path]
) -> None:
    other = [row | {"kind": row["label"][0], "where": row["path"]} for row in rows]
    path = str(write_csv(tmp_path / "m.csv", other))
    assert load_task(path, path_column="where", label_column="Kind").classes == ("a", "d", "s")
    assert load_task(path).classes == ("across", "down", "slant")
    with pytest.raises(DataError, match=r"no column 'sort' in .* \(there are path, label, split, kind, where\)"):
        load_task(path, label_column="sort")
    both = str(
        write_csv(tmp_path / "both.csv", [row | {"class": "x", "category": "y"} for row in renamed(rows, label="z")])
    )
    with pytest.raises(DataError, match=r"could be the label \(class, category\): --label-column names"):
        load_task(both)
    with pytest.raises(BadRequest, match="--path-column and --label-column are for tables"):
        load_task(str(tmp_path / "stripes"), label_column="kind")
    with pytest.raises(BadRequest, match="--path-column and --label-column are for tables"):
        load_task("digits", label_column="kind")
    (tmp_path / "t.yaml").write_text("path: m.csv\nlabel_column: kind\npath_column: where\nfolds: 3\n")
    task = load_task(str(tmp_path / "t.yaml"))
    assert (task.classes, task.n_folds) == (("a", "d", "s"), 3)


def test_spreadsheets_of_all_kinds_are_read(rows: Rows, tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    plain = [image.name for image in load_task(str(write_csv(tmp_path / "plain.csv", rows))).images]
    text = write_csv(tmp_path / "m.csv", [row | {"seen, when": "a, b"} for row in rows], ";").read_text()
    unquoted = text.replace('"', "")
    for content in (
        *(text, f"sep=;\n{text}", f'"sep=;"\r\n{text}', unquoted, text.replace(";", "|")),
        "sep=\t\n" + text.replace(";", "\t"),
        "\n".join(f"{line};;" for line in text.splitlines()) + "\n;;;;;\n",
    ):
        for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"):
            (tmp_path / "m.csv").write_bytes(content.encode(encoding))
            assert [image.name for image in load_task(str(tmp_path / "m.csv")).images] == plain, (
                content[:60],
                encoding,
            )


def test_a_code_page_of_windows_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes("path,label\nx.png,a\nx.png,Käse\n".encode("cp1252"))
    with pytest.raises(DataError, match=r"m\.csv: line 3 is not UTF-8; .* code page of Windows: save it as UTF-8"):
        load_task(str(tmp_path / "m.csv"))


@pytest.mark.parametrize("where", [0, 20])
def test_a_row_of_more_cells_than_the_header_is_named(
    rows: Rows, tmp_path: Path, where: int, write_csv: Callable[..., Path]
) -> None:
    """Else `crane, bird` and `crane, machine` are one class."""
    lines = write_csv(tmp_path / "m.csv", rows).read_text().splitlines()
    lines[1 + where] += ", bird"
    (tmp_path / "m.csv").write_text("\n".join(lines))
    with pytest.raises(
        DataError, match=rf"m\.csv, row {where + 1}: 4 cells, but the header has 3: put .* between quotes"
    ):
        load_task(str(tmp_path / "m.csv"))


@pytest.mark.parametrize("label", ["nan", "NaN", "<NA>", "#N/A", "  "])
def test_rows_without_a_label_are_all_named(
    rows: Rows, tmp_path: Path, label: str, write_csv: Callable[..., Path], write_parquet: Callable[..., Path]
) -> None:
    for row in (1, 7, 8, 9, 30):
        rows[row]["label"] = label
    for path in (write_csv(tmp_path / "m.csv", rows), write_parquet(tmp_path / "m.parquet", rows)):
        with pytest.raises(DataError, match=r"rows 2, 8, 9 and 2 more: no label"):
            load_task(str(path))


def test_a_class_of_one_image_is_named(rows: Rows, tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    rows[-1]["label"] = "Slant"
    with pytest.raises(DataError, match=r"class 'Slant' has 1 training image in .*m\.csv: cross-validation needs two"):
        load_task(str(write_csv(tmp_path / "m.csv", [row | {"split": "train"} for row in rows])))


def test_paths_as_windows_and_macos_write_them(
    rows: Rows, image_folder: Path, tmp_path: Path, write_csv: Callable[..., Path]
) -> None:
    plain = [image.digest() for image in load_task(str(write_csv(tmp_path / "m.csv", rows))).images]
    back = [row | {"path": row["path"].replace("/", "\\")} for row in rows]
    assert [image.digest() for image in load_task(str(write_csv(tmp_path / "m.csv", back))).images] == plain
    folder = unicodedata.normalize("NFD", "möwe")
    image_folder.rename(tmp_path / folder)
    names = ["möwe", folder, "m\u00f6we"]
    for name in names:
        moved = [row | {"path": row["path"].replace("stripes", name)} for row in rows]
        assert [image.digest() for image in load_task(str(write_csv(tmp_path / "m.csv", moved))).images] == plain
    for name in ("C:\\photos\\x.png", "d:/x.png", "\\\\server\\x.png"):
        with pytest.raises(
            DataError, match=r"row 1: no such image: .* a path on a drive of Windows: write paths relative"
        ):
            load_task(str(write_csv(tmp_path / "m.csv", [rows[0] | {"path": name}, *rows])))
    with pytest.raises(DataError, match="row 1: no such image"):
        load_task(str(write_csv(tmp_path / "m.csv", [rows[0] | {"path": "x" * 5000}])))


def test_paths_may_be_ids_of_files_beside_the_table(rows: Rows, tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    """Names without a suffix in a column `image_id`, as in many a competition."""
    ids = [{"image_id": row["path"].removesuffix(".png"), "label": row["label"]} for row in rows]
    plain = load_task(str(write_csv(tmp_path / "plain.csv", renamed(rows, split="was"))))
    task = load_task(str(write_csv(tmp_path / "m.csv", ids)))
    assert [image.digest() for image in task.images] == [image.digest() for image in plain.images]
    below = [row | {"path": Path(row["path"]).name} for row in rows[:1]]
    with pytest.raises(DataError, match=r"row 1: no such image: .*; there is .*: paths are relative to the folder"):
        load_task(str(write_csv(tmp_path / Path(rows[0]["path"]).parents[1] / "m.csv", below)))


def test_a_path_on_the_web_says_to_fetch_it(rows: Rows, tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    rows[2]["path"] = "https://example.org/a.png"
    with pytest.raises(DataError, match=r"row 3: https://example\.org/a\.png is on the web: fetch the images"):
        load_task(str(write_csv(tmp_path / "m.csv", rows)))


@pytest.mark.parametrize("name", ["subset", "Set", "partition", "Data Split"])
def test_a_column_of_splits_is_read_by_another_name(
    rows: Rows,
    tmp_path: Path,
    name: str,
    write_csv: Callable[..., Path],
    write_parquet: Callable[..., Path],
) -> None:
    plain = load_task(str(write_csv(tmp_path / "plain.csv", rows)))
    for path in (
        write_csv(tmp_path / "m.csv", renamed(rows, split=name)),
        write_parquet(tmp_path / "m.parquet", renamed(rows, split=name)),
    ):
        task = load_task(str(path))
        assert task.labels.tolist() == plain.labels.tolist()
        assert len(task.folds) == len(plain.folds)
        assert task.notes[0] == f"the column {name!r} of {path} is read as the split"


def test_a_column_of_other_words_is_no_split(rows: Rows, tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    sets = [row | {"set": "AB"[i % 2], "subset": "train"} for i, row in enumerate(renamed(rows, split="was"))]
    assert load_task(str(write_csv(tmp_path / "m.csv", sets))).notes[0].startswith("no test images")


def test_blanks_before_quotes_are_no_part_of_a_name(rows: Rows, tmp_path: Path) -> None:
    lines = [f'"{row["path"]}", "{row["label"]}", "{row["split"]}"' for row in rows]
    (tmp_path / "m.csv").write_text("\n".join(["path, label, split", *lines]))
    assert load_task(str(tmp_path / "m.csv")).classes == ("across", "down", "slant")


def test_commas_in_a_tsv_are_understood(rows: Rows, tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    assert len(load_task(str(write_csv(tmp_path / "m.tsv", rows))).images) == len(rows)


def test_whole_numbers_with_a_point_are_the_numbers(
    rows: Rows, tmp_path: Path, write_csv: Callable[..., Path], write_parquet: Callable[..., Path]
) -> None:
    """As pandas writes them in a column that once had gaps."""
    names = sorted({row["label"] for row in rows})
    numbers = [row | {"label": float(names.index(row["label"]))} for row in rows]
    for path in (write_csv(tmp_path / "m.csv", numbers), write_parquet(tmp_path / "m.parquet", numbers)):
        assert load_task(str(path)).classes == ("0", "1", "2")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("m.xlsx", b"PK\3\4", "a workbook: save its table as CSV"),
        ("m.csv", b"\xd0\xcf\x11\xe0", "a workbook of Excel: save it as CSV"),
        ("m.csv", b"PK\3\4" + bytes(26) + b"[Content_Types].xml", "a workbook of Excel: save it as CSV"),
        ("m.csv.gz", b"\x1f\x8b\x08", r"compressed \(gzip\): unpack it"),
        ("m.zip", b"PK\3\4" + bytes(26) + b"cat/1.png", "an archive: unpack it"),
        ("m.csv", b"<!DOCTYPE html><html>", "a web page instead of the file: fetch it again"),
        ("m.parquet", b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer.*git lfs pull"),
        ("m.tar", b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer.*git lfs pull"),
        ("m.jsonl", b'{"path": "a.png"}', "JSON: write a manifest of it"),
    ],
)
def test_another_file_is_called_what_it_is(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=says):
        load_task(str(tmp_path / name))


def test_a_table_may_hold_the_images(
    rows: Rows, tmp_path: Path, write_csv: Callable[..., Path], write_parquet: Callable[..., Path]
) -> None:
    plain = load_task(str(write_csv(tmp_path / "m.csv", rows)))
    holding = [
        {
            "image": {"bytes": (tmp_path / row["path"]).read_bytes(), "path": "x.png"},
            "label": row["label"],
            "split": row["split"],
        }
        for row in rows
    ]
    for held in (holding, [row | {"image": row["image"]["bytes"]} for row in holding]):
        task = load_task(str(write_parquet(tmp_path / "m.parquet", held)))
        assert [image.digest() for image in task.images] == [image.digest() for image in plain.images]
        assert (task.classes, task.n_train, task.images[0].load().size) == (plain.classes, plain.n_train, (24, 24))
    lists = [row | {"label": [row["label"]]} for row in holding]
    with pytest.raises(DataError, match=r"column 'label' in .* several labels of one image are not supported"):
        load_task(str(write_parquet(tmp_path / "m.parquet", lists)))
    for path in ("/dev/zero", "../m.csv", "gone.png"):
        holding[0]["image"] = {"bytes": None, "path": path}
        images = load_task(str(write_parquet(tmp_path / "sub.parquet", holding))).images
        with pytest.raises(DataError, match="which is no file in"):
            [image.digest() for image in images]
