"""The same images in every format that a task can come in give the same task and share a store."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head2toe.extract.tasks.registry import load_task
from head2toe.extract.tasks.task import Task
from head2toe.store.common.errors import DataError, MissingExtra

Rows = list[dict[str, str]]


@pytest.mark.parametrize(
    "format", ["csv", "semicolons", "tsv", "parquet", "webdataset", "dataset", "dataset without ClassLabel"]
)
def test_every_format_gives_the_same_task(
    format: str,
    rows: Rows,
    image_folder: Path,
    tmp_path: Path,
    written: Callable[..., Path],
    content: Callable[[Task], list[tuple[str, str]]],
) -> None:
    task = load_task(str(written(format, rows, tmp_path)))
    assert content(task) == content(load_task(str(image_folder)))
    assert task.classes == ("across", "down", "slant")
    assert task.images[0].load().size == (24, 24)
    assert task.images[0].format == "png"
    assert not task.notes
    counts = [np.bincount(task.train_labels[task.folds == fold], minlength=3) for fold in range(5)]
    assert np.ptp(counts) <= 1, "folds are stratified"


def test_the_same_images_have_the_same_content_in_both_layouts(
    image_folder: Path, vtab_folder: Callable[[], Path]
) -> None:
    a, b = load_task(str(image_folder)), load_task(str(vtab_folder()))
    assert {i.digest() for i in a.images} == {i.digest() for i in b.images}


@pytest.mark.parametrize(
    ("format", "package", "extra"), [("parquet", "pyarrow", "parquet"), ("dataset", "datasets", "datasets")]
)
def test_a_missing_extra_is_named(
    format: str,
    package: str,
    extra: str,
    rows: Rows,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    written: Callable[..., Path],
) -> None:
    path = written(format, rows, tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"needs .*{package}: pip install 'head2toe\[{extra}\]'"):
        load_task(str(path))


def test_a_file_of_another_kind_says_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("a")
    with pytest.raises(DataError, match=r"can't read a task from the file .*x\.txt: expected .*manifest"):
        load_task(str(tmp_path / "x.txt"))


def test_an_empty_folder_says_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no task in .*empty: expected train800\.txt"):
        load_task(str(tmp_path / "empty"))


def test_results_among_the_images_do_not_hide_them(image_folder: Path) -> None:
    """`head2toe run . --output .` writes a run's folder beside train/."""
    alone = load_task(str(image_folder))
    for name in ("predictions.parquet", "config.json"):
        (image_folder / "stripes-test_resnet").mkdir(exist_ok=True)
        (image_folder / "stripes-test_resnet" / name).write_bytes(b"")
    assert load_task(str(image_folder)).images == alone.images


def test_lists_manifests_folders_and_shards_share_a_store(
    rows: Rows,
    image_folder: Path,
    tmp_path: Path,
    vtab_folder: Callable[[], Path],
    small: dict[str, Any],
    written: Callable[..., Path],
) -> None:
    """The same images, however they are packed: nothing is extracted twice."""
    from head2toe.pipeline import extract

    first = extract(str(image_folder), **small)
    assert first.images_extracted == 51
    others = [vtab_folder(), *(written(f, rows, tmp_path) for f in ("csv", "webdataset", "dataset"))]
    for other in others:
        again = extract(str(other), **small)
        assert (again.images_extracted, again.store.path) == (0, first.store.path)
    assert first.task.provenance == {"layout": "ImageFolder", "formats": {"png": 51}, "lossy": False}


@pytest.mark.parametrize("format", ["csv", "webdataset", "dataset"])
def test_unreadable_images_are_skipped_in_every_format(
    format: str, rows: Rows, tmp_path: Path, small: dict[str, Any], written: Callable[..., Path]
) -> None:
    from head2toe.pipeline import extract

    (tmp_path / rows[20]["path"]).write_bytes(b"broken")
    path = written(format, rows, tmp_path)
    with pytest.raises(DataError, match=r"can't read image .* \(not an image\)"):
        extract(str(path), **small)
    skipped = extract(str(path), **small, on_error="skip")
    assert (skipped.images_extracted, len(skipped.skipped)) == (50, 1)


def test_three_folds_and_a_hold_out_go_the_whole_way(
    rows: Rows, tmp_path: Path, flags: list[str], write_csv: Callable[..., Path]
) -> None:
    """What was decided for the task stands in the result and in the output of the command."""
    from click.testing import CliRunner
    from head2toe.pipeline import main

    manifest = write_csv(
        tmp_path / "m.csv", [row | {"split": "train", "fold": str(i % 3)} for i, row in enumerate(rows)]
    )
    done = CliRunner().invoke(main, ["run", str(manifest), *flags, "--json"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert (len(document["folds"]), sum(document["folds"])) == (3, 42)
    assert document["notes"][0].startswith("no test images: 9 of 51 rows are held out")
    assert document["provenance"] == {"layout": "manifest", "formats": {"png": 51}, "lossy": False}
    shown = CliRunner().invoke(main, ["extract", str(manifest), *flags, "--folds", "stratified"])
    assert "note       no test images: 9 of 51 rows" in shown.stdout


def test_a_task_of_test_rows_alone_is_named(rows: Rows, tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    path = write_csv(tmp_path / "m.csv", [row | {"split": "test"} for row in rows])
    with pytest.raises(DataError, match=r"no training images in manifest .*m\.csv: all 51 are of the test"):
        load_task(str(path))


def test_a_label_that_is_no_class_is_told_which_there_are(
    rows: Rows, tmp_path: Path, write_csv: Callable[..., Path]
) -> None:
    path = write_csv(tmp_path / "m.csv", rows)
    (tmp_path / "classes.txt").write_text("0 across\n1 down\n2 slant\n3 none\n")
    with pytest.raises(DataError, match=r"'across' in .* is none of its 4 classes \(0 across, 1 down, 2 slant, …\)"):
        load_task(str(path))
    (tmp_path / "classes.txt").write_text("across\ndown\nslant\n", encoding="utf-16")
    with pytest.raises(DataError, match=r"can't read the class names in .*classes\.txt: save it as UTF-8"):
        load_task(str(path))
