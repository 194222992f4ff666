"""Folds and hold-outs: even in classes, whole in groups, seeded; VTAB's 800/200, a task's own validation rows."""

import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from head2toe.extract.images.sources import ImageArray
from head2toe.extract.options import FOLDS, ExtractOptions
from head2toe.extract.readers import formats
from head2toe.extract.readers.listing import Listing
from head2toe.extract.readers.splits import (
    NEVER,
    adapted_folds,
    choose_folds,
    contiguous_folds,
    fold_notes,
    grouped_folds,
    hold_out,
    hold_out_test,
    hold_out_validation,
    numbered,
    stratified_folds,
)
from head2toe.extract.tasks.registry import load_task
from head2toe.extract.tasks.task import Task
from head2toe.store.common.errors import BadRequest, DataError

Rows = list[dict[str, str]]


def write_manifest(image_folder: Path, name: str, **columns: Callable[[int], str]) -> str:
    """The striped training images as a manifest, with columns whose values a row's number makes."""
    lines = [",".join(["path", "label", *columns])]
    for i, path in enumerate(sorted((image_folder / "train").rglob("*.png"))):
        lines.append(",".join([str(path), path.parent.name, *(value(i) for value in columns.values())]))
    file = image_folder.parent / name
    file.write_text("\n".join(lines))
    return str(file)


def test_folds_of_a_thousand_are_the_papers() -> None:
    assert np.array_equal(contiguous_folds(1000), np.repeat(np.arange(5), 200))


def test_stratified_folds_are_even_and_seeded() -> None:
    labels = np.repeat(np.arange(30), 3)  # fewer rows than folds in each class
    folds = stratified_folds(labels, seed=0)
    assert set(np.bincount(folds)) == {18}
    assert np.array_equal(folds, stratified_folds(labels, seed=0))
    assert not np.array_equal(folds, stratified_folds(labels, seed=1))


def test_unknown_folds_are_refused(image_folder: Path) -> None:
    with pytest.raises(BadRequest, match="unknown folds 'ten'"):
        load_task(str(image_folder), folds="ten")


def test_groups_stay_whole_in_folds_and_hold_out(rows: Rows, tmp_path: Path, write_csv: Callable[..., Path]) -> None:
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


def test_too_few_groups_are_counted() -> None:
    with pytest.raises(DataError, match="3 groups of training images: 5 folds need 5 groups; --folds auto"):
        grouped_folds(np.repeat([0, 1], 6), ["a", "b", "c"] * 4, seed=0)


def test_without_test_images_a_part_is_held_out_and_said(image_folder: Path) -> None:
    shutil.rmtree(image_folder / "test")
    task = load_task(str(image_folder))
    assert (task.n_train, len(task.test_labels)) == (30, 6)
    assert (np.bincount(task.test_labels) == 2).all()
    assert task.notes == ("no test images: 6 of 36 rows are held out as the test (stratified, seed 0)",)
    other = load_task(str(image_folder), seed=1)
    assert [i.name for i in other.images[30:]] != [i.name for i in task.images[30:]]


def test_hold_out_leaves_every_class_something_to_learn_from() -> None:
    labels = np.repeat(np.arange(4), [2, 3, 10, 100])
    out = hold_out(labels, None, seed=0)
    assert np.bincount(labels[out], minlength=4).tolist() == [0, 1, 2, 20]
    assert np.array_equal(out, hold_out(labels, None, seed=0))


