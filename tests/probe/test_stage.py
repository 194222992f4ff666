"""What a method left is kept bit for bit, and recalled by nobody but the same work."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head2toe.probe import outcome_file, stage
from head2toe.probe.candidates import Problem
from head2toe.probe.methods import METHODS
from head2toe.probe.sweep import evaluate
from head2toe.store.errors import DataError

ROOT = Path(__file__).parents[2]
Posed = Callable[[np.ndarray], Problem]
FOLDS = np.arange(100) * 3 // 100


def same(a: Any, b: Any) -> bool:
    """Bit for bit, all the way down; tuples and lists are both sequences."""
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(same, a, b))
    if hasattr(a, "__dataclass_fields__"):
        return type(a) is type(b) and all(same(getattr(a, name), getattr(b, name)) for name in a.__dataclass_fields__)
    return bool(a == b)


@pytest.mark.parametrize("method", ["linear", "knn", "l21", "head2toe"])
def test_a_round_trip(method: str, posed: Posed, tmp_path: Path) -> None:
    outcome = evaluate(method, posed(FOLDS))
    outcome_file.save(outcome, tmp_path / "new" / "o.npz")
    assert same(outcome, outcome_file.load(tmp_path / "new" / "o.npz"))


def test_a_damaged_file_is_named(posed: Posed, tmp_path: Path) -> None:
    file = tmp_path / "o.npz"
    outcome_file.save(evaluate("knn", posed(FOLDS)), file)
    whole = file.read_bytes()
    for content in (b"", b"no zip", whole[: len(whole) // 2]):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"o\.npz is not an outcome \(.*\): remove it and run again") as error:
            outcome_file.load(file)
        assert "\n" not in str(error.value)


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
    problem, made_of = posed(FOLDS), {"rows": "r", "stores": ["s"], "exact": ["e"]}
    told: dict[str, Any] = {"metric": "accuracy", "rule": "best", "folder": tmp_path, "task": "t"}

    def evaluates(*methods: str, made_of: dict[str, Any] = made_of, **changes: Any) -> list[str]:
        evaluated.clear()
        stage.evaluate_all(methods, problem, made_of, **told | changes)
        return list(evaluated)

    assert evaluates("knn") == ["knn"]
    assert evaluates("knn") == []
    assert evaluates("linear", "knn") == ["linear"], "one more method computes that one alone"
    assert evaluates("knn", "linear") == []
    assert evaluates("knn", fresh=True) == ["knn"]
    assert evaluates("knn", made_of=made_of | {"exact": ["other"]}) == [], "it needs no selection"
    for part in ("rows", "stores"):
        assert evaluates("knn", made_of=made_of | {part: "other"}) == ["knn"]
    assert evaluates("knn", metric="log_loss") == ["knn"]
    assert evaluates("knn", rule="simplest") == ["knn"]
    assert evaluates("l21") == ["l21"]
    assert evaluates("l21", made_of=made_of | {"exact": ["other"]}) == ["l21"]


def test_an_interrupted_method_leaves_nothing(posed: Posed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stage.evaluate_all(["knn"], posed(FOLDS), {}, metric="accuracy", rule="best", folder=tmp_path, task="t")
    assert not list(tmp_path.iterdir())


def test_results_depend_on_no_module_that_only_shows_them() -> None:
    """What the sweep reaches by its imports is part of the code's fingerprint."""
    reached, todo = set(), {"sweep", *METHODS["linear"].candidates.__module__.split(".")[-1:]}
    while todo:
        name = todo.pop()
        reached.add(name)
        tree = ast.parse((ROOT / "probe" / f"{name}.py").read_text(encoding="utf-8"))
        modules = {
            module
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module
            for module in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
        }
        found = {module.split(".")[2] for module in modules if module.startswith("head2toe.probe.")}
        todo |= {name for name in found if (ROOT / "probe" / f"{name}.py").is_file()} - reached
    assert {"averaging", "heads", "rows"} <= reached
    assert not reached & set(stage.SHOWING)
    assert set(stage.SHOWING) <= {file.stem for file in (ROOT / "probe").glob("*.py")}
