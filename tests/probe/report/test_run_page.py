"""The page of a run: complete, self-contained, accessible, safe from hostile names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from head2toe.probe.report import comparison_page, mistakes, run_page
from head2toe.probe.report.mistakes import Thumbnail
from head2toe.probe.results import predictions, stored_runs
from head2toe.probe.results.result_files import read_result, write_run

Made = Callable[..., tuple[Any, Any]]
Sound = Callable[[str], Any]
HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "$10 {{ 7*7 }} ]]> & \x00\n", "日本 שלום")
PIXEL = b"\xff\xd8\xff\xd9"


def rendered(folder: Path, made: tuple[Any, Any], thumbnail: Thumbnail = lambda _: PIXEL) -> str:
    """The page of a run that was written to a folder."""
    write_run(folder, *made)
    return run_page.render(folder, read_result(folder), thumbnail)


@pytest.mark.parametrize("classes", [2, 10, 40])
def test_the_page_of_a_run_says_it_all(classes: int, sound: Sound, made_up: Made, tmp_path: Path) -> None:
    run, outcomes = made_up(n_train=200, n_test=400, classes=classes, group="natural")
    html = rendered(tmp_path, (run, outcomes))
    page = sound(html)
    record = read_result(tmp_path)
    for method in record["methods"]:
        assert f"{method['test']['accuracy']['value']:.3f}" in page.text
    command = "head2toe run stripes --input-size 160"
    for text in ("95 %", "McNemar", "one by one", command, "pre_logits", "λ", "seconds"):
        assert text in page.text
    wrong = (outcomes[-1].test_log_probabilities.argmax(axis=1) != run.test_labels).sum()
    assert len(page.all("img")) == min(wrong, mistakes.MISTAKES)
    assert len(page.all("svg")) == 2 + 2 + 2 + 2  # methods and folds; layers; F and λ; reliability and confusion
    assert classes > 2 or html == rendered(tmp_path, (run, outcomes)), "the same run makes the same page"


def test_charts_of_settings_stand_only_where_they_were_swept(sound: Sound, made_up: Made, tmp_path: Path) -> None:
    run, outcomes = made_up(n_train=100, n_test=50)
    page = sound(rendered(tmp_path, (run, outcomes[:1])))
    assert "Accuracy against the settings" not in page.text
    assert "Which layers are read" not in page.text


def test_without_test_images_nor_pictures_the_page_says_so(sound: Sound, made_up: Made, tmp_path: Path) -> None:
    page = sound(rendered(tmp_path, made_up(n_train=200, n_test=0), lambda _: None))
    assert "there are no test images" in page.text
    assert "no longer where they were" in page.text
    assert not page.all("img")
    (tmp_path / predictions.PARQUET).unlink()
    bare = sound(run_page.render(tmp_path, read_result(tmp_path), lambda _: None))
    assert "holds no predictions" in bare.text


def test_hostile_names_stay_text(sound: Sound, made_up: Made, tmp_path: Path) -> None:
    run, outcomes = made_up(n_train=80, n_test=200, classes=4, task=HOSTILE[0], group=None)
    object.__setattr__(run, "notes", {"notes": [HOSTILE[0]], "provenance": {HOSTILE[1]: [HOSTILE[0], None]}})
    for field, value in (("classes", HOSTILE), ("command", f"head2toe run '{HOSTILE[1]}'"), ("source", HOSTILE[0])):
        object.__setattr__(run, field, value)
    object.__setattr__(run, "ids", [f"{name}{HOSTILE[1]}" for name in run.ids])
    write_run(tmp_path / "run", run, outcomes)
    record = read_result(tmp_path / "run")
    page = sound(run_page.render(tmp_path / "run", record, lambda _: PIXEL))
    for text in (HOSTILE[0], HOSTILE[1], "{{ 7*7 }}", "日本 שלום"):
        assert text in page.text
    assert "49" not in page.text.split("{{ 7*7 }}")[0][-20:]
    both = [stored_runs.load(tmp_path / "run")] * 2
    assert HOSTILE[0] in sound(comparison_page.render(both)).text
