"""The same images in every format that a task can come in; what is wrong in each is named."""

import csv
import io
import json
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head2toe.extract.readers.listing import Listing, coded
from head2toe.extract.readers.splits import choose_folds, grouped_folds, hold_out, hold_out_test
from head2toe.extract.tasks.registry import load_task
from head2toe.extract.tasks.task import Task
from head2toe.store.common.errors import BadRequest, DataError, MissingExtra

Rows = list[dict[str, str]]


@pytest.fixture
def rows(image_folder: Path) -> Rows:
    """The striped images as rows of a manifest in the folder above them."""
    found = []
    for path in sorted(image_folder.rglob("*.png")):
        split, name = path.parts[-3:-1]
        found.append({"path": str(path.relative_to(image_folder.parent)), "label": name, "split": split})
    return found


def write_csv(file: Path, rows: Rows, delimiter: str = ",") -> Path:
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return file


def write_parquet(file: Path, rows: Rows) -> Path:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist(rows), file)
    return file


def write_shards(folder: Path, rows: Rows, root: Path) -> Path:
    """A shard for each split, 20 samples at most, `<key>.png` beside `<key>.cls`."""
    folder.mkdir()
    for split in ("train", "test"):
        mine = [row for row in rows if row["split"] == split]
        for start in range(0, len(mine), 20):
            with tarfile.open(folder / f"stripes-{split}-{start:06d}.tar", "w") as tar:
                for i, row in enumerate(mine[start : start + 20], start=start):
                    add(tar, f"{i:05d}.png", (root / row["path"]).read_bytes())
                    add(tar, f"{i:05d}.cls", row["label"].encode())
    return folder


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def write_dataset(folder: Path, rows: Rows, root: Path, *, typed: bool = True) -> Path:
    """`save_to_disk` of a DatasetDict; without `typed`, labels are words and not a ClassLabel."""
    import datasets

    names = sorted({row["label"] for row in rows})
    kind = datasets.ClassLabel(names=names) if typed else datasets.Value("string")
    parts = {}
    for split in ("train", "test"):
        mine = [row for row in rows if row["split"] == split]
        columns = {
            "image": [{"bytes": (root / row["path"]).read_bytes(), "path": None} for row in mine],
            "label": [row["label"] for row in mine],
        }
        features = datasets.Features({"image": datasets.Image(), "label": kind})
        parts[split] = datasets.Dataset.from_dict(columns, features=features)
    datasets.DatasetDict(parts).save_to_disk(str(folder))
    return folder


def content(task: Task) -> list[tuple[str, str]]:
    """Digest and class name of every row, sorted within training and test rows."""
    pairs = [(i.digest(), task.classes[label]) for i, label in zip(task.images, task.labels, strict=True)]
    return sorted(pairs[: task.n_train]) + sorted(pairs[task.n_train :])


def written(format: str, rows: Rows, root: Path) -> Path:
    match format:
        case "csv":
            return write_csv(root / "m.csv", rows)
        case "semicolons":
            return write_csv(root / "m.csv", rows, ";")
        case "tsv":
            return write_csv(root / "m.tsv", rows, "\t")
        case "parquet":
            return write_parquet(root / "m.parquet", rows)
        case "webdataset":
            return write_shards(root / "shards", rows, root)
        case "dataset":
            return write_dataset(root / "saved", rows, root)
        case _:
            return write_dataset(root / "saved", rows, root, typed=False)


@pytest.mark.parametrize(
    "format", ["csv", "semicolons", "tsv", "parquet", "webdataset", "dataset", "dataset without ClassLabel"]
)
def test_every_format_gives_the_same_task(format: str, rows: Rows, image_folder: Path, tmp_path: Path) -> None:
    task = load_task(str(written(format, rows, tmp_path)))
    assert content(task) == content(load_task(str(image_folder)))
    assert task.classes == ("across", "down", "slant")
    assert task.images[0].load().size == (24, 24)
    assert task.images[0].format == "png"
    assert not task.notes
    counts = [np.bincount(task.train_labels[task.folds == fold], minlength=3) for fold in range(5)]
    assert np.ptp(counts) <= 1, "folds are stratified"


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


def test_a_column_fold_is_kept(rows: Rows, tmp_path: Path) -> None:
    for i, row in enumerate(rows):
        row["fold"] = ("10", "20", "30")[i % 3] if row["split"] == "train" else ""
    path = write_csv(tmp_path / "m.csv", rows)
    task = load_task(str(path))
    expected = [i % 3 for i, row in enumerate(rows) if row["split"] == "train"]
    assert task.folds.tolist() == expected
    assert load_task(str(path), folds="stratified").folds.max() == 4
    assert (np.diff(load_task(str(path), folds="vtab5").folds) >= 0).all()


