"""The record of a run: its schema is the documented one, it survives a round trip, and what is damaged is named."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head2toe.probe.metrics import classification
from head2toe.probe.results import record as results
from head2toe.probe.results import summary
from head2toe.store.common.errors import DataError, StoreError

DOCS = Path(__file__).parents[3] / "docs" / "results-format.md"
Made = Callable[..., tuple[Any, Any]]


def paths(value: Any, path: str, open_ended: set[str]) -> Iterator[str]:
    """Every leaf of a document as docs/results-format.md writes it."""
    if path in open_ended:
        yield f"{path}.*"
    elif isinstance(value, dict):
        for key, item in value.items():
            name = "METRIC" if key in classification.METRICS and re.search(r"\.(cv|nested|test)$", path) else key
            yield from paths(item, f"{path}.{name}" if path else name, open_ended)
    elif isinstance(value, list):
        for item in value:
            yield from paths(item, f"{path}[]", open_ended)
    else:
        yield path


def test_the_schema_is_the_documented_one(made_up: Made) -> None:
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
    )
    record = results.document(run, [nested, *outcomes[1:]])
    produced = {re.sub(r"(interval)$", r"\1[]", path) for path in paths(record, "", open_ended)}
    assert produced == documented


def test_a_round_trip(made_up: Made, tmp_path: Path) -> None:
    run, outcomes = made_up(n_train=100, n_test=60)
    record = results.write_run(tmp_path / "a", run, outcomes)
    assert (
        results.read(tmp_path / "a") == results.read(tmp_path / "a" / "result.json") == json.loads(json.dumps(record))
    )
    again = results.write_run(tmp_path / "b", *made_up(n_train=100, n_test=60))
    assert again == record
    for name in ("result.json", "summary.md", "config.json", "predictions.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_without_test_rows_the_folds_speak(made_up: Made, tmp_path: Path) -> None:
    record = results.write_run(tmp_path, *made_up(n_train=100, n_test=0))
    assert [method["test"] for method in record["methods"]] == [None] * 4
    assert {pair["on"] for pair in record["comparisons"]} == {"folds"}
    best = summary.best_method(record)
    assert summary.accuracy_of(best) == best["cv"]["accuracy"]["mean"]
    assert "**" in (tmp_path / "summary.md").read_text()


def test_comparisons_mirror_the_accuracies(made_up: Made) -> None:
    record = results.document(*made_up(n_train=100, n_test=300))
    value = {m["name"]: m["test"]["accuracy"]["value"] for m in record["methods"]}
    for pair in record["comparisons"]:
        assert pair["difference"] == pytest.approx(value[pair["a"]] - value[pair["b"]], abs=1e-5)
        assert pair["difference"] == pytest.approx((pair["a_only"] - pair["b_only"]) / 300, abs=1e-5)
        assert pair["interval"][0] <= pair["difference"] <= pair["interval"][1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"methods": []}', "not a result of this version"),
        ('{"schema_version": 1}', "no 'task'"),
    ],
)
def test_what_is_damaged_is_named(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(StoreError, match=re.escape(said)) as error:
        results.read(tmp_path)
    assert str(tmp_path / "result.json") in str(error.value)
    assert "\n" not in str(error.value)


def test_predictions_that_are_none_are_refused(made_up: Made) -> None:
    run, outcomes = made_up(n_train=50, n_test=20)
    broken = outcomes[0].test_log_probabilities
    broken[3, 2] = np.nan
    with pytest.raises(DataError, match="predicted NaN"):
        results.document(run, outcomes)


def test_the_summary_holds_a_row_for_each_method_and_no_markup_of_others(made_up: Made) -> None:
    record = results.document(*made_up(n_train=100, n_test=60, task="a|b <i>*x*"))
    text = summary.markdown(record)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + len(record["methods"])
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1
    assert "<i>" not in text.split("```")[0]
    assert record["command"] in text
    best = summary.best_method(record)["name"]
    assert f"**{best}**" in text
    assert best not in summary.level_with_best(record)