def test_hold_out_keeps_folds_with_their_rows(rows: Rows, tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    for i, row in enumerate(rows):
        row["fold"] = str(i % 3)
        row["split"] = "train"
    listing = hold_out_test(formats.read(write_csv(tmp_path / "m.csv", rows)), seed=0)
    by_name = {str(tmp_path / row["path"]): int(row["fold"]) for row in rows}
    assert choose_folds(listing, "auto", 0).tolist() == [by_name[image.name] for image, _ in listing.train]


def test_vtabs_split_is_the_last_200_of_a_thousand() -> None:
    task = load_task("digits", folds="800/200")
    assert np.array_equal(task.folds, np.repeat([NEVER, 0], [800, 200]))


def test_vtabs_split_of_another_number_of_rows_is_refused(image_folder: Path) -> None:
    with pytest.raises(
        DataError, match=r"36 training images in .*: --folds 800/200 is for VTAB-1k's 1000; --folds hol"
    ):
        load_task(str(image_folder), folds="800/200")


def test_a_task_s_own_validation_rows_are_the_held_out_part(
    image_folder: Path, vtab_folder: Callable[[], Path]
) -> None:
    lists = load_task(str(vtab_folder()), folds="holdout")
    assert np.array_equal(lists.folds, np.repeat([NEVER, 0], [28, 8])), "val200.txt"
    for name in ("across", "down", "slant"):
        (image_folder / "val" / name).mkdir(parents=True)
        for file in sorted((image_folder / "train" / name).iterdir())[:4]:
            file.rename(image_folder / "val" / name / file.name)
    folder = load_task(str(image_folder), folds="holdout")
    assert folder.n_train == 36
    assert [fold == 0 for fold in folder.folds] == ["/val/" in image.name for image in folder.images[:36]]
    assert not folder.notes
    assert load_task(str(image_folder)).folds.max() == 4, "they are training rows like others unless asked for"


def test_a_column_split_says_which_rows_validate(image_folder: Path) -> None:
    file = write_manifest(image_folder, "m.csv", split=lambda i: ("train", "train", "val", "test")[i % 4])
    task = load_task(file, folds="holdout")
    rows = [i for i in range(36) if i % 4 != 3]
    assert task.folds.tolist() == [0 if i % 4 == 2 else NEVER for i in rows]


def test_validation_rows_stay_marked_when_a_test_is_held_out(image_folder: Path) -> None:
    file = write_manifest(image_folder, "m.csv", split=lambda i: "val" if i % 3 == 2 else "train")
    task = load_task(file, folds="holdout")
    names = sorted(str(path) for path in (image_folder / "train").rglob("*.png"))
    assert task.n_train == 30
    assert [names.index(image.name) % 3 == 2 for image in task.images[:30]] == (task.folds == 0).tolist()


def test_without_validation_rows_a_part_is_drawn_and_said(image_folder: Path) -> None:
    task = load_task(str(image_folder), folds="holdout")
    assert (np.bincount(task.train_labels[task.folds == 0]) == 2).all()
    assert task.notes == (
        "no validation images: 6 of 36 training rows are held out to choose settings by (stratified, seed 0)",
    )
    assert not np.array_equal(task.folds, load_task(str(image_folder), folds="holdout", seed=1).folds)
    ordered = hold_out_validation(replace(formats.read(image_folder), ordered=True), seed=0)
    assert ordered.validation is not None
    assert np.flatnonzero(ordered.validation).tolist() == list(range(29, 36)), "where rows have an order, the last"


def test_groups_stay_whole_in_a_held_out_part(image_folder: Path) -> None:
    file = write_manifest(image_folder, "m.csv", group=lambda i: f"patient {i % 17}")
    listing = formats.read(Path(file))
    folds = choose_folds(listing, "holdout", 0)
    assert listing.groups is not None
    assert 0 < (folds == 0).sum() < len(folds)
    pairs = set(zip(listing.groups, folds.tolist(), strict=True))
    assert len(pairs) == len(set(listing.groups)), "every group has one fold"
    torn = write_manifest(
        image_folder,
        "torn.csv",
        group=lambda i: f"patient {i // 2}",
        split=lambda i: ("train", "val", "test", "test")[i % 4],
    )
    with pytest.raises(DataError, match=r"group 'patient 0' in .* has rows in several folds"):
        load_task(torn, folds="holdout")


def test_a_fold_of_minus_one_always_trains(image_folder: Path) -> None:
    file = write_manifest(
        image_folder, "m.csv", split=lambda i: "test" if i % 12 == 0 else "", fold=lambda i: ("a", "-1")[i % 2]
    )
    assert load_task(file).folds.tolist() == [(0, NEVER)[i % 2] for i in range(36) if i % 12]
    assert numbered(np.array([7, NEVER, 3, 7])).tolist() == [1, NEVER, 0, 1]
    never = write_manifest(image_folder, "never.csv", fold=lambda _: "-1")
    with pytest.raises(DataError, match=r"column fold in .* has one value"):
        load_task(never)


def test_options_offer_all_ways_to_fold() -> None:
    (help_text,) = (field.metadata["help"] for field in fields(ExtractOptions) if field.name == "folds")
    assert all(how in help_text for how in FOLDS)
    for how in (*FOLDS, "2", "10", 3):
        assert ExtractOptions(folds=how).folds == str(how)
    for how in ("ten", "1", "0", "-3", "2.5", "", "٣", "99999"):
        with pytest.raises(BadRequest, match="none of auto, vtab5, stratified, 800/200, holdout, nor a number from 2"):
            ExtractOptions(folds=how)


def small_listing(*sizes: int, groups: list[str] | None = None) -> Listing:
    """A task of as many images in each class, which bear no file."""
    labels = np.repeat(np.arange(len(sizes)), sizes).tolist()
    rows = [(ImageArray(f"{i}", np.zeros((2, 2), np.uint8)), label) for i, label in enumerate(labels)]
    names = tuple(f"class {label}" for label in range(len(sizes)))
    return Listing("made up", "made up", names, train=rows, test=[], groups=None if groups is None else tuple(groups))


@pytest.mark.parametrize(
    ("sizes", "n_folds"), [((20, 20), 5), ((20, 4), 4), ((3, 9, 9), 3), ((2, 30), 2), ((1, 30), 5)]
)
def test_auto_draws_as_many_folds_as_the_smallest_class_allows(sizes: tuple[int, ...], n_folds: int) -> None:
    listing = small_listing(*sizes)
    folds = choose_folds(listing, "auto", 0)
    assert folds.max() + 1 == n_folds
    for label, size in enumerate(sizes):
        if size > 1:
            assert set(folds[listing.train_labels == label]) == set(range(n_folds)), "every fold judges every class"
    notes = fold_notes(listing, "auto")
    assert [f"{n_folds} folds instead of 5" in note for note in notes] == [True] * (n_folds < 5)
    assert fold_notes(listing, "5") == ()


@pytest.mark.parametrize("n_folds", [2, 3, 10])
def test_a_number_of_folds_is_what_is_drawn(n_folds: int) -> None:
    listing = small_listing(30, 4)
    folds = choose_folds(listing, str(n_folds), 0)
    assert np.ptp(np.bincount(folds)) <= 1
    assert folds.max() + 1 == n_folds
    grouped = replace(listing, groups=tuple(f"{i // 2}" for i in range(34)))
    assert len(set(choose_folds(grouped, str(n_folds), 0))) == n_folds
    with pytest.raises(DataError, match="34 training images in made up: too few for 99 folds"):
        choose_folds(listing, "99", 0)


def test_auto_takes_no_more_folds_than_groups_and_counts_the_groups_of_a_class() -> None:
    four = small_listing(12, 12, groups=[f"{i % 4}" for i in range(24)])
    assert adapted_folds(four) == (4, "there are 4 groups of training images")
    rare = small_listing(12, 9, groups=[f"{i}" for i in range(12)] + [f"{i % 3}" for i in range(9)])
    assert adapted_folds(rare)[0] == 3
    assert adapted_folds(rare)[1].startswith("class 'class 1' has 3 groups of training images")
    folds = choose_folds(rare, "auto", 0)
    assert len({fold for fold, (_, label) in zip(folds.tolist(), rare.train, strict=True) if label == 1}) == 3


@pytest.mark.parametrize(("n_images", "n_groups"), [(10, None), (50, 5), (30, 3)])
def test_few_images_or_groups_are_a_task(n_images: int, n_groups: int | None) -> None:
    groups = None if n_groups is None else [f"{i % n_groups}" for i in range(n_images)]
    half = n_images // 2
    task = Task.from_listing(small_listing(half, half, groups=groups), "few")
    assert len(task.test_labels) > 0
    assert task.n_folds >= 2
    assert any("folds instead of 5" in note for note in task.notes)


def test_too_few_images_and_groups_are_counted_as_they_were_given() -> None:
    with pytest.raises(DataError, match="2 groups of images in made up, of which one would be held out as the test"):
        Task.from_listing(small_listing(12, 12, groups=["a", "b"] * 12), "few")
    with pytest.raises(DataError, match="task few: 5 images, of which 2 are the test and 3 are left to train on; 4 of"):
        Task.from_listing(replace(small_listing(3, 0), test=small_listing(1, 1).train), "few")
