"""`head2toe curve` as a user calls it."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from head2toe.probe.choice.sweep import evaluate
from head2toe.store.common.errors import DataError
from head2toe.tests.commands import call, document
from head2toe.tests.conftest import FLAGS, MadeBefore, stripes

HOW = ("--methods", "linear,ncm", "--sizes", "12,20,36")


def extracted(folder: Path) -> None:
    document("extract", stripes(folder), *FLAGS)


def drawn(folder: Path) -> None:
    document("curve", stripes(folder), *FLAGS, *HOW)


@pytest.fixture
def curve(image_folder: Path) -> list[str]:
    return ["curve", str(image_folder), *FLAGS, *HOW]


def test_the_curve_has_its_points_its_promises_and_a_picture(
    curve: list[str], tmp_path: Path, made_before: MadeBefore
) -> None:
    made_before(drawn)
    found = document(*curve, "-o", tmp_path / "curve.svg")
    assert found["repeats"] == 2
    assert [one["method"] for one in found["curves"]] == ["linear", "ncm"]
    for one in found["curves"]:
        assert [point["labels"] for point in one["points"]] == [12, 20, 36]
        assert [promise["labels"] for promise in one["promises"]] == [54, 72, 144]
        assert all(0 <= point["accuracy"] <= 1 for point in one["points"])
        for promise in one["promises"]:
            assert 0 <= promise["interval"][0] <= promise["interval"][1] <= 1
    picture = ElementTree.fromstring((tmp_path / "curve.svg").read_text(encoding="utf-8"))
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    assert "http" not in (tmp_path / "curve.svg").read_text(encoding="utf-8").replace("http://www.w3.org", "")


def test_the_last_point_is_that_of_nested_cross_validation(
    curve: list[str], image_folder: Path, flags: list[str], made_before: MadeBefore
) -> None:
    made_before(drawn)
    found = document(*curve)
    nested = document("run", image_folder, *flags, "--methods", "linear,ncm", "--nested")
    for one, method in zip(found["curves"], nested["methods"], strict=True):
        assert one["points"][-1]["accuracy"] == pytest.approx(method["nested"]["accuracy"]["mean"], abs=1e-6)


def test_a_repeat_draws_other_labels_and_all_of_them_have_no_other(curve: list[str], made_before: MadeBefore) -> None:
    made_before(drawn)
    twice, once = (document(*curve, "--repeats", repeats)["curves"] for repeats in (2, 1))
    assert any(one["points"][0] != both["points"][0] for one, both in zip(once, twice, strict=True))
    assert [one["points"][-1] for one in once] == [both["points"][-1] for both in twice]


def test_what_was_solved_is_recalled(
    curve: list[str], monkeypatch: pytest.MonkeyPatch, made_before: MadeBefore
) -> None:
    made_before(extracted)
    first = document(*curve)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("it was solved before")

    monkeypatch.setattr("head2toe.probe.stage.evaluate", refuse)
    assert document(*curve) == first


def test_one_methods_failure_leaves_the_others_curves_and_exit_code_1(
    curve: list[str], monkeypatch: pytest.MonkeyPatch, made_before: MadeBefore
) -> None:
    made_before(extracted)

    def failing(name: str, *args: Any, **how: Any) -> Any:
        if name == "ncm":
            raise DataError("a mean that is none")
        return evaluate(name, *args, **how)

    monkeypatch.setattr("head2toe.probe.stage.evaluate", failing)
    shown = call(*curve, "--json")
    assert shown.exit_code == 1
    found = json.loads(shown.stdout)
    assert [one["method"] for one in found["curves"]] == ["linear"]
    assert found["failures"] == {"ncm": "a mean that is none"}
    assert "ncm" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_people_see_a_table_and_what_twice_the_labels_would_bring(curve: list[str], made_before: MadeBefore) -> None:
    made_before(drawn)
    shown = call(*curve)
    assert shown.exit_code == 0, shown.output
    assert "twice the labels would bring" in shown.stdout
    assert len([line for line in shown.stdout.splitlines() if "promised" in line]) == 3


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ("10,x", "whole numbers with commas"),
        ("10,20", "three numbers or more, from 1 to the 36 training rows"),
        ("10,20,40", "three numbers or more, from 1 to the 36 training rows"),
        ("1,2,36", "1 labels are too few for a point of a learning curve"),
        ("0,10,20", "three numbers or more, from 1 to the 36 training rows"),
    ],
)
def test_sizes_that_make_no_sense_are_one_line(
    image_folder: Path, flags: list[str], sizes: str, says: str, made_before: MadeBefore
) -> None:
    made_before(extracted)
    result = call("curve", image_folder, *flags, "--methods", "ncm", "--sizes", sizes)
    assert result.exit_code == 2
    assert says in result.stderr


def test_images_without_any_difference_are_told_by_task_size_and_fold(image_folder: Path, flags: list[str]) -> None:
    files = sorted((image_folder / "train").rglob("*.png"))
    for file in files:
        file.write_bytes(files[0].read_bytes())
    alike = call("curve", image_folder, *flags, "--methods", "l21", "--sizes", "12,20,36")
    assert alike.exit_code == 1, alike.output
    assert re.search(
        r"task stripes, target size 64, 12 labels, repeat 1 of 2, fold 1 of 5: "
        r"every feature is constant on the images outside of fold 1 of 4: there is nothing to select from",
        alike.stderr,
    ), alike.stderr
