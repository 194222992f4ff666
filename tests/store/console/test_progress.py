"""What is finished is added up and reported; in a log, from time to time."""

import pytest
from head2toe.store.console import progress as module
from head2toe.store.console.progress import Counter, progress


def test_a_counter_reports_sums_and_none_above_the_total() -> None:
    steps: list[tuple[int, int]] = []
    counter = Counter(lambda finished, total: steps.append((finished, total)), 5)
    for amount in (1, 3, 4):
        counter.add(amount)
    assert steps == [(1, 5), (4, 5), (5, 5)]
    Counter(None, 5).add()  # nobody listens


def test_a_log_gets_a_line_only_for_long_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for seconds in (5.0, 0.0):
        monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", seconds)
        with progress("working", unit="step") as report:
            report(1, 2)
            report(2, 2)
        lines = capsys.readouterr().err.splitlines()
        assert [line.split(",")[0] for line in lines] == ([] if seconds else ["working: 1/2 step", "working: 2/2 step"])
