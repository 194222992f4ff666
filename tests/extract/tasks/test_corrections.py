"""Decisions are read as spreadsheets and people write them, and what they make is a manifest that a run takes."""

import csv
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from head2toe.extract.readers.tables import numbered_rows
from head2toe.extract.tasks.corrections import read_decisions, write_corrected
from head2toe.extract.tasks.registry import load_task
from head2toe.extract.tasks.task import Task
from head2toe.store.common.errors import BadRequest, DataError


@pytest.fixture
def task(image_folder: Path) -> Task:
    return load_task(str(image_folder))


def decided(text: str, task: Task) -> Path:
    """Write decisions; {0}, {1}, … are the names of training images."""
    file = Path("decisions.csv")
    file.write_text(text.format(*(image.name for image in task.images)), encoding="utf-8", newline="")
    return file


@pytest.mark.parametrize(
    "text",
    [
        "image,action,suggestion\n{0},remove,\n{30},relabel,down\n",
        "Image , ACTION,Suggestion\n{0},Remove,\n{30}, RELABEL ,down\n",
        "\ufeffsuggestion;seen by;action;image\r\n;me;remove;{0}\r\ndown;;relabel;{30}\r\n",
        'sep=;\r\n"image";"action";"suggestion"\r\n"{0}";"remove"\r\n\r\n;;\r\n"{30}";"relabel";" down "\r\n',
        'image\taction\tsuggestion\tnote\n{0}\tremove\n{30}\trelabel\tdown\t"a\nb, c"\n{30}\tkeep\n{1}\n',
        "image,action,suggestion\n{0},remove,\n{0},remove,\n{0},keep,\n{30},relabel,down\n{30},relabel,down\n,merge,\n",
    ],
)
def test_decisions_are_read_as_spreadsheets_and_people_write_them(text: str, task: Task) -> None:
    decisions = read_decisions(decided(text, task), task)
    assert decisions.removed == {task.images[0].name}
    assert decisions.labels == {task.images[30].name: "down"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("image,action\n{0},remove\n\n\n{1},burn\n", "line 5: unknown action 'burn'"),
        ('image,action,with\n{0},keep,"a\nb"\n{1},burn,\n', "line 4: unknown action 'burn'"),
        ('sep=,\nimage,action\n"{0},remove\n', "line 3: no image"),
        ("image,action\ngone.png,\n", "line 2: no image 'gone.png'"),
        ("image,action\n,remove\n", "line 2: no image ''"),
        ("image,action,suggestion\n{0},remove,\n{0},relabel,down\n", "line 3: .* is to be removed and to be 'down'"),
        ("image,action,suggestion\n{0},relabel,down\n{0},remove,\n", "line 3: .* is to be removed and to be 'down'"),
        ("image,action,Action\n{0},remove,keep\n", "has several columns 'action'"),
        ("image,action,suggestion,suggestion\n{0},remove,,\n", "has several columns 'suggestion'"),
        ("image,action\n{0},relabel\n", "line 2: no class ''"),
        ("", "has no column 'image'"),
    ],
)
def test_decisions_that_say_nothing_or_two_things_name_their_line(text: str, says: str, task: Task) -> None:
    with pytest.raises(BadRequest, match=says):
        read_decisions(decided(text, task), task)


@pytest.mark.parametrize(
    ("classes", "written", "meant"),
    [
        (("0", "8", "10"), "8.0", "8"),
        (("true", "false", "x"), "TRUE", "true"),
        (("8.0", "8", "x"), "8.0", "8.0"),
        (("cat", "Cat", "x"), "Cat", "Cat"),
        (("cat", "Cat", "x"), "CAT", None),
        (("8", "x", "y"), "8.5", None),
        (("8", "x", "y"), "", None),
    ],
)
def test_classes_are_known_as_spreadsheets_and_pandas_write_them(
    classes: tuple[str, ...], written: str, meant: str | None, task: Task
) -> None:
    task = replace(task, classes=classes)
    file = decided(f"image,action,suggestion\n{{0}},relabel,{written}\n", task)
    if meant is not None:
        assert read_decisions(file, task).labels == {task.images[0].name: meant}
        return
    with pytest.raises(BadRequest, match=f"no class '{written}'"):
        read_decisions(file, task)


def test_a_workbook_is_named(task: Task) -> None:
    file = Path("decisions.csv")
    file.write_bytes(b"PK\x03\x04\x14\x00\x06\x00\x08\x00\x00\x00!\x00" + bytes(16) + b"[Content_Types].xml")
    with pytest.raises(DataError, match="workbook of Excel"):
        read_decisions(file, task)


