"""An average of a method's best heads: a choice like any other, and still one linear model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.probe.heads.scaling import Columns
from head2toe.probe.methods.candidates import Choice
from head2toe.probe.methods.probe_data import ProbeData
from scipy.special import log_softmax

MOST = 4
"""How many heads are averaged at most."""


@dataclass(frozen=True, eq=False)
class Average:
    """The mean of the members' log-probabilities, normalised: a geometric mean of their probabilities.

    Heads on different sets of columns err on different images; where they do, their mean errs less. Log-probabilities
    are linear in the features (up to normalisation): the average costs no more than a head on all those columns.

    Attributes
    ----------
    settings : dict
        Those of the best member, and the number of members.
    members : tuple of (Choice, dict)
        Choices, all on one target size, each with the settings of its head.
    """

    settings: Mapping[str, Any]
    members: tuple[tuple[Choice, Mapping[str, Any]], ...]

    @property
    def target_size(self) -> int:
        """The members' target size."""
        return self.members[0][0].target_size

    @property
    def columns(self) -> Columns:
        """All columns that a member reads, (k,) int64, ascending."""
        return np.unique(np.concatenate([choice.columns for choice, _ in self.members]))

    def refit(self, data: ProbeData, head: Mapping[str, Any]) -> tuple[np.ndarray, LinearModel | None]:  # noqa: ARG002
        """Train all members on all training rows, each with its own settings; see `Choice`."""
        refits = [choice.refit(data, head) for choice, head in self.members]
        models = [model for _, model in refits if model is not None and not model.unit]
        return averaged([logp for logp, _ in refits]), combined(models) if len(models) == len(refits) else None


def averaged(log_probabilities: Sequence[np.ndarray]) -> np.ndarray:
    """Average several predictions (n, classes) of the same rows: the mean of the log-probabilities, normalised."""
    return np.asarray(log_softmax(np.mean(np.stack(log_probabilities), axis=0), axis=1))


def combined(models: Sequence[LinearModel]) -> LinearModel:
    """Make one model on the union of the columns that predicts what the average of the models does.

    Parameters
    ----------
    models : sequence of LinearModel
        None of them with `unit`, all of the same target sizes.
    """
    columns = np.unique(np.concatenate([model.columns for model in models]))
    mean = np.zeros(len(columns))
    coef = np.zeros((len(columns), models[0].coef.shape[1]))
    intercept = np.zeros(coef.shape[1])
    for model in models:
        mean[np.searchsorted(columns, model.columns)] = model.mean
    for model in models:
        at = np.searchsorted(columns, model.columns)
        weights = model.scale[:, None].astype(np.float64) * model.coef / len(models)
        coef[at] += weights
        # The means of a feature agree but for rounding; what is left of it goes into the intercept.
        intercept += model.intercept / len(models) + (mean[at] - model.mean) @ weights
    return LinearModel(
        target_sizes=models[0].target_sizes,
        columns=columns,
        unit=False,
        mean=mean.astype(np.float32),
        scale=np.ones(len(columns), np.float32),
        coef=coef.astype(np.float32),
        intercept=intercept.astype(np.float32),
        views=tuple(dict.fromkeys(view for model in models for view in model.views)),
    )
