"""The heads of an outcome, trained on other rows with the columns and strengths of before, and certified."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from head2toe.probe.choice.ensemble import Member
from head2toe.probe.forgetting.certificate import Certificate, least_squares, logistic
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.probe.heads.refit import Refit
from head2toe.probe.methods.batches import sharing
from head2toe.probe.methods.candidates import HeadOnColumns, PenalisedModel, Settings
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.probe.methods.viewed import HeadOnViews
from head2toe.select.compute.arrays import numpy_arrays, to_numpy
from head2toe.select.compute.threads import side_by_side
from head2toe.select.ranking.selection import Sparse
from head2toe.select.solver.path import path
from head2toe.store.common.errors import BadRequest

EXACTNESS = 1e-9
"""The tolerance of logistic heads, a thousandth of that of a run: the proof shall be finer than what one image does."""
GAP = 1e-6
"""The relative duality gap of the group lasso, for the same reason."""


@dataclass(frozen=True, eq=False)
class Refitted:
    """A head that was trained again.

    Attributes
    ----------
    log_probabilities : (m, classes) float array
        Of the test rows, in nats.
    model : LinearModel, optional
        None where it is no linear model.
    certificate : Certificate
    """

    log_probabilities: np.ndarray
    model: LinearModel | None
    certificate: Certificate


def refitted(members: Sequence[Member], data: ProbeData) -> list[Refitted]:
    """Train each member on the training rows of the data.

    Parameters
    ----------
    members : sequence of Member
        With the columns and settings that they keep.
    data : ProbeData
        Other rows than those that the members were chosen on.

    Raises
    ------
    BadRequest
        The path of penalised models ends before one of them: on these rows the classes separate earlier.
    """
    found = _penalised(members, data)
    groups = [group for group in sharing([member.candidate for member in members]) if group[0] not in found]

    def train(group: int) -> None:
        same = groups[group]
        found.update(zip(same, _trained([members[k] for k in same], data), strict=True))

    side_by_side(train, len(groups), data.arrays)
    return [found[k] for k in range(len(members))]


def _trained(members: Sequence[Member], data: ProbeData) -> list[Refitted]:
    """Train members of one and the same candidate."""
    candidate, heads = members[0].candidate, [{**member.head, "tolerance": EXACTNESS} for member in members]
    if isinstance(candidate, HeadOnColumns):
        base, n_views, design = candidate, 1, candidate.design(data)
        refits = candidate.trained(data, heads)
    elif isinstance(candidate, HeadOnViews):
        base, n_views, design = candidate.base, candidate.n_views, candidate.all_rows(data)
        refits = [candidate.trained(data, head) for head in heads]
    else:
        raise BadRequest(f"{type(candidate).__name__} has no weights to train: choose a method that is a linear model")
    labels = np.tile(data.train_labels, n_views)
    train = np.arange(design.shape[0]) < len(labels)
    values = to_numpy(base.scaling(design, base.columns, train, numpy_arrays()).values)[:, : len(labels)]
    return [
        Refitted(one.log_probabilities, one.model, _certified(one, head, values, labels, n_views))
        for one, head in zip(refits, heads, strict=True)
    ]


def _certified(trained: Refit, head: Settings, values: np.ndarray, labels: np.ndarray, n_views: int) -> Certificate:
    """Certify a head, of which K views of a row count 1 / K each, by what its settings say that it minimises."""
    kind = head.get("head", "logistic")
    if kind == "logistic":
        return logistic(values, labels, trained.weights, head["C"] / n_views)
    if kind == "ridge":
        return least_squares(values, labels, trained.weights, head["C"] / n_views, head["scale"])
    return Certificate("none")


def _penalised(members: Sequence[Member], data: ProbeData) -> dict[int, Refitted]:
    """Solve the group lasso for the members that are penalised models, by number; those of one path together."""
    paths: dict[tuple[int, str], list[int]] = {}
    for k, member in enumerate(members):
        if isinstance(member.candidate, PenalisedModel):
            paths.setdefault((member.candidate.target_size, member.candidate.standardize), []).append(k)
    return {k: one for same in paths.values() for k, one in _on_path(same, members, data).items()}


def _on_path(same: Sequence[int], members: Sequence[Member], data: ProbeData) -> dict[int, Refitted]:
    """Solve one path on all training rows, as far down as a member needs it."""
    candidates = {k: c for k in same if isinstance(c := members[k].candidate, PenalisedModel)}
    first, last = candidates[same[0]], min(candidate.ratio for candidate in candidates.values())
    points = path(
        data.as_selected(first.target_size, first.standardize).take(np.arange(data.n_train)),
        data.train_labels,
        np.ones((1, data.n_train), bool),
        n_classes=data.n_classes,
        ratios=[ratio for ratio in first.selection.ratios if ratio >= last],
        standardize=first.standardize.endswith("feature"),
        tol=GAP,
        arrays=data.arrays,
    )
    solutions = {point.ratio: point.solutions[0] for point in points}
    if last not in solutions:
        raise BadRequest(f"without these images the path ends above λ / λ_max = {last}: run the task without them")
    found = {}
    for k, candidate in candidates.items():
        solution = solutions[candidate.ratio]
        certificates = tuple(one for one in candidate.selection.certificates if one.ratio == candidate.ratio)
        models = ((Sparse.of(solution),),)
        selection = replace(candidate.selection, certificates=certificates, models=models)
        logp, model = replace(candidate, selection=selection).refit(data, {})
        found[k] = Refitted(logp, model, Certificate("group lasso", gap=solution.gap))
    return found
