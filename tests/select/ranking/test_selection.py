"""A selection comes back from its file as it was; a damaged file is named in one line."""

from pathlib import Path

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
