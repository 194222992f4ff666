"""What a method left is recalled by nobody but the same work, by the same code."""

import ast
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head2toe.extract.finetuning.trials import TRAINING_CODE
from head2toe.probe import stage
from head2toe.probe.choice.sweep import evaluate
from head2toe.probe.methods.failures import Failures
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.store.common.errors import BadRequest, Damaged, DataError
from head2toe.store.common.fingerprint import code_fingerprint

ROOT = Path(__file__).parents[2]
Posed = Callable[[np.ndarray], ProbeData]
FOLDS = np.arange(100) * 3 // 100


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The methods that were evaluated, as they are."""
    names: list[str] = []

    def counted(name: str, *args: Any, **how: Any) -> Any:
        names.append(name)
        return evaluate(name, *args, **how)

    monkeypatch.setattr(stage, "evaluate", counted)
    return names


def test_the_same_work_is_recalled_and_other_work_is_not(posed: Posed, tmp_path: Path, evaluated: list[str]) -> None:
    data, depends_on = posed(FOLDS), {"rows": "r", "stores": ["s"], "exact": ["e"]}
    settings: dict[str, Any] = {"metric": "accuracy", "rule": "best", "folder": tmp_path, "task": "t"}
    settings["failures"] = Failures()

    def evaluates(*methods: str, depends_on: dict[str, Any] = depends_on, **changes: Any) -> list[str]:
        evaluated.clear()
        stage.evaluate_all(methods, data, depends_on, **settings | changes)
        return list(evaluated)

    assert evaluates("knn") == ["knn"]
    assert evaluates("knn") == []
    assert evaluates("linear", "knn") == ["linear"], "one more method computes that one alone"
    assert evaluates("knn", "linear") == []
    assert evaluates("knn", fresh=True) == ["knn"]
    assert evaluates("knn", depends_on=depends_on | {"exact": ["other"]}) == [], "it needs no selection"
    for part in ("rows", "stores"):
        assert evaluates("knn", depends_on=depends_on | {part: "other"}) == ["knn"]
    assert evaluates("knn", metric="log_loss") == ["knn"]
    assert evaluates("knn", rule="simplest") == ["knn"]
    assert evaluates("l21") == ["l21"]
    assert evaluates("l21", depends_on=depends_on | {"exact": ["other"]}) == ["l21"]
    assert not settings["failures"].errors


def evaluate_knn(data: ProbeData, folder: Path, *others: str) -> tuple[list[str], dict[str, str]]:
    """The names of the outcomes, and the failures."""
    failures = Failures()
    settings: dict[str, Any] = {"metric": "accuracy", "rule": "best", "folder": folder, "task": "t"}
    outcomes = stage.evaluate_all([*others, "knn"], data, {}, **settings, failures=failures)
    return [outcome.name for outcome in outcomes], failures.errors


@pytest.mark.parametrize("error", [DataError("no\nnumbers"), MemoryError(), np.linalg.LinAlgError("Singular matrix")])
def test_a_method_that_fails_leaves_the_others_alone(
    posed: Posed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def failing(name: str, *args: Any, **how: Any) -> Any:
        if name == "linear":
            raise error
        return evaluate(name, *args, **how)

    monkeypatch.setattr(stage, "evaluate", failing)
    names, failures = evaluate_knn(posed(FOLDS), tmp_path, "linear")
    assert names == ["knn"]
    assert list(failures) == ["linear"]
    assert "\n" not in failures["linear"]


def test_what_was_kept_and_is_damaged_is_a_failure_of_its_method(posed: Posed, tmp_path: Path) -> None:
    evaluate_knn(posed(FOLDS), tmp_path, "linear")
    (kept,) = tmp_path.glob("t-linear-*.npz")
    kept.write_bytes(kept.read_bytes()[:-100])
    names, failures = evaluate_knn(posed(FOLDS), tmp_path, "linear")
    assert names == ["knn"]
    assert "remove it and run again" in failures["linear"]
    kept.unlink()
    assert evaluate_knn(posed(FOLDS), tmp_path, "linear") == (["linear", "knn"], {})


@pytest.mark.parametrize("error", [BadRequest("no such metric"), Damaged(Path("block"), "damaged", "verify")])
def test_what_concerns_the_whole_run_ends_it(
    posed: Posed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(stage, "evaluate", failing)
    with pytest.raises(type(error)):
        evaluate_knn(posed(FOLDS), tmp_path)


def test_an_interrupted_method_leaves_nothing(posed: Posed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate_knn(posed(FOLDS), tmp_path)
    assert not list(tmp_path.iterdir())


def closure(*doors: str) -> set[str]:
    """Every file of the house that these import, directly or through others, wherever in the file."""
    reached, todo = set(), {ROOT / door for door in doors}
    while todo:
        file = todo.pop()
        reached.add(file)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("head2toe."):
                module = ROOT.joinpath(*str(node.module).split(".")[1:])
                named = {module.with_suffix(".py"), *(module / f"{alias.name}.py" for alias in node.names)}
                todo |= {one for one in named if one.is_file()} - reached
    return {file.relative_to(ROOT).as_posix() for file in reached}


SHOWN = (
    "store/",
    "extract/options.py",
    "probe/options.py",
    "probe/results/predictions.py",
    "probe/results/summary.py",
    "probe/stage_results.py",
    "probe/extracted.py",
)
"""What results depend on through their settings and their stores' keys, or not at all."""
TRAININGS = ("extract/tasks/", "extract/readers/", "extract/vtab/", "extract/features/", "extract/options.py", "store/")
"""What trainings depend on through images, labels and folds, which are part of their names, or not at all."""


