"""The record of a run: its schema is the documented one, and its parts agree with each other."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head2toe.probe.metrics import classification
from head2toe.probe.metrics.uncertainty import Estimate, Interval
from head2toe.probe.results import summary
from head2toe.probe.results.record import document
from head2toe.probe.results.result_files import write_run
from head2toe.store.common.errors import DataError

DOCS = Path(__file__).parents[3] / "docs" / "results-format.md"
Made = Callable[..., tuple[Any, Any]]


def paths(value: Any, path: str, open_ended: set[str]) -> Iterator[str]:
    """Every leaf of a document as docs/results-format.md writes it."""
    if path in open_ended:
        yield f"{path}.*"
    elif isinstance(value, dict):
        for key, item in value.items():
            name = (
                "METRIC" if key in classification.METRICS and re.search(r"\.(cv|corrected|nested|test)$", path) else key
            )
            yield from paths(item, f"{path}.{name}" if path else name, open_ended)
    elif isinstance(value, list):
        for item in value:
            yield from paths(item, f"{path}[]", open_ended)
    else:
        yield path


def test_the_schema_is_the_documented_one(made_up: Made, tmp_path: Path) -> None:
    text = DOCS.read_text(encoding="utf-8").split("## result.json")[1].split("## predictions")[0]
    documented = {
        path for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE) for path in re.findall(r"`(.+?)`", row)
    }
    open_ended = {path.removesuffix(".*") for path in documented if path.endswith(".*")}
    run, outcomes = made_up()
    nested = replace(
        outcomes[0],
        nested_log_probabilities=outcomes[0].fold_log_probabilities,
        nested_settings=(outcomes[0].settings,) * 5,
        corrected={name: Estimate(0.5, Interval(0.4, 0.6)) for name in classification.METRICS},
        members=({"settings": outcomes[0].settings, "weight": 1.0, "features": 3},),
    )
    record = write_run(tmp_path, run, [nested, *outcomes[1:]])
    produced = {re.sub(r"(interval)$", r"\1[]", path) for path in paths(record, "", open_ended)}
    assert produced == documented


def test_without_test_rows_the_folds_speak(made_up: Made, tmp_path: Path) -> None:
    record = write_run(tmp_path, *made_up(n_train=100, n_test=0))
    assert [method["test"] for method in record["methods"]] == [None] * 4
    assert {pair["on"] for pair in record["comparisons"]} == {"folds"}
    best = summary.best_method(record)
    assert summary.accuracy_of(best) == best["cv"]["accuracy"]["mean"]
    assert "**" in (tmp_path / "summary.md").read_text()


def test_comparisons_mirror_the_accuracies(made_up: Made) -> None:
    record = document(*made_up(n_train=100, n_test=300))
    value = {m["name"]: m["test"]["accuracy"]["value"] for m in record["methods"]}
    for pair in record["comparisons"]:
        assert pair["difference"] == pytest.approx(value[pair["a"]] - value[pair["b"]], abs=1e-5)
        assert pair["difference"] == pytest.approx((pair["a_only"] - pair["b_only"]) / 300, abs=1e-5)
        assert pair["interval"][0] <= pair["difference"] <= pair["interval"][1]


def test_predictions_that_are_none_are_refused(made_up: Made) -> None:
    run, outcomes = made_up(n_train=50, n_test=20)
    broken = outcomes[0].test_log_probabilities
    broken[3, 2] = np.nan
    with pytest.raises(DataError, match="predicted NaN"):
        document(run, outcomes)