@pytest.mark.parametrize("folds", ["auto", "3", "holdout"])
def test_rows_that_are_never_held_out_stay_so(folds: str, image_folder: Path) -> None:
    task = load_task(str(image_folder), folds=folds)
    write_corrected(task, decided("image,action\n{3},remove\n", task), Path("better.csv"))
    better = load_task("better.csv")
    fold_of = dict(zip((image.name for image in task.images), task.folds.tolist(), strict=False))
    assert [fold_of[image.name] for image in better.images[: better.n_train]] == better.folds.tolist()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("relabel", "training images of 1 class"),
        ("remove", "class 'across' of task stripes would have 1 training image left"),
    ],
)
def test_what_no_run_could_take_is_not_written(change: str, says: str, task: Task) -> None:
    rows = range(12, 36) if change == "relabel" else range(11)
    lines = "".join(f"{{{row}}},{change},across\n" for row in rows)
    with pytest.raises(DataError, match=says):
        write_corrected(task, decided(f"image,action,suggestion\n{lines}", task), Path("better.csv"))
    assert not Path("better.csv").exists()


def test_a_class_that_a_table_takes_for_a_gap_is_named(task: Task) -> None:
    file = decided("image,action\n", task)
    with pytest.raises(DataError, match="the class 'nan' of task stripes would be no label"):
        write_corrected(replace(task, classes=("across", "nan", "slant")), file, Path("better.csv"))


def test_odd_names_of_files_are_written_or_named(image_folder: Path) -> None:
    folder = image_folder / "train" / "down"
    for name, odd in {
        "00.png": "a\nb.png",
        "01.png": 'a, "b";c.png',
        "02.png": " =x .png",
        "03.png": "ü😀.png",
    }.items():
        (folder / name).rename(folder / odd)
    task = load_task(str(image_folder))
    write_corrected(task, decided("image,action\n{0},remove\n", task), Path("better.csv"))
    better = load_task("better.csv")
    assert {image.name for image in better.images} == {image.name for image in task.images[1:]}
    os.rename(folder / "04.png", os.fsencode(folder) + b"/caf\xe9.png")  # noqa: PTH104 (no path has such bytes)
    task = load_task(str(image_folder))
    with pytest.raises(DataError, match=r"the name of .*caf.*png is not UTF-8, as a manifest is: rename the file"):
        write_corrected(task, decided("image,action\n", task), Path("best.csv"))
    assert not Path("best.csv").exists()


def test_a_class_may_be_taken_out(task: Task) -> None:
    rows = np.flatnonzero(task.labels == 0)
    lines = "".join(f"{{{row}}},remove\n" for row in rows)
    assert write_corrected(task, decided(f"image,action\n{lines}", task), Path("better.csv")) == (0, len(rows))
    assert load_task("better.csv").classes == ("down", "slant")


def test_rows_of_a_table_are_numbered_by_their_lines() -> None:
    Path("table.csv").write_text('sep=;\n\na;b\n"1\n2";3\r\n\n4;5', newline="")
    rows = list(numbered_rows(Path("table.csv"), lambda names: "a" in names))
    assert rows == [(3, ["a", "b"]), (4, ["1\n2", "3"]), (7, ["4", "5"])]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_every_column_of_a_manifest_stands_in_the_corrected_one(suffix: str, image_folder: Path) -> None:
    """Groups keep the split honest; what else a table says is not for a correction to lose."""
    rows = [
        {
            "Path": str(file.relative_to(image_folder)),
            "LABEL": file.parent.name,
            "subset": "test" if "test" in file.parts else "val" if int(file.stem) < 3 else "train",
            "Group": f"{file.parts[-3]} {int(file.stem) // 3}",
            "camera id": f"=cam, {file.stem}" if int(file.stem) % 2 else "",
            "label ": f"fine {file.stem}",
            "size": int(file.stem),
        }
        for file in sorted(image_folder.rglob("*.png"))
    ]
    manifest = image_folder / f"old.{suffix}"
    if suffix == "csv":
        with manifest.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    else:
        pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        listed = pyarrow.Table.from_pylist(rows).append_column("boxes", pyarrow.array([[1.0, 2.0]] * len(rows)))
        parquet.write_table(listed, manifest)
    task = load_task(str(manifest), label_column="LABEL")
    gone, other = task.images[0].name, task.images[1].name
    relabelled = next(name for name in task.classes if name != task.classes[task.labels[1]])
    file = decided(f"image,action,suggestion\n{{0}},remove,\n{{1}},relabel,{relabelled}\n", task)
    assert write_corrected(task, file, Path("better.csv")) == (1, 1)
    with Path("better.csv").open(newline="") as stream:
        written = {row["path"]: row for row in csv.DictReader(stream)}
    assert set(written) == {str(image_folder / row["Path"]) for row in rows} - {gone}
    for row in rows:
        if (name := str(image_folder / row["Path"])) != gone:
            kept = {"group": row["Group"], **{key: str(row[key]) for key in ("camera id", "size")}}
            kept |= {"given label ": row["label "], "label": relabelled if name == other else row["LABEL"]}
            kept["split"] = {"val": "validation"}.get(row["subset"], row["subset"])
            assert {key: written[name][key] for key in kept} == kept
    better, validated = load_task("better.csv"), load_task("better.csv", folds="holdout")
    fold_of = dict(zip((image.name for image in task.images), task.folds.tolist(), strict=False))
    assert [fold_of[image.name] for image in better.images[: better.n_train]] == better.folds.tolist()
    held = [image.name for image, fold in zip(validated.images, validated.folds, strict=False) if fold == 0]
    assert {written[name]["split"] for name in held} == {"validation"}
