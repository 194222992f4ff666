"""Methods whose predictions come from elsewhere (networks that were trained): the same choice, without a design."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from head2toe.probe.choice.sweep import best_head, decided
from head2toe.probe.choice.trials import judge
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.probe.heads.scaling import Columns
from head2toe.probe.methods.outcome import Outcome
from head2toe.probe.methods.probe_data import ProbeData


class Trainings(Protocol):
    """The trainings of one method on one task; `extract.finetuning.trials.Trials` is such a record."""

    def over_folds(self) -> Iterable[tuple[Mapping[str, Any], np.ndarray]]:
        """Every setting, and its out-of-fold log-probabilities (n_train, classes), NaN for rows that always train."""

    def refit(self, settings: Mapping[str, Any]) -> np.ndarray:
        """Train on all training rows; return log-probabilities (m, classes) of the test rows."""

    @property
    def seconds(self) -> float:
        """Seconds that all trainings took, recalled ones when they ran."""

    @property
    def flops(self) -> float:
        """Floating-point operations of all trainings."""

    @property
    def nbytes(self) -> int:
        """Bytes of a trained network."""


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network that is trained with some settings: a choice that reads no features.

    Attributes
    ----------
    settings : dict
    trainings : Trainings
    """

    settings: Mapping[str, Any]
    trainings: Trainings

    @property
    def target_sizes(self) -> tuple[int, ...]:
        """Always empty, for no design is read."""
        return ()

    @property
    def columns(self) -> Columns:
        """Always empty, for no column is read."""
        return np.empty(0, np.int64)

    def refit(self, data: ProbeData, head: Mapping[str, Any]) -> tuple[np.ndarray, LinearModel | None]:  # noqa: ARG002
        """Train on all training rows and predict the test rows; it is no linear model. See `Choice`."""
        return self.trainings.refit(self.settings), None


def evaluate_trained(
    name: str, trainings: Trainings, data: ProbeData, *, metric: str = "accuracy", rule: str = "best"
) -> Outcome:
    """Choose among settings by the folds, as every method does; train the winner on all rows, predict the test once.

    Parameters
    ----------
    name : str
        The method's.
    trainings : Trainings
        Of every setting.
    data : ProbeData
        Whose labels and folds these are.
    metric, rule : str
        As of `sweep.evaluate`; no setting is simpler than another.

    Raises
    ------
    DataError
        A network predicted NaN.
    """
    choose = best_head(metric, rule)
    tried = [judge(TrainedNetwork(settings, trainings), {}, logp, data) for settings, logp in trainings.over_folds()]
    outcome = decided(name, tried, data, choose)
    return replace(outcome, seconds=trainings.seconds, flops=trainings.flops, bytes_stored=trainings.nbytes)
