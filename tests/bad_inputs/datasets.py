"""Task files, saved datasets, shards and VTAB's lists that can't be used."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from head2toe.tests.bad_inputs.bad_input import BadInput, Make, both, write


def task(text: str) -> Make:
    """A task file."""
    return write("t.yaml", text)


def shard(name: str, members: Mapping[str, bytes | None], mode: str = "w") -> Make:
    """A tar file of samples; None stands for a good photo."""

    def make(here: Path) -> None:
        (here / name).parent.mkdir(exist_ok=True)
        photo = (here / "photos/train/cat/0.png").read_bytes()
        with tarfile.open(here / name, mode) as tar:  # type: ignore[call-overload]
            for member, content in members.items():
                info = tarfile.TarInfo(member)
                info.size = len(photo if content is None else content)
                tar.addfile(info, io.BytesIO(photo if content is None else content))

    return make


def lying(here: Path) -> None:
    """A tar file whose member says that it has a terabyte."""
    info = tarfile.TarInfo("a.png")
    info.size = 1 << 40
    (here / "lie.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))


def saved(columns: Mapping[str, Any]) -> Make:
    """What `save_to_disk` writes; the column `image` holds a good photo in every row."""

    def make(here: Path) -> None:
        import datasets

        photo = {"bytes": (here / "photos/train/cat/0.png").read_bytes(), "path": None}
        rows = {name: [photo] * 4 if name == "image" else values for name, values in columns.items()}
        made = datasets.Dataset.from_dict(rows)
        if "image" in columns:
            made = made.cast_column("image", datasets.Image())
        datasets.disable_progress_bars()
        made.save_to_disk(here / "saved")

    return make


def lists(train: str = "", test: str = "", classes: str = "cat\ndog\n") -> Make:
    """VTAB's lists, with other lines in some of them."""
    good = "".join(
        f"photos/train/{name}/{i}.png {label}\n" for label, name in enumerate(("cat", "dog")) for i in (0, 1)
    )
    texts = {"train800": train or good, "val200": good, "test": test or good}
    return both(*(write(f"{name}.txt", text) for name, text in texts.items()), write("classes.txt", classes))


