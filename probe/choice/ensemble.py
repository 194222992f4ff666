"""A weighted mean of several heads: a choice like any other, and still one linear model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.probe.heads.scaling import Columns
from head2toe.probe.methods.batches import refitted_in_batches, sharing
from head2toe.probe.methods.candidates import Choice, HeadOnColumns
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.select.compute.threads import side_by_side
from scipy.special import log_softmax


@dataclass(frozen=True, eq=False)
class Member:
    """A head of an ensemble.

    Attributes
    ----------
    candidate : Choice
    head : dict
        Settings of its head.
    weight : float
        Its share of the mean; those of all members sum to 1.
    """

    candidate: Choice
    head: Mapping[str, Any]
    weight: float

    @property
    def settings(self) -> dict[str, Any]:
        """All settings."""
        return {**self.candidate.settings, **self.head}


@dataclass(frozen=True, eq=False)
class Ensemble:
    """The weighted mean of the members' log-probabilities, normalised: a geometric mean of their probabilities.

    Heads on different sets of columns err on different images; where they do, their mean errs less. Log-probabilities
    are linear in the features (up to normalisation): the mean costs no more than a head on all those columns.

    Attributes
    ----------
    settings : dict
    members : tuple of Member
        The one with the largest weight first.
    widths : dict
        Target size to the number of columns of its design, for each that a member reads.
    """

    settings: Mapping[str, Any]
    members: tuple[Member, ...]
    widths: Mapping[int, int]

    @property
    def target_sizes(self) -> tuple[int, ...]:
        """The members' target sizes, in the order of `widths`."""
        return tuple(self.widths)

    @property
    def columns(self) -> Columns:
        """All columns that a member reads, (k,) int64, ascending; they count through the designs side by side."""
        parts = [member.candidate.columns + self._start(member.candidate.target_sizes) for member in self.members]
        return np.unique(np.concatenate(parts))

    def refit(self, data: ProbeData, head: Mapping[str, Any]) -> tuple[np.ndarray, LinearModel | None]:  # noqa: ARG002
        """Train all members on all training rows, each with its own settings; see `Choice`."""
        refits: dict[int, tuple[np.ndarray, LinearModel | None]] = {}
        if data.arrays.memory is not None:
            heads = [(member.candidate, member.head) for member in self.members]
            refits.update(refitted_in_batches(heads, data))
        groups = [group for group in sharing([m.candidate for m in self.members]) if group[0] not in refits]

        def train(group: int) -> None:
            candidate, heads = self.members[groups[group][0]].candidate, [self.members[k].head for k in groups[group]]
            if isinstance(candidate, HeadOnColumns):
                trained = candidate.refit_all(data, heads)
            else:
                trained = [candidate.refit(data, head) for head in heads]
            refits.update(zip(groups[group], trained, strict=True))

        side_by_side(train, len(groups), data.arrays)
        weights = [member.weight for member in self.members]
        logp = weighted_mean([refits[k][0] for k in range(len(weights))], weights)
        models = [refits[k][1] for k in range(len(weights))]
        linear = [model for model in models if model is not None and not model.unit]
        return logp, combined(linear, weights, self.widths) if len(linear) == len(models) else None

    def _start(self, target_sizes: Sequence[int]) -> int:
        """The number of columns before those of a member."""
        return start_of(target_sizes, self.widths)


def start_of(target_sizes: Sequence[int], widths: Mapping[int, int]) -> int:
    """Return how many columns come before the design of one target size, where designs of these widths stand in a row.

    Parameters
    ----------
    target_sizes : sequence of int
        A head's: one.
    widths : dict
        Target size to number of columns.
    """
    (target_size,) = target_sizes
    sizes = list(widths)
    return sum(widths[size] for size in sizes[: sizes.index(target_size)])


def weighted_mean(log_probabilities: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """Average several predictions (n, classes) of the same rows: the mean of the log-probabilities, normalised."""
    return np.asarray(log_softmax(np.tensordot(weights, np.stack(log_probabilities), axes=1), axis=1))


def combined(models: Sequence[LinearModel], weights: Sequence[float], widths: Mapping[int, int]) -> LinearModel:
    """Make one model on the union of the columns that predicts what the weighted mean of the models does.

    Those that know the same views, or none: what reads the whole image alone has weights apart where others have views.

    Parameters
    ----------
    models : sequence of LinearModel
        None of them with `unit`, each of one target size.
    weights : sequence of float
        They sum to 1.
    widths : dict
        Target size to number of columns of its design.
    """
    placed = [model.columns + start_of(model.target_sizes, widths) for model in models]
    columns = np.unique(np.concatenate(placed))
    mean = np.zeros(len(columns))
    views = max((model.views for model in models), key=len)
    coef = {seen: np.zeros((len(columns), models[0].coef.shape[1])) for seen in (views, ())}
    intercept = np.zeros(models[0].coef.shape[1])
    for model, own in zip(models, placed, strict=True):
        mean[np.searchsorted(columns, own)] = model.mean
    for model, own, weight in zip(models, placed, weights, strict=True):
        at = np.searchsorted(columns, own)
        part = weight * model.scale[:, None].astype(np.float64) * model.coef
        coef[model.views][at] += part
        # The means of a feature agree but for rounding; what is left of it goes into the intercept.
        intercept += weight * model.intercept + (mean[at] - model.mean) @ part
    return LinearModel(
        target_sizes=tuple(widths),
        columns=columns,
        unit=False,
        mean=mean.astype(np.float32),
        scale=np.ones(len(columns), np.float32),
        coef=coef[views].astype(np.float32),
        intercept=intercept.astype(np.float32),
        views=views,
        coef_whole=coef[()].astype(np.float32) if views and coef[()].any() else None,
    )
