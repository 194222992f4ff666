"""Methods whose predictions come from elsewhere (networks that were trained): the same choice, without a design."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.probe.heads.scaling import Columns
from head2toe.probe.methods.candidates import Problem
from head2toe.probe.methods.outcome import Outcome
from head2toe.probe.methods.sweep import choose, judge

Refit = Callable[[Mapping[str, Any]], np.ndarray]
"""From chosen settings to log-probabilities (m, classes) of the test rows."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A choice that reads no features."""

    settings: Mapping[str, Any]
    retrain: Refit

    @property
    def target_size(self) -> int:
        """None."""
        return 0

    @property
    def columns(self) -> Columns:
        """None."""
        return np.empty(0, np.int64)

    def refit(self, problem: Problem, head: Mapping[str, Any]) -> tuple[np.ndarray, LinearModel | None]:  # noqa: ARG002
        """Train on all training rows, predict the test's."""
        return self.retrain(self.settings), None


def evaluate_trained(
    name: str,
    over_folds: Iterable[tuple[Mapping[str, Any], np.ndarray]],
    retrain: Refit,
    problem: Problem,
    *,
    metric: str = "accuracy",
    rule: str = "best",
) -> Outcome:
    """Choose among settings by the folds, as every method does; train the winner on all rows, predict the test once.

    Parameters
    ----------
    name : str
        Of the method.
    over_folds : iterable of (settings, (n_train, classes) array)
        Out-of-fold log-probabilities of every setting.
    retrain : callable
    problem : Problem
        Whose labels and folds they are.
    metric, rule : str
        As of `sweep.evaluate`; no setting is simpler than another.
    """
    start = time.perf_counter()
    tried = [judge(Trained(settings, retrain), {}, logp, problem, metric) for settings, logp in over_folds]
    best = choose(tried, rule)
    test, _ = best.candidate.refit(problem, {})
    return Outcome(
        name=name,
        settings=best.point.settings,
        sweep=tuple(trial.point for trial in tried),
        fold_log_probabilities=best.log_probabilities.astype(np.float32),
        test_log_probabilities=test.astype(np.float32),
        kept_by_layer={},
        features_total=0,
        seconds=time.perf_counter() - start,
    )
