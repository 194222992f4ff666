"""Predictions come back from Parquet and from CSV as they were written; what is damaged is named."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head2toe.probe.results import predictions
from head2toe.store.common.errors import MissingExtra, StoreError

Made = Callable[..., tuple[Any, Any]]
NAMES = ('with, "quotes"', "p_", "line\nbreak", "Ünïcode", "p_")


def without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)


@pytest.mark.parametrize("form", [predictions.PARQUET, predictions.CSV])
def test_a_round_trip(form: str, made_up: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, outcomes = made_up(n_train=40, n_test=30, classes=5)
    object.__setattr__(run, "classes", NAMES)
    if form == predictions.CSV:
        without_pyarrow(monkeypatch)
    assert predictions.write(tmp_path, run, outcomes).name == form
    by_method = predictions.read(tmp_path)
    assert list(by_method) == [outcome.name for outcome in outcomes]
    for outcome in outcomes:
        mine = by_method[outcome.name]
        assert mine.ids == tuple(run.ids)
        assert np.array_equal(mine.labels, run.labels)
        assert np.array_equal(mine.folds[:40], run.folds)
        assert np.array_equal(mine.test, np.arange(70) >= 40)
        assert (mine.folds[40:] == -1).all()
        logp = np.vstack([outcome.fold_log_probabilities, outcome.test_log_probabilities])
        assert np.allclose(mine.probabilities, np.exp(logp), rtol=1e-5, atol=1e-7)
        assert np.array_equal(mine.predicted, logp.argmax(axis=1))


def test_one_format_replaces_the_other(made_up: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, outcomes = made_up(n_train=20, n_test=10)
    predictions.write(tmp_path, run, outcomes)
    with monkeypatch.context() as patch:
        without_pyarrow(patch)
        predictions.write(tmp_path, run, outcomes)
        assert [file.name for file in tmp_path.iterdir()] == [predictions.CSV]
    predictions.write(tmp_path, run, outcomes)
    assert [file.name for file in tmp_path.iterdir()] == [predictions.PARQUET]


def test_columns_are_unique_and_in_label_order() -> None:
    columns = predictions.probability_columns(NAMES)
    assert len(set(columns)) == len(NAMES)
    assert all(column.startswith("p_") and column.isprintable() for column in columns)
    assert columns[0] == 'p_with, "quotes"'


def test_no_file_is_no_predictions_and_a_damaged_one_is_named(
    made_up: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert predictions.read(tmp_path) == {}
    run, outcomes = made_up(n_train=20, n_test=10)
    file = predictions.write(tmp_path, run, outcomes)
    whole = file.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"PAR1" + whole[:50]):
        file.write_bytes(content)
        with pytest.raises(StoreError, match=r"predictions\.parquet: damaged"):
            predictions.read(tmp_path)
    file.unlink()
    without_pyarrow(monkeypatch)
    file = predictions.write(tmp_path, run, outcomes)
    lines = file.read_text().splitlines()
    for damaged in ("", lines[0].replace("y_hat", "z"), "\n".join([*lines[:5], lines[5][:20]])):
        file.write_text(damaged)
        with pytest.raises(StoreError, match=r"predictions\.csv: damaged"):
            predictions.read(tmp_path)


def test_parquet_without_pyarrow_names_the_extra(
    made_up: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictions.write(tmp_path, *made_up(n_train=20, n_test=10))
    without_pyarrow(monkeypatch)
    with pytest.raises(MissingExtra, match=r"head2toe\[parquet\]"):
        predictions.read(tmp_path)
