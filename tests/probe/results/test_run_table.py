"""The table across runs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from head2toe.probe.results import run_table
from head2toe.probe.results.result_files import read_result, write_run

Made = Callable[..., tuple[Any, Any]]


def test_a_number_of_features_is_a_fraction_in_the_table(made_up: Made, tmp_path: Path) -> None:
    run, outcomes = made_up(n_train=60, n_test=20)
    counted = replace(outcomes[-1], settings={"features": outcomes[-1].features_total // 4, "lambda": 0.5})
    write_run(tmp_path, run, (counted,))
    (row,) = run_table.rows(read_result(tmp_path), tmp_path)
    assert row["F"] == pytest.approx(0.25, rel=1e-4)
    assert (row["lambda_ratio"], row["lambda"]) == (None, 0.5)
