"""What an audit finds, one finding for a picture or some, and what a reader is asked to do about it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

KINDS = {
    "leak": "the same picture is in training and test",
    "label": "the label looks wrong",
    "duplicate": "the same picture more than once",
    "one class": "two classes that nothing tells apart",
    "two classes": "a picture of two classes",
    "outlier": "unlike all other pictures",
}
"""The kinds of findings in the order in which they are shown, and what each says."""
ACTIONS = ("relabel", "remove", "look", "merge")
"""What is suggested: another label, to take the image out, to look at it, to make one class of two."""


@dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    images : tuple of str
        The names of the images that it is about, the one to change first; none where it is about classes.
    split : str
        `train`, `test`, or `train and test`.
    labels : tuple of str
        The classes given to the images, in their order; of a finding about classes these.
    suggestion : str, optional
        The class that is suggested.
    score : float
        From 0 to 1, the surest: comparable within a kind.
    action : str
        One of `ACTIONS`.
    influence : float, optional
        Of a label: how much of its log-probability the head owes to the image itself, in nats.
    kept : tuple of str
        Those of the images that stay where the others are taken out.
    """

    kind: str
    images: tuple[str, ...]
    split: str
    labels: tuple[str, ...]
    suggestion: str | None
    score: float
    action: str
    influence: float | None = None
    kept: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def in_order(findings: Sequence[Finding]) -> list[Finding]:
    """Sort findings by kind, in the order of `KINDS`, and by falling score."""
    place = {kind: number for number, kind in enumerate(KINDS)}
    return sorted(findings, key=lambda one: (place[one.kind], -one.score, one.images, one.labels))


def counts(findings: Sequence[Finding]) -> Mapping[str, int]:
    """Count the findings of every kind, in the order of `KINDS`."""
    return {kind: sum(one.kind == kind for one in findings) for kind in KINDS}