@pytest.mark.parametrize("door", ["probe/stage.py", "probe/experiment.py", "probe/choice/sweep.py", "select/stage.py"])
def test_results_are_named_by_all_code_they_depend_on(door: str) -> None:
    known = {file.relative_to(ROOT).as_posix() for file in sources(ROOT, stage.CODE)}
    reached = {file for file in closure(door) if not file.startswith(SHOWN)}
    assert len(reached) > 5
    assert reached <= known
    assert {"store/reading/design_matrix.py", "store/reading/mapping.py"} <= known


def test_trainings_are_named_by_all_code_they_depend_on() -> None:
    known = {file.relative_to(ROOT).as_posix() for file in sources(ROOT, TRAINING_CODE)}
    assert {file for file in closure("extract/finetuning/trials.py") if not file.startswith(TRAININGS)} <= known
    assert {"extract/images/sources.py", "extract/images/batches.py", "extract/backbone/backbone.py"} <= known


@pytest.mark.parametrize("places", [stage.CODE, TRAINING_CODE], ids=["results", "trainings"])
def test_one_byte_of_any_source_changes_the_name(places: tuple[str, ...], tmp_path: Path) -> None:
    files = sources(ROOT, places)
    assert len(files) > 10
    for file in files:
        copy = tmp_path / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    names = {code_fingerprint(*places, house=tmp_path)}
    assert names == {code_fingerprint(*places)}
    for file in files:
        copy = tmp_path / file.relative_to(ROOT)
        text = copy.read_bytes()
        copy.write_bytes(text[:-2] + bytes([text[-2] ^ 1]) + text[-1:])
        names.add(code_fingerprint(*places, house=tmp_path))
        copy.write_bytes(text)
        moved = copy.rename(copy.with_name("renamed.py"))  # the same text under another name
        if file.relative_to(ROOT).as_posix() not in places:
            names.add(code_fingerprint(*places, house=tmp_path))
        moved.rename(copy)
    assert len(names) == 1 + len(files) + sum(file.relative_to(ROOT).as_posix() not in places for file in files)


def test_a_place_without_source_is_an_error() -> None:
    with pytest.raises(FileNotFoundError, match="no source at"):
        code_fingerprint("select/nothing.py")


def sources(house: Path, places: tuple[str, ...]) -> list[Path]:
    """The files at some places of the house."""
    return sorted({file for at in places for file in [*(house / at).rglob("*.py"), house / at] if file.is_file()})