GOOD = {f"{i}.{kind}": None if kind == "png" else b"ab"[i // 2 :][:1] for i in range(4) for kind in ("png", "cls")}

ROWS = (
    BadInput(
        "a task file that is a list",
        "run t.yaml …",
        1,
        "the task file t.yaml is no mapping: expected lines like 'path: my_images'",
        task("- photos\n"),
    ),
    BadInput(
        "an empty task file",
        "run t.yaml …",
        1,
        "the task file t.yaml is no mapping: expected lines like 'path: my_images'",
        task(""),
    ),
    BadInput(
        "a task file that is no YAML",
        "run t.yaml …",
        1,
        "can't read the task file t.yaml: while parsing…",
        task("path: [photos\n"),
    ),
    BadInput(
        "a task file without a path",
        "run t.yaml …",
        1,
        "the task file t.yaml has no path: expected a line like 'path: my_images'",
        task("name: mine\n"),
    ),
    BadInput(
        "a field that is none",
        "run t.yaml …",
        1,
        (
            "the task file t.yaml has an unknown field 'fold': known are path, classes, path_column, "
            "label_column, folds, group, seed, name"
        ),
        task("path: photos\nfold: 3\n"),
    ),
    BadInput(
        "a path to nothing in a task file",
        "run t.yaml …",
        1,
        "the task file t.yaml points to nothing, which does not exist",
        task("path: nothing\n"),
    ),
    BadInput(
        "a number as the path",
        "run t.yaml …",
        1,
        "path in the task file t.yaml is 3: expected a path relative to the task file, or a URL",
        task("path: 3\n"),
    ),
    BadInput(
        "folds that are a list",
        "run t.yaml …",
        1,
        (
            "folds in the task file t.yaml is [3]: expected one of auto, vtab5, stratified, 800/200, "
            "holdout, or a number from 2 on"
        ),
        task("path: photos\nfolds: [3]\n"),
    ),
    BadInput(
        "a seed in words",
        "run t.yaml …",
        1,
        "seed in the task file t.yaml is 'one': expected a number from 0 to 4294967295",
        task("path: photos\nseed: one\n"),
    ),
    BadInput(
        "a class twice",
        "run t.yaml …",
        1,
        "class 'cat' stands twice in t.yaml",
        task("path: photos\nclasses: [cat, cat]\n"),
    ),
    BadInput(
        "classes that the photos don't have",
        "run t.yaml …",
        1,
        "t.yaml names 2 classes, but ImageFolder photos has a class 'dog'",
        task("path: photos\nclasses: [cat, cow]\n"),
    ),
    BadInput(
        "aliases (a bomb of nested ones)",
        "run t.yaml …",
        1,
        "can't read the task file t.yaml: aliases (*name) are not read here",
        task("path: photos\na: &a [x, x]\nb: &b [*a, *a]\nclasses: *b\n"),
    ),
    BadInput(
        "50,000 nested lists",
        "run t.yaml …",
        1,
        "can't read the task file t.yaml: it is nested too deeply",
        task("path: " + "[" * 50_000),
    ),
    BadInput(
        "a task file of a megabyte",
        "run t.yaml …",
        1,
        "can't read the task file t.yaml: 1,100,013 characters, 100,000 are the most",
        task("path: photos\n" + "#" * 1_100_000),
    ),
    BadInput(
        "a task file that is no UTF-8",
        "run t.yaml …",
        1,
        ("can't read the task file t.yaml: 'utf-8' codec can't decode byte 0xff in position 6: invalid start byte"),
        write("t.yaml", b"path: \xff\xfe"),
    ),
    BadInput(
        "a saved dataset without images",
        "run saved …",
        1,
        (
            "no image column in saved (there are picture, label): expected one of type Image, and one of "
            "type ClassLabel or named label, labels, fine_label, class, target; --path-column and "
            "--label-column name others"
        ),
        saved({"picture": ["a"], "label": [0]}),
    ),
    BadInput(
        "a saved dataset without labels",
        "run saved …",
        1,
        (
            "no label column in saved (there are image, kind): expected one of type Image, and one of type "
            "ClassLabel or named label, labels, fine_label, class, target; --path-column and --label-column "
            "name others"
        ),
        saved({"image": None, "kind": list("aabb")}),
    ),
    BadInput(
        "a saved dataset with several labels a row",
        "run saved …",
        1,
        (
            "the column 'label' in saved is of type …: several labels of one image are not supported; "
            "--label-column names another column"
        ),
        saved({"image": None, "label": [[0, 1]] * 4}),
    ),
    BadInput(
        "a row of a saved dataset without a label",
        "run saved …",
        1,
        "row 3 of split 'train' in saved has no label",
        saved({"image": None, "label": [0, 0, 1, None]}),
    ),
    BadInput(
        "a saved dataset whose state is cut short",
        "run saved …",
        1,
        "can't read the dataset in saved: …",
        both(saved({"image": None, "label": [0, 0, 1, 1]}), write("saved/state.json", "{}")),
    ),
    BadInput(
        "a shard that was cut short",
        "run x.tar …",
        1,
        "can't read shard x.tar (bad checksum): expected a whole tar file, not compressed",
        write("x.tar", b"0" * 700),
    ),
    BadInput(
        "a shard that is compressed",
        "run x.tar …",
        1,
        "can't read x.tar, which is compressed (gzip): unpack it",
        shard("x.tar", GOOD, "w:gz"),
    ),
    BadInput(
        "a shard without samples",
        "run x.tar …",
        1,
        "no samples in x.tar: expected <key>.jpg (or .png, .webp) and <key>.cls",
        shard("x.tar", {"README": b"hello"}),
    ),
    BadInput(
        "a sample without a label",
        "run x.tar …",
        1,
        ("sample 'more' in x.tar has no label (.cls), but .png: write a number or a name into more.cls"),
        shard("x.tar", GOOD | {"more.png": None}),
    ),
    BadInput(
        "a sample without an image",
        "run x.tar …",
        1,
        "sample 'more' in x.tar has no image, but .cls",
        shard("x.tar", GOOD | {"more.cls": b"a"}),
    ),
    BadInput(
        "two images of one key",
        "run x.tar …",
        1,
        (
            "sample '0' in x.tar has two images: a key ends at the first dot of a name; rename '0.left.png' "
            "if it is another sample"
        ),
        shard("x.tar", GOOD | {"0.left.png": None}),
    ),
    BadInput(
        "two labels of one key",
        "run x.tar …",
        1,
        "sample '0' in x.tar has two labels, 'a' and 'b'",
        shard("x.tar", GOOD | {"0.x.cls": b"b"}),
    ),
    BadInput(
        "an empty label in a shard",
        "run x.tar …",
        1,
        "the label '0.cls' in x.tar is empty or nan",
        shard("x.tar", GOOD | {"0.cls": b""}),
    ),
    BadInput(
        "a label of 20 kB in a shard",
        "run x.tar …",
        1,
        "'0.cls' in x.tar has 20000 bytes, which is no label",
        shard("x.tar", GOOD | {"0.cls": b"x" * 20_000}),
    ),
    BadInput(
        "a size in a shard that lies",
        "run lie.tar …",
        1,
        (
            "can't read shard lie.tar ('a.png' claims 1099511627776 bytes, which are not there): expected a "
            "whole tar file, not compressed"
        ),
        lying,
    ),
    BadInput(
        "a shard that belongs to no split",
        "run shards …",
        1,
        "shard shards/more.tar has no split in its name (train, val or test), but other shards have",
        both(shard("shards/x-train-0.tar", GOOD), shard("shards/more.tar", GOOD)),
    ),
    BadInput(
        "a list without labels",
        "run . …",
        1,
        "train800.txt:1: expected 'path label', found 'photos/train/cat/0.png'",
        lists(train="photos/train/cat/0.png\n"),
    ),
    BadInput(
        "a list with a path to nothing",
        "run . …",
        1,
        "test.txt:1: no such image: photos/gone.png",
        lists(test="photos/gone.png 0\n"),
    ),
    BadInput(
        "a list with a label in words",
        "run . …",
        1,
        "train800.txt:1: expected 'path label', found 'photos/train/cat/0.png cat'",
        lists(train="photos/train/cat/0.png cat\n"),
    ),
    BadInput("an empty list", "run . …", 1, "the list test.txt is empty", lists(test="\n")),
    BadInput(
        "a label above the names of classes",
        "run . …",
        1,
        "classes.txt names 1 classes, but the lists hold label 1",
        lists(classes="cat\n"),
    ),
)
