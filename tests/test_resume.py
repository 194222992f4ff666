"""A run that was interrupted goes on where it was, and ends in the result of one that was not."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from head2toe.pipeline import main, run
from head2toe.probe import stage
from head2toe.probe.choice import sweep
from head2toe.probe.results import predictions
from head2toe.store.common.errors import DataError
from head2toe.tests.commands import call

METHODS = ("linear", "knn", "l21")
COMMAND = [sys.executable, "-m", "head2toe.pipeline", "run", "stripes", "--methods", "layerwise,l21,head2toe"]
COMMAND += ["--taps", "blocks"]


def content(folder: Path) -> dict[str, bytes]:
    """All files of a run."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("nested", [False, True])
def test_interrupted_between_methods(
    image_folder: Path, nested: bool, monkeypatch: pytest.MonkeyPatch, smaller: dict[str, Any]
) -> None:
    settings: dict[str, Any] = smaller | {"methods": METHODS[1:] if nested else METHODS, "nested": nested}
    monkeypatch.setattr(time, "perf_counter", lambda: 0.0)  # seconds are no property of the result
    straight = run(str(image_folder), **settings)
    expected = content(straight.file.parent)
    shutil.rmtree("results")

    evaluated: list[str] = []
    stop_at = 5 if nested else 2

    def stopping(name: str, *args: Any, **how: Any) -> Any:
        evaluated.append(name)
        if len(evaluated) == stop_at + 1:
            raise KeyboardInterrupt
        return sweep.evaluate(name, *args, **how)

    monkeypatch.setattr(stage, "evaluate", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(str(image_folder), **settings)
    assert not straight.file.exists()
    interrupted_at = evaluated[-1]
    resumed = run(str(image_folder), **settings)
    assert not resumed.recalled
    every = len(settings["methods"]) * (6 if nested else 1)
    assert evaluated[stop_at + 1] == interrupted_at
    assert len(evaluated) == every + 1, "nothing was evaluated twice but the one that was stopped"
    assert content(resumed.file.parent) == expected


def timeless(file: Path) -> dict[str, Any]:
    """A record without seconds, and without the hash of all of it."""
    record = json.loads(file.read_text())
    del record["sha256"]
    for method in record["methods"]:
        del method["cost"]["seconds"]
    for selection in record["selections"]["exact"]:
        del selection["seconds"]
    return dict(record)


@pytest.mark.slow
@pytest.mark.parametrize("nested", [False, True])
def test_a_method_that_failed_is_said_and_tried_again(
    image_folder: Path, flags: list[str], nested: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {"knn"}

    def failing(name: str, *args: Any, **how: Any) -> Any:
        outcome = sweep.evaluate(name, *args, **how)
        if name in broken and (not nested or len(outcome.test_log_probabilities) < 15):  # on an outer fold
            raise DataError("knn predicted NaN")
        return outcome

    monkeypatch.setattr(stage, "evaluate", failing)
    words = ["run", str(image_folder), *flags, "--methods", "linear,knn", "--json", *["--nested"] * nested]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "Error: knn failed, the other methods are kept: knn predicted NaN"
    record = json.loads(result.stdout)
    assert [method["name"] for method in record["methods"]] == ["linear"]
    assert record["failures"] == {"knn": "knn predicted NaN"}
    assert "- knn failed: knn predicted NaN" in Path(record["result"]).with_name("summary.md").read_text()
    broken.clear()
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0
    again = json.loads(result.stdout)
    assert again["result"] == record["result"]
    assert [method["name"] for method in again["methods"]] == ["linear", "knn"]
    assert "failures" not in again
    broken.add("knn")
    assert json.loads(CliRunner().invoke(main, words).stdout)["recalled"]
    file = Path(again["result"])
    (file.parent / "predictions.parquet").write_bytes(b"PAR1")
    assert "damaged (not what was written)" in CliRunner().invoke(main, words).stderr
    (file.parent / "predictions.parquet").unlink()  # as the message says
    assert not json.loads(CliRunner().invoke(main, words).stdout)["recalled"]
    file.write_text(file.read_text().replace('"seed": 0', '"seed": 1'))
    assert "damaged (not what was written)" in CliRunner().invoke(main, words).stderr
    file.unlink()
    assert not json.loads(CliRunner().invoke(main, words).stdout)["recalled"]
    assert json.loads(CliRunner().invoke(main, words).stdout)["recalled"]
    result = CliRunner().invoke(main, [*words, "--methods", "knn", "--fresh"])
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (1, "Error: knn predicted NaN")


@pytest.mark.slow
@pytest.mark.usefixtures("image_folder")
def test_killed_between_methods_and_by_two_at_once(flags: list[str]) -> None:
    command = [*COMMAND, *flags]
    subprocess.run(command, check=True, capture_output=True)
    (file,) = Path("results").glob("*/result.json")
    expected = timeless(file)
    predictions = (file.parent / "predictions.parquet").read_bytes()
    shutil.rmtree("results")

    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(Path("results").glob("outcomes/*.npz")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    kept = {path: path.stat().st_mtime_ns for path in Path("results").glob("outcomes/*.npz")}
    assert kept
    assert not file.exists()

    both = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "what was finished was not made again"
    assert timeless(file) == expected
    assert (file.parent / "predictions.parquet").read_bytes() == predictions


def test_images_that_were_renamed(image_folder: Path, smaller: dict[str, Any]) -> None:
    """What was computed is recalled, but predictions bear the new names."""
    settings = smaller | {"methods": ("linear",)}
    run(str(image_folder), **settings)
    (image_folder / "train" / "down" / "05.png").rename(image_folder / "train" / "down" / "05-again.png")
    renamed = run(str(image_folder), **settings)
    assert not renamed.recalled
    assert any("05-again" in name for name in predictions.read(renamed.file.parent)["linear"].ids)
    assert run(str(image_folder), **settings).recalled


@pytest.mark.parametrize("name", ["model.json", "head.safetensors", "calibration.safetensors"])
@pytest.mark.parametrize("harm", ["cut", "gone"])
def test_a_damaged_model_of_a_run_is_made_anew_by_running_again(
    name: str, harm: str, image_folder: Path, smaller: dict[str, Any]
) -> None:
    first = run(str(image_folder), **smaller, methods=("linear",))
    file = first.file.parent / "models" / "linear" / name
    before = file.read_bytes()
    file.write_bytes(before[:-9]) if harm == "cut" else file.unlink()
    shown = call("predict", first.file.parent, "--method", "linear", image_folder / "test")
    assert shown.exit_code in (1, 2)
    assert len(shown.stderr.splitlines()) == 1
    assert name == "model.json" or "run the task again, which writes it anew" in shown.stderr
    again = run(str(image_folder), **smaller, methods=("linear",))
    assert not again.recalled
    assert file.read_bytes() == before
    assert call("predict", first.file.parent, "--method", "linear", image_folder / "test").exit_code == 0
    (file.parents[1] / ".DS_Store").write_bytes(b"what a file manager leaves is no model")
    assert run(str(image_folder), **smaller, methods=("linear",)).recalled
