"""A model trained again without some of its training images, and what is proved of it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from head2toe.probe.audit.stored_members import stored_members
from head2toe.probe.choice.ensemble import Member, combined, weighted_mean
from head2toe.probe.forgetting.refitted import Refitted, refitted
from head2toe.probe.forgetting.remaining import without
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.probe.methods.outcome import Outcome
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.probe.metrics.calibration import at_temperature
from head2toe.store.common.errors import BadRequest
from head2toe.store.common.fingerprint import fingerprint

STILL = (
    "the choice of features, heads and their weights in the mean: made with these images",
    "the temperature and the held-out probabilities: of the other images, by heads of the folds that had seen these",
)
"""What of the new model still depends on the images, in words."""


@dataclass(frozen=True, eq=False)
class Forgotten:
    """A model without some images.

    Attributes
    ----------
    data : ProbeData
        Without them.
    outcome : Outcome
        That of before with the new model, and with predictions of the rows that are left.
    heads : tuple of dict
        For each head that the model is the mean of: `settings`, `weight`, `features`, and its certificate.
    seconds : float
        Wall time.
    """

    data: ProbeData
    outcome: Outcome
    heads: tuple[Mapping[str, Any], ...]
    seconds: float

    def worst(self, bound: str) -> float | None:
        """Return the largest `gap` or `error` of all heads; None where a head has none."""
        values = [head[bound] for head in self.heads]
        return None if None in values else max(values)


def forget(outcome: Outcome, data: ProbeData, rows: np.ndarray, classes: Sequence[str]) -> Forgotten:
    """Train the heads of an outcome without some training rows: features, strengths and weights are those of before.

    Parameters
    ----------
    outcome : Outcome
        Of a method that leaves a linear model.
    data : ProbeData
        What the method was tried on.
    rows : (m,) int array
        The training rows to do without, each once.
    classes : sequence of str
        The classes' names, for messages.

    Raises
    ------
    BadRequest
        The method leaves no linear model, or without these rows a class, a fold or a model would be lost.
    """
    start = time.perf_counter()
    if outcome.model is None:
        raise BadRequest(f"{outcome.name} leaves no linear model to train without an image: choose another --method")
    members, left = stored_members(outcome, data), without(data, rows, classes)
    trained = refitted(members, left)
    test, model = _mean_of(members, trained, left)
    model = model.at_temperature(outcome.temperature)
    known = outcome.unchosen_log_probabilities
    after = replace(
        outcome,
        model=model,
        bytes_stored=model.nbytes,
        fold_log_probabilities=np.delete(outcome.fold_log_probabilities, rows, axis=0),
        test_log_probabilities=at_temperature(test, outcome.temperature),
        unchosen_log_probabilities=None if known is None else np.delete(known, rows, axis=0),
    )
    heads = tuple(_head(member, one) for member, one in zip(members, trained, strict=True))
    return Forgotten(left, after, heads, time.perf_counter() - start)


def _mean_of(members: Sequence[Member], trained: Sequence[Refitted], data: ProbeData) -> tuple[np.ndarray, LinearModel]:
    """Return the weighted mean of the heads, as the method made it: log-probabilities of the test rows, one model."""
    models = [one.model for one in trained if one.model is not None]
    if len(models) < len(trained):
        raise BadRequest("a head of this model is no linear model: choose another --method")
    if len(models) == 1:
        return trained[0].log_probabilities, models[0]
    weights = [member.weight for member in members]
    used = {size for member in members for size in member.candidate.target_sizes}
    widths = {size: design.shape[1] for size, design in data.designs.items() if size in used}
    logp = weighted_mean([one.log_probabilities for one in trained], weights)
    return logp, combined(models, weights, widths)


def _head(member: Member, trained: Refitted) -> dict[str, Any]:
    """Describe a head and what is proved of it, as JSON."""
    columns = trained.model.columns if trained.model is not None else member.candidate.columns
    return {
        "settings": member.settings,
        "weight": member.weight,
        "features": len(columns),
        "columns_sha256": fingerprint(columns.tolist()),
        **asdict(trained.certificate),
    }