def test_groups_stay_whole_in_folds_and_hold_out(rows: Rows, tmp_path: Path) -> None:
    for i, row in enumerate(rows):
        row["group"] = f"patient {i % 17}"
        del row["split"]
    path = write_csv(tmp_path / "m.csv", rows)
    task = load_task(str(path))
    by_name = {str(tmp_path / row["path"]): row["group"] for row in rows}
    groups = [by_name[image.name] for image in task.images]
    assert not set(groups[: task.n_train]) & set(groups[task.n_train :]), "no patient is on both sides"
    folds_of: dict[str, set[int]] = {}
    for group, fold in zip(groups, task.folds.tolist(), strict=False):
        folds_of.setdefault(group, set()).add(fold)
    assert all(len(folds) == 1 for folds in folds_of.values())
    assert set(task.folds) == set(range(5))
    assert "groups whole" in task.notes[0]
    with pytest.raises(DataError, match=r"group 'patient \d+' in .* has rows in several folds"):
        load_task(str(path), folds="vtab5")


def test_a_group_on_both_sides_is_refused(rows: Rows, tmp_path: Path) -> None:
    for row in rows:
        row["group"] = "one"
    with pytest.raises(DataError, match=r"group 'one' in .*m\.csv has training and test rows"):
        load_task(str(write_csv(tmp_path / "m.csv", rows)))


def test_too_few_groups_are_counted() -> None:
    with pytest.raises(DataError, match="3 groups of images: 5 folds need 5 groups"):
        grouped_folds(np.repeat([0, 1], 6), ["a", "b", "c"] * 4, seed=0)


def test_hold_out_leaves_every_class_something_to_learn_from() -> None:
    labels = np.repeat(np.arange(4), [2, 3, 10, 100])
    out = hold_out(labels, None, seed=0)
    assert np.bincount(labels[out], minlength=4).tolist() == [0, 1, 2, 20]
    assert np.array_equal(out, hold_out(labels, None, seed=0))


def test_hold_out_keeps_folds_with_their_rows(rows: Rows, tmp_path: Path) -> None:
    for i, row in enumerate(rows):
        row["fold"] = str(i % 3)
        row["split"] = "train"
    listing = hold_out_test(load_listing(write_csv(tmp_path / "m.csv", rows)), seed=0)
    by_name = {str(tmp_path / row["path"]): int(row["fold"]) for row in rows}
    assert choose_folds(listing, "auto", 0).tolist() == [by_name[image.name] for image, _ in listing.train]


def load_listing(path: Path) -> Listing:
    from head2toe.extract.readers import formats

    return formats.read(path)


def test_unknown_folds_are_refused(image_folder: Path) -> None:
    with pytest.raises(BadRequest, match="unknown folds 'ten'"):
        load_task(str(image_folder), folds="ten")


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
    rows: Rows, tmp_path: Path, row: int, changes: dict[str, str], says: str
) -> None:
    rows[row] |= changes
    with pytest.raises(DataError, match=says):
        load_task(str(write_csv(tmp_path / "m.csv", rows)))


def test_bad_columns_of_a_manifest_are_named(rows: Rows, tmp_path: Path) -> None:
    train = [row | {"fold": "1"} for row in rows]
    with pytest.raises(DataError, match=r"column fold in .* has one value"):
        load_task(str(write_csv(tmp_path / "m.csv", train)))
    train[-1]["fold"] = ""
    with pytest.raises(DataError, match="no fold, but other rows have one"):
        load_task(str(write_csv(tmp_path / "m.csv", train)))
    unlabelled = [{"path": row["path"], "class": row["label"]} for row in rows]
    for path in (write_csv(tmp_path / "m.csv", unlabelled), write_parquet(tmp_path / "m.parquet", unlabelled)):
        with pytest.raises(DataError, match=r"no column 'label' in .* \(there are path, class\)"):
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


def test_nan_is_no_label(rows: Rows, tmp_path: Path) -> None:
    names = sorted({row["label"] for row in rows})
    numbers = [row | {"label": float(names.index(row["label"]))} for row in rows]
    numbers[3]["label"] = float("nan")  # as polars writes a gap; pandas writes null
    with pytest.raises(DataError, match="row 4: no label"):
        load_task(str(write_parquet(tmp_path / "x.parquet", numbers)))


def test_labels_of_one_number_keep_their_order() -> None:
    """A set gives words in another order in every process."""
    words = ["0" * zeros + "7" for zeros in range(6)]
    assert coded(words, None, "here")[0] == tuple(sorted(words))


def test_labels_are_names_or_numbers_of_the_class_file(rows: Rows, tmp_path: Path) -> None:
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


