"""A run's files survive a round trip, and a damaged `result.json` is named."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from head2toe.probe.results.result_files import read_result, write_run
from head2toe.store.common.errors import StoreError

Made = Callable[..., tuple[Any, Any]]


def test_a_round_trip(made_up: Made, tmp_path: Path) -> None:
    run, outcomes = made_up(n_train=100, n_test=60)
    record = write_run(tmp_path / "a", run, outcomes)
    assert read_result(tmp_path / "a") == read_result(tmp_path / "a" / "result.json") == json.loads(json.dumps(record))
    again = write_run(tmp_path / "b", *made_up(n_train=100, n_test=60))
    assert again == record
    for name in ("result.json", "summary.md", "config.json", "predictions.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


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
