"""What a page says of wrong predictions is what the predictions say."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head2toe.probe.report import mistakes
from head2toe.probe.results import predictions
from head2toe.probe.results.result_files import write_run

Made = Callable[..., tuple[Any, Any]]


def test_the_confusion_matrix_and_the_mistakes_agree_with_the_predictions(made_up: Made, tmp_path: Path) -> None:
    run, outcomes = made_up(n_train=100, n_test=300, classes=6)
    write_run(tmp_path, run, outcomes)
    predicted = predictions.read(tmp_path)["linear"]
    matrix = mistakes.confusion(run.classes, predicted, "linear")
    y, taken = run.test_labels, outcomes[0].test_log_probabilities.argmax(axis=1)
    pairs = Counter((run.classes[a], run.classes[b]) for a, b in zip(y, taken, strict=True) if a != b)
    assert matrix["top"]
    for line in matrix["top"]:
        assert pairs[line["true"], line["predicted"]] == line["count"]
        assert line["of"] == (y == run.classes.index(line["true"])).sum()
    assert matrix["top"][0]["count"] == max(pairs.values())
    shown = mistakes.most_confident(run.classes, predicted, lambda name: name.encode())
    assert shown["wrong"] == (y != taken).sum()
    confidences = [mistake["confidence"] for mistake in shown["shown"]]
    assert confidences == sorted(confidences, reverse=True)
    assert confidences[0] == pytest.approx(np.exp(outcomes[0].test_log_probabilities).max(axis=1)[y != taken].max())
