"""Networks that were trained elsewhere are chosen among as every method's candidates are."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from head2toe.probe.choice.finetuned import evaluate_trained
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.store.common.errors import DataError

FOLDS = np.arange(100) * 5 // 100


@dataclass
class MadeUp:
    """Networks whose predictions are the better, the more steps they train; costs grow with every training."""

    labels: np.ndarray
    refitted: list[Mapping[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    flops: float = 5.0
    nbytes: int = 7

    def over_folds(self) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        for steps in (0, 2, 1):
            self.seconds += 1
            yield {"steps": steps}, np.log(0.1 + steps * np.eye(3)[self.labels[:100]])

    def refit(self, settings: Mapping[str, Any]) -> np.ndarray:
        self.seconds += 1
        self.refitted.append(settings)
        return np.zeros((40, 3))


def test_the_best_setting_is_refitted_once_and_all_trainings_are_paid_for(
    posed: Callable[[np.ndarray], ProbeData],
) -> None:
    data = posed(FOLDS)
    trainings = MadeUp(data.labels)
    outcome = evaluate_trained("finetune", trainings, data)
    assert (outcome.name, outcome.settings, trainings.refitted) == ("finetune", {"steps": 2}, [{"steps": 2}])
    assert [point.settings["steps"] for point in outcome.sweep] == [0, 2, 1]
    assert outcome.test_log_probabilities.shape == (40, 3)
    assert (outcome.seconds, outcome.flops, outcome.bytes_stored) == (4.0, 5.0, 7)
    assert (outcome.model, outcome.features_kept, outcome.features_total) == (None, 0, 0)


def test_a_network_that_predicts_nan_is_refused(posed: Callable[[np.ndarray], ProbeData]) -> None:
    trainings = MadeUp(np.zeros(140, int))
    trainings.over_folds = lambda: iter([({}, np.full((100, 3), np.nan))])  # type: ignore[method-assign]
    with pytest.raises(DataError, match="predicted NaN"):
        evaluate_trained("finetune", trainings, posed(FOLDS))
