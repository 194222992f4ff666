"""What a model keeps of its held-out rows, so that it can say how sure it may be: an array file beside its head."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from head2toe.extract.uncertainty.novelty import DTYPES, NAMES, Novelty
from head2toe.extract.uncertainty.prediction_sets import rows_needed, threshold
from head2toe.store.common.errors import BadRequest

HELD_OUT = "held_out"


@dataclass(frozen=True, eq=False)
class Calibration:
    """What the held-out rows of the folds say of a model.

    Attributes
    ----------
    held_out : (n,) float32 array
        The probability that each held-out row gave its true class, ascending; what prediction sets are made by.
    novelty : Novelty, optional
        What images are compared with; None for a head that reads no feature, or that few images trained.
    """

    held_out: np.ndarray
    novelty: Novelty | None = None

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All of it as arrays, by the names of the file."""
        arrays = {} if self.novelty is None else self.novelty.arrays
        return {HELD_OUT: np.ascontiguousarray(self.held_out, np.float32), **arrays}

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> "Calibration":
        """Make it of `arrays`."""
        return cls(arrays[HELD_OUT], Novelty.of(arrays) if len(arrays) > 1 else None)

    def fault(self, n_features: int) -> str:
        """Say what does not fit together, or to a head of so many features; empty if nothing."""
        scores = self.held_out
        between = scores.ndim == 1 and scores.size > 0 and bool(((scores >= 0) & (scores <= 1)).all())
        if not between or (np.diff(scores) < 0).any():
            return "the probabilities of held-out rows are not ascending ones from 0 to 1"
        return "" if self.novelty is None else self.novelty.fault(n_features)


class CalibratedModel(Protocol):
    """A model that may keep a calibration; `head2toe.extract.deploy.bundle.Bundle` is one."""

    @property
    def calibration(self) -> Calibration | None:
        """What its held-out rows say of it."""


COMPLETE = (frozenset({HELD_OUT}), frozenset({HELD_OUT, *NAMES}))
"""The sets of arrays that a file may hold."""

KINDS = {HELD_OUT: "float32", "neighbours": "int32", **DTYPES}
"""Their dtypes."""


def calibration_of(model: "CalibratedModel") -> Calibration:
    """Return what a model keeps of its held-out rows. Raises BadRequest where it keeps nothing."""
    if model.calibration is None:
        raise BadRequest(
            "the model keeps no scores of held-out rows, which prediction sets and ood need: make it again with this "
            "version of head2toe (head2toe run TASK --save-model DIR)"
        )
    return model.calibration


def least_probability(model: "CalibratedModel", coverage: float) -> tuple[float, list[str]]:
    """Find the least probability of a class in a prediction set; see `threshold`.

    Returns
    -------
    least : float
    notes : list of str
        A line where the model has too few held-out rows for this coverage.

    Raises
    ------
    BadRequest
        The coverage makes no sense, or the model keeps no scores.
    """
    needed = rows_needed(coverage)
    held_out = calibration_of(model).held_out
    least = threshold(held_out, coverage)
    few = f"a coverage of {coverage} needs {needed:,} held-out rows, and the model has {len(held_out):,}"
    return least, [f"{few}: every set holds all classes"] if len(held_out) < needed else []
