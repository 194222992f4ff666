"""The heads that an outcome is made of, found again among the candidates of its method by what it recorded of them."""

from collections.abc import Mapping
from typing import Any

from head2toe.probe.choice.ensemble import Member
from head2toe.probe.choice.sweep import candidates
from head2toe.probe.methods.candidates import Choice, HeadOnColumns
from head2toe.probe.methods.outcome import Outcome
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.probe.methods.viewed import HeadOnViews, on_means
from head2toe.store.common.errors import DataError

VIEWS = "views"
"""The setting that tells a head on several views from the same head on the whole images."""


def stored_members(outcome: Outcome, data: ProbeData) -> tuple[Member, ...]:
    """Find the members of an outcome's mean of heads or, where one head was chosen, this one with a weight of 1.

    Parameters
    ----------
    outcome : Outcome
        What a method left.
    data : ProbeData
        What the method was tried on.

    Raises
    ------
    DataError
        The method has no such candidate on these data.
    """
    recorded = outcome.members or ({"settings": outcome.settings, "weight": 1.0},)
    grid = candidates(outcome.name, data)
    grid += on_means(grid, data)
    return tuple(_member(one["settings"], one["weight"], grid, outcome.name) for one in recorded)


def _member(settings: Mapping[str, Any], weight: float, grid: list[Any], method: str) -> Member:
    """Find the candidate whose settings are all among these; what is left are those of its head."""
    fitting = [one for one in grid if all(settings.get(key) == value for key, value in one.settings.items())]
    if not fitting:
        raise DataError(f"{method} has no candidate {dict(settings)} on these data: run the task again with --fresh")
    candidate: Choice = max(fitting, key=lambda one: len(one.settings))
    if VIEWS in settings and isinstance(candidate, HeadOnColumns):
        candidate = HeadOnViews(candidate, tuple(settings[VIEWS].split("+")), settings.get("C"))
    head = {key: value for key, value in settings.items() if key not in candidate.settings}
    return Member(candidate, head, weight)
