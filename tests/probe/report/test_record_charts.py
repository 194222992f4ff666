"""Which numbers of a record the charts are made of."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head2toe.probe.methods.outcome import SweepPoint
from head2toe.probe.report import record_charts, run_page
from head2toe.probe.results.record import document
from head2toe.probe.results.result_files import write_run

Made = Callable[..., tuple[Any, Any]]
Sound = Callable[[str], Any]


def test_curves_take_the_best_of_all_other_settings(made_up: Made) -> None:
    record = document(*made_up(n_train=100, n_test=50))
    method = record["methods"][-1]
    curve = record_charts.best_of_each(method, "fraction", 0)
    assert curve is not None
    assert [point[0] for point in curve.points] == [0.001, 0.003, 0.01, 0.03, 0.1, 0.3]
    for value, accuracy, error in curve.points:
        tried = [p["accuracies"] for p in method["sweep"] if p["settings"]["fraction"] == value]
        assert accuracy == pytest.approx(max(np.mean(folds) for folds in tried))
        assert error > 0
    assert record_charts.best_of_each(record["methods"][0], "fraction", 0) is None
    other = {"settings": {"fraction": 0.5, "kernel": 1}, "accuracies": [1.0] * 5, "log_losses": [0.0] * 5}
    assert record_charts.best_of_each(method | {"sweep": [*method["sweep"], other]}, "fraction", 0) == curve


def test_layers_tried_one_by_one_are_drawn_in_their_order(sound: Sound, made_up: Made, tmp_path: Path) -> None:
    run, outcomes = made_up(n_train=60, n_test=80)
    rng = np.random.default_rng(0)
    names = list(outcomes[0].layers)
    points = tuple(
        SweepPoint({"layer": name, "C": C}, tuple(rng.random(5)), (1.0,) * 5)
        for name in reversed(names)
        for C in (1.0, 10.0)
    )
    layerwise = replace(outcomes[0], name="layerwise", sweep=points, settings=points[0].settings)
    record = document(run, (layerwise, outcomes[1]))
    (chart,) = record_charts.depth_charts(record, "layerwise")
    assert [layer for layer, _ in chart["layers"]] == names
    best = max(point.accuracy for point in points if point.settings["layer"] == names[3])
    assert chart["layers"][3][1] == pytest.approx(best, abs=1e-5)
    written = write_run(tmp_path, run, (layerwise, outcomes[1]))
    assert "one layer alone" in sound(run_page.render(tmp_path, written, lambda _: None)).text
    assert record_charts.depth_charts(document(run, outcomes), "linear") == []
