"""`head2toe try` as a user calls it: rounds that halve, nested subsets, and no image extracted twice."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head2toe.extract.tasks.registry import load_task
from head2toe.pipeline import Options
from head2toe.probe import stage
from head2toe.probe.planning.backbone_trials import Contender, Tried, contenders, sizes_of_rounds, subset
from head2toe.store.common.errors import BadRequest, DataError
from head2toe.tests.commands import call, document

DTYPES = ("float16", "float32")
SMALL = ("--backbone", "test_resnet", "--backbone", "test_vit", "--weights", "random", "--target-size", "16")


def test_rounds_double_up_to_what_is_asked_for() -> None:
    assert sizes_of_rounds(1000, 10, 400) == [100, 200, 400]
    assert sizes_of_rounds(1000, 102, 400) == [306, 400]
    assert sizes_of_rounds(60, 3, 400) == [60]
    with pytest.raises(BadRequest, match="two of each class"):
        sizes_of_rounds(1000, 10, 15)


def test_the_last_layer_is_tried_once_and_all_layers_at_every_size() -> None:
    found = contenders(Options(backbone=("a", "b"), target_sizes=(64, 16)))
    assert found[:3] == [Contender("a", None, 16, "linear"), *(Contender("a", None, n, "all-l2") for n in (64, 16))]
    assert len(found) == 6


def test_subsets_are_nested_and_stratified_and_have_no_test(image_folder: Path) -> None:
    task = load_task(str(image_folder))
    few, more = subset(task, 12, 0), subset(task, 24, 0)
    assert {image.name for image in few.images} < {image.name for image in more.images}
    assert np.bincount(few.labels).tolist() == [4, 4, 4]
    assert len(few.test_labels) == 0
    assert all("/train/" in image.name for image in more.images)


def test_a_held_out_part_is_in_every_subset_and_too_few_images_are_one_line(image_folder: Path) -> None:
    task = load_task(str(image_folder), folds="holdout")
    for size in (12, 20, 36):
        assert np.count_nonzero(subset(task, size, 0).folds >= 0) >= 2
    found = document("try", image_folder, *SMALL, "--folds", "holdout", "--images", "18")
    assert found["rounds"] == [18]
    tiny = replace(task, folds=np.where(np.arange(len(task.folds)) == 0, 0, -1))
    with pytest.raises(BadRequest, match="give more with --images"):
        subset(tiny, 6, 0)


def test_bytes_are_those_of_the_dtype_that_is_stored(image_folder: Path) -> None:
    half, whole = (document("try", image_folder, *SMALL, "--images", "12", "--dtype", name) for name in DTYPES)
    for one, two in zip(half["tried"], whole["tried"], strict=True):
        assert one["bytes_per_image"] < two["bytes_per_image"] <= 2 * one["bytes_per_image"]


def test_by_how_much_one_is_behind_is_paired() -> None:
    right = np.array([True, True, False, True])
    common = {"images": 4, "log_loss": 1.0, "seconds": None, "flops": 1.0, "bytes": 1.0}
    best = Tried(Contender("a", None, 16, "linear"), right=right, **common)
    other = Tried(Contender("b", None, 16, "linear"), right=np.array([True, False, False, True]), **common)
    assert other.behind(best) == (0.25, pytest.approx(0.25))
    assert best.behind(best) == (0.0, 0.0)


def test_backbones_are_tried_and_one_is_recommended(image_folder: Path) -> None:
    found = document("try", image_folder, *SMALL)
    assert found["rounds"] == [36]
    assert {(one["backbone"], one["method"]) for one in found["tried"]} == {
        (name, method) for name in ("test_resnet", "test_vit") for method in ("linear", "all-l2")
    }
    assert found["recommended"]["backbone"] in ("test_resnet", "test_vit")
    assert found["rest"]["images"] == 15
    assert found["rest"]["seconds"] > 0
    best = found["tried"][0]
    assert (best["behind"], best["stderr"]) == (0, 0)
    again = document("try", image_folder, *SMALL)
    assert again["rest"]["seconds"] is None, "nothing was extracted this time"
    ran = document("run", image_folder, *SMALL[2:], "--methods", "linear")
    assert ran["images_extracted"] == 15, "the others are in the store"


def test_people_see_a_table_and_a_recommendation(image_folder: Path) -> None:
    shown = call("try", image_folder, *SMALL, "--images", "12")
    assert shown.exit_code == 0, shown.output
    assert "recommended" in shown.stdout
    assert "the rest     39 images" in shown.stdout
    assert "the last layer" in shown.stdout


def test_a_contender_that_fails_is_said_and_the_others_go_on(
    image_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate = stage.evaluate

    def fail(name: str, *rest: Any, **options: Any) -> Any:
        if name in failing:
            raise DataError("its numbers are no good")
        return evaluate(name, *rest, **options)

    monkeypatch.setattr(stage, "evaluate", fail)
    failing = {"linear"}
    shown = call("try", image_folder, *SMALL, "--images", "12", "--json")
    assert shown.exit_code == 1
    found = json.loads(shown.stdout)
    assert {one["method"] for one in found["tried"]} == {"all-l2"}
    assert sorted(found["failures"]) == [
        f"{name} (target size 16, the last layer)" for name in ("test_resnet", "test_vit")
    ]
    assert "the other contenders are kept: its numbers are no good" in shown.stderr
    failing.add("all-l2")
    shown = call("try", image_folder, *SMALL, "--images", "13")
    assert (shown.exit_code, shown.stderr.splitlines()[-1]) == (1, "Error: its numbers are no good")
