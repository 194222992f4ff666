"""A run's files survive a round trip, and a damaged `result.json` is named."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head2toe.probe.report import run_page
from head2toe.probe.results import predictions
from head2toe.probe.results.result_files import read_result, write_run
from head2toe.probe.results.stored_runs import below, load, page_of
from head2toe.store.common.errors import StoreError
from head2toe.store.common.fingerprint import sealed
from head2toe.tests.commands import call

Made = Callable[..., tuple[Any, Any]]


def test_a_round_trip(made_up: Made, tmp_path: Path) -> None:
    run, outcomes = made_up(n_train=100, n_test=60)
    record = write_run(tmp_path / "a", run, outcomes)
    assert read_result(tmp_path / "a") == read_result(tmp_path / "a" / "result.json") == json.loads(json.dumps(record))
    again = write_run(tmp_path / "b", *made_up(n_train=100, n_test=60))
    assert again == record
    for name in ("result.json", "summary.md", "config.json", "predictions.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_no_changed_byte_passes(made_up: Made, tmp_path: Path) -> None:
    record = write_run(tmp_path, *made_up(n_train=30, n_test=20))
    file, rng = tmp_path / "result.json", np.random.default_rng(0)
    text = file.read_bytes()
    (digit,) = re.search(rb'"value": 0\.(\d)', text).groups()  # type: ignore[union-attr]
    edited = text.replace(b'"value": 0.' + digit, b'"value": 0.%d' % (int(digit) ^ 1), 1)
    flipped = []
    for at in rng.choice(len(text), 150, replace=False):
        byte = bytes([text[at] ^ 1 << int(rng.integers(8))])
        flipped.append(text[:at] + byte + text[at + 1 :])
    passed = 0
    for content in (edited, *flipped):
        file.write_bytes(content)
        message = ""
        try:
            assert read_result(tmp_path) == record
        except StoreError as error:
            message = str(error)
        assert not message or re.fullmatch(".*: remove it and run the task again", message)
        passed += not message
    assert passed < 20, "only spaces may change"
    file.write_bytes(text)
    assert read_result(tmp_path) == record


def test_changed_predictions_do_not_pass(made_up: Made, tmp_path: Path) -> None:
    entry = write_run(tmp_path, *made_up(n_train=30, n_test=20))["predictions"]
    file = tmp_path / entry["file"]
    content = file.read_bytes()
    assert predictions.whole(tmp_path, entry)
    assert list(predictions.read(tmp_path, entry))
    file.write_bytes(content[:500] + bytes([content[500] ^ 4]) + content[501:])
    for check in (predictions.whole, predictions.read):
        with pytest.raises(StoreError, match=r"predictions\.parquet: damaged .*: remove it and run the task again"):
            check(tmp_path, entry)
    file.unlink()
    assert not predictions.whole(tmp_path, entry)
    assert predictions.read(tmp_path, entry) == {}
    assert predictions.whole(tmp_path, None), "a run of before names no predictions"


def test_results_of_before_are_read_and_what_they_lack_is_named(made_up: Made, tmp_path: Path) -> None:
    write_run(tmp_path, *made_up(n_train=30, n_test=20))
    file = tmp_path / "result.json"
    record = json.loads(file.read_text())
    del record["sha256"], record["predictions"]
    file.write_text(json.dumps(record))
    old = load(tmp_path)
    assert not old.sealed
    assert predictions.read(tmp_path, old.record.get("predictions"))
    for lacking in (("options",), ("versions",), ("calibration", "bins"), ("cost", "seconds"), ("cv", "accuracy")):
        less = json.loads(json.dumps(record))
        for part in [less] if lacking[0] in less else less["methods"]:
            del (part[lacking[0]] if len(lacking) > 1 else part)[lacking[-1]]
        file.write_text(json.dumps(less))
        with pytest.raises(StoreError, match="remove it and run the task again") as error:  # noqa: PT012
            run = load(tmp_path)
            page_of([run], lambda runs: run_page.render(runs[0].folder, runs[0].record, lambda _: None))
        assert "\n" not in str(error.value)


SENSELESS = {
    "group": {"a": 1},
    "classes": [-1],
    "seed": "../../etc/passwd",
    "options": "x",
    "store": 1e308,
    "source": "\ud800",
    "counts": [],
    "methods.0.cv.accuracy.stderr": [],
    "methods.0.cv.accuracy.folds": [{"a": 1}],
    "methods.0.calibration": "x",
    "methods.0.calibration.bins": "x",
    "methods.0.cost.bytes": [[]],
    "methods.0.features.kept": None,
    "methods.0.settings": [1],
    "methods.0.layers": [{}],
    "comparisons.0.p": "x",
    "comparisons.0.interval": True,
}


@pytest.mark.parametrize("place", SENSELESS)
def test_senseless_values_under_the_right_hash_are_one_line(
    place: str, made_up: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("whole", "forged"):
        write_run(tmp_path / name, *made_up(n_train=30, n_test=20))
    file = tmp_path / "forged" / "result.json"
    record = json.loads(file.read_text())
    *way, last = [int(word) if word.isdigit() else word for word in place.split(".")]
    inner = record
    for step in way:
        inner = inner[step]
    inner[last] = SENSELESS[place]
    file.write_text(json.dumps(sealed(record)))
    for words in (["forged"], ["whole", "forged"]):
        made = call("report", *words, "-o", "page.html")
        assert isinstance(made.exception, SystemExit | None), made.exception
        if made.exit_code:
            assert re.fullmatch(r"Error: forged/result\.json: .*: remove it and run the task again\n", made.stderr)
    forgotten = call("forget", "forged", "--image", "a.png")
    assert isinstance(forgotten.exception, SystemExit), forgotten.exception
    listed = call("results", "--output", ".")
    assert listed.exit_code == 0, listed.output
    assert "whole" in call("results", "--output", ".", "--csv").stdout


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"methods": []}', "not a result of this version"),
        ('{"schema_version": 1}', "no 'task'"),
    ],
)
def test_what_is_damaged_is_named(content: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(StoreError, match=re.escape(fault)) as error:
        read_result(tmp_path)
    assert str(tmp_path / "result.json") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("entry", ["task", "argument", "command", "metric", "source", "store"])
def test_entries_that_are_no_text_are_named_whatever_hash_they_have(entry: str, made_up: Made, tmp_path: Path) -> None:
    write_run(tmp_path, *made_up(n_train=30, n_test=20))
    file = tmp_path / "result.json"
    record = json.loads(file.read_text())
    assert load(tmp_path).sealed
    for value in (None, 7, ["x"], {"x": 1}):
        file.write_text(json.dumps(sealed(record | {entry: value})))
        with pytest.raises(StoreError, match="remove it and run the task again") as error:
            load(tmp_path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [[], "x", 3, {"accuracy": None}])
def test_a_method_without_its_figures_is_named_before_the_table_is_made(
    value: Any, made_up: Made, tmp_path: Path
) -> None:
    write_run(tmp_path, *made_up(n_train=30, n_test=20))
    file = tmp_path / "result.json"
    record = json.loads(file.read_text())
    record["methods"][0]["test"] = value
    file.write_text(json.dumps(sealed(record)))
    with pytest.raises(StoreError, match="remove it and run the task again"):
        read_result(tmp_path)


def test_a_folder_of_the_name_hides_no_other_run(made_up: Made, tmp_path: Path) -> None:
    write_run(tmp_path / "a", *made_up(n_train=30, n_test=20))
    (tmp_path / "b" / "result.json").mkdir(parents=True)
    said: list[str] = []
    assert [run.folder for run in below(tmp_path, said.append)] == [tmp_path / "a"]
    assert len(said) == 1
