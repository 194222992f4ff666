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
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.probe.methods.sweep import evaluate
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


def test_an_interrupted_method_leaves_nothing(posed: Posed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stage.evaluate_all(["knn"], posed(FOLDS), {}, metric="accuracy", rule="best", folder=tmp_path, task="t")
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


@pytest.mark.parametrize("door", ["probe/stage.py", "probe/experiment.py", "probe/methods/sweep.py", "select/stage.py"])
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
