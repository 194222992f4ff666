"""The summary of a run: Markdown in which no name is markup."""

from collections.abc import Callable
from typing import Any

from head2toe.probe.results import summary
from head2toe.probe.results.record import document

Made = Callable[..., tuple[Any, Any]]


def test_the_summary_holds_a_row_for_each_method_and_no_markup_of_others(made_up: Made) -> None:
    record = document(*made_up(n_train=100, n_test=60, task="a|b <i>*x*"))
    text = summary.markdown(record)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + len(record["methods"])
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1
    assert "<i>" not in text.split("```")[0]
    assert record["command"] in text
    best = summary.best_method(record)["name"]
    assert f"**{best}**" in text
    assert best not in summary.level_with_best(record)