def test_hidden_shards_are_none(rows: Rows, tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", rows, tmp_path)
    before = content(load_task(str(shards)))
    (shards / "._stripes-train-000000.tar").write_bytes(b"\x00\x05\x16\x07" * 20)
    assert content(load_task(str(shards))) == before


def test_a_damaged_shard_is_named(rows: Rows, tmp_path: Path) -> None:
    folder = write_shards(tmp_path / "shards", rows, tmp_path)
    first = folder / "stripes-train-000000.tar"
    with tarfile.open(first, "a") as tar:
        add(tar, "more.cls", b"down")
    with pytest.raises(DataError, match=r"sample 'more' in .*train-000000\.tar has no image"):
        load_task(str(folder))
    with tarfile.open(first, "a") as tar:
        add(tar, "more.png", b"")
        add(tar, "less.png", b"")
    with pytest.raises(DataError, match=r"sample 'less' in .* has no label \(\.cls\)"):
        load_task(str(folder))
    first.write_bytes(first.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"can't read shard .*000000\.tar"):
        load_task(str(folder))
    first.rename(folder / "other.tar")
    with pytest.raises(DataError, match=r"shard .*other\.tar has no split in its name"):
        load_task(str(folder))


def test_one_shard_is_a_task_with_a_test_held_out(rows: Rows, tmp_path: Path) -> None:
    folder = write_shards(tmp_path / "shards", rows[:], tmp_path)
    task = load_task(str(folder / "stripes-train-000000.tar"))
    assert task.n_train + len(task.test_labels) == 20
    assert "held out" in task.notes[0]


def test_class_labels_that_are_digits_in_another_order(image_folder: Path, tmp_path: Path) -> None:
    """A ClassLabel counts by position, whatever its names look like."""
    import datasets

    files = sorted((image_folder / "train").rglob("*.png"))
    columns = {"image": [str(file) for file in files], "label": [i // 12 for i in range(36)]}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["2", "1", "0"])})
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(str(tmp_path / "saved"))
    task = load_task(str(tmp_path / "saved"))
    assert task.classes == ("2", "1", "0")
    plain = load_task(str(image_folder / "train"))
    names = {"across": "2", "down": "1", "slant": "0"}
    assert sorted(content(task)) == sorted((digest, names[name]) for digest, name in content(plain))


def test_faults_of_a_saved_dataset_are_named(tmp_path: Path) -> None:
    import datasets

    datasets.Dataset.from_dict({"picture": ["a"], "label": [0]}).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(DataError, match=r"no image column in .*saved \(there are picture, label\)"):
        load_task(str(tmp_path / "saved"))
    (tmp_path / "saved" / "dataset_info.json").unlink()
    (tmp_path / "saved" / "state.json").write_text("{}")
    with pytest.raises(DataError, match="can't read the dataset in"):
        load_task(str(tmp_path / "saved"))
    (tmp_path / "saved" / "dataset_dict.json").write_text("[]")
    with pytest.raises(DataError, match="can't read the dataset in"):
        load_task(str(tmp_path / "saved"))


def test_a_row_without_an_image_is_an_unreadable_image(image_folder: Path, tmp_path: Path) -> None:
    import datasets

    files = sorted((image_folder / "train").rglob("*.png"))
    columns = {"image": [None, *map(str, files[1:])], "label": [path.parent.name for path in files]}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(str(tmp_path / "saved"))
    images = {image.name: image for image in load_task(str(tmp_path / "saved")).images}
    with pytest.raises(DataError, match=r"can't read image .*saved/train\[0\]: the row has no image"):
        images[f"{tmp_path / 'saved'}/train[0]"].load()


@pytest.mark.parametrize(
    ("format", "package", "extra"), [("parquet", "pyarrow", "parquet"), ("dataset", "datasets", "datasets")]
)
def test_a_missing_extra_is_named(
    format: str, package: str, extra: str, rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(format, rows, tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"needs .*{package}: pip install 'head2toe\[{extra}\]'"):
        load_task(str(path))


def test_a_file_of_another_kind_says_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("a")
    with pytest.raises(DataError, match=r"can't read a task from the file .*x\.txt: expected .*manifest"):
        load_task(str(tmp_path / "x.txt"))


def test_lists_manifests_folders_and_shards_share_a_store(
    rows: Rows, image_folder: Path, tmp_path: Path, vtab_folder: Callable[[], Path], small: dict[str, Any]
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
    format: str, rows: Rows, tmp_path: Path, small: dict[str, Any]
) -> None:
    from head2toe.pipeline import extract

    (tmp_path / rows[20]["path"]).write_bytes(b"broken")
    path = written(format, rows, tmp_path)
    with pytest.raises(DataError, match=r"can't read image .* \(not an image\)"):
        extract(str(path), **small)
    skipped = extract(str(path), **small, on_error="skip")
    assert (skipped.images_extracted, len(skipped.skipped)) == (50, 1)


def test_three_folds_and_a_hold_out_go_the_whole_way(rows: Rows, tmp_path: Path, flags: list[str]) -> None:
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
