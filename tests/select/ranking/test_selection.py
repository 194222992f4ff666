"""A selection comes back from its file as it was; a damaged file is named in one line."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head2toe.select.ranking.selection import Certificate, Selection, Sparse
from head2toe.select.stage import Selected
from head2toe.store.common.errors import DataError


def test_a_round_trip_and_damage(tmp_path: Path) -> None:
    model = Sparse(np.arange(3), np.ones((3, 2), np.float32), np.zeros(2))
    rankings = np.arange(8, dtype=np.int32).reshape(1, 2, 4)
    certificate = Certificate(0.1, 0.005, converged=True, active=(3, 3))
    file = tmp_path / "new" / "s.npz"
    Selection(rankings, (certificate,), ((model, model),), 9).save(file, {"tol": 0.01})
    loaded = Selection.load(file)
    assert np.array_equal(loaded.rankings, rankings)
    assert (loaded.certificates, loaded.n_features, loaded.ratios) == ((certificate,), 9, (0.1,))
    assert np.array_equal(loaded.models[0][1].coef, model.coef)
    whole = file.read_bytes()
    for content in (b"", b"no zip", whole[: len(whole) // 2]):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"s\.npz is not a selection \(.*\): remove it and select again"):
            Selection.load(file)


def test_what_a_recalled_selection_cost_is_what_it_cost(tmp_path: Path) -> None:
    """The paper's recipe leaves no models, and none come back."""
    certificate = Certificate(0.1, float("inf"), converged=False, active=(9, 9))
    made, file = Selection(np.zeros((1, 2, 4), np.int32), (certificate,), (), 9), tmp_path / "s.npz"
    made.save(file, {})
    recalled = Selection.load(file)
    assert recalled.models == ()
    assert recalled.certificates == (certificate,)
    cost = [Selected("unit", {64: one}, {64: file}, False, 0.0).flops(100, 3) for one in (made, recalled)]
    assert cost[0] == cost[1] > 0


def models(**changes: np.ndarray) -> Selection:
    """A selection of one λ and one row set, of 9 features."""
    parts = {"columns": np.array([1, 4, 7]), "coef": np.ones((3, 2), np.float32), "intercept": np.zeros(2)}
    rankings = np.array([[[4, 7, 1]]], np.int32)
    model = Sparse(**{name: changes.get(name, part) for name, part in parts.items()})
    certificate = Certificate(0.1, 0.005, converged=True, active=(3,))
    return Selection(changes.get("rankings", rankings), (certificate,), ((model,),), 9)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("columns", np.array([1, 4, 9])),
        ("columns", np.array([-1, 4, 7])),
        ("columns", np.array([4, 1, 7])),
        ("columns", np.array([1.0, 4.0, 7.0])),
        ("coef", np.full((3, 2), np.nan, np.float32)),
        ("coef", np.ones((2, 2), np.float32)),
        ("coef", np.ones((3, 3), np.float32)),
        ("coef", np.ones((3, 2), complex)),
        ("intercept", np.array([0.0, np.inf])),
        ("intercept", np.array(0.0)),
        ("rankings", np.array([[[4, 7, 9]]], np.int32)),
        ("rankings", np.array([[[4, 7, -1]]], np.int32)),
        ("rankings", np.array([[[4, 7, 1]]], np.float32)),
        ("rankings", np.array([[4, 7, 1]], np.int32)),
        ("rankings", np.zeros((2, 1, 3), np.int32)),
    ],
)
def test_values_that_no_selection_has_are_refused_whatever_checksum_they_have(
    name: str, array: np.ndarray, tmp_path: Path
) -> None:
    file = tmp_path / "s.npz"
    models().save(file, {})
    assert Selection.load(file).models[0][0].columns.tolist() == [1, 4, 7]
    models(**{name: array}).save(file, {})
    with pytest.raises(DataError, match=r"s\.npz is not a selection \(.*\): remove it and select again") as error:
        Selection.load(file)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("seconds", [None, "x", float("nan"), float("inf"), -1, []])
def test_a_cost_that_is_none_is_refused(seconds: Any, tmp_path: Path) -> None:
    file = tmp_path / "s.npz"
    replace(models(), seconds=seconds).save(file, {})
    with pytest.raises(DataError, match="seconds is"):
        Selection.load(file)
