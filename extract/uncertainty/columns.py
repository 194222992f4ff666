"""The columns of predictions that say how sure they are: prediction set, its size, abstention, novelty."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from head2toe.extract.uncertainty.prediction_sets import prediction_sets

SETS = ("set", "set_size", "abstain")
NOVELTY = "ood"


def sure_columns(*, sets: bool, ood: bool) -> list[str]:
    """Name the columns that are asked for."""
    return [*(SETS if sets else ()), *((NOVELTY,) if ood else ())]


def set_cells(probabilities: np.ndarray, classes: Sequence[str], least: float) -> dict[str, Any]:
    """Make an image's cells of its prediction set.

    Parameters
    ----------
    probabilities : (classes,) float array
        The image's.
    classes : sequence of str
        Their names.
    least : float
        Of `prediction_sets.threshold`.

    Returns
    -------
    dict
        `set`, the names of the classes in it, the most probable first; `set_size`; and `abstain`, whether it holds all
        classes, and so says nothing.
    """
    members = prediction_sets(probabilities[None], least)[0]
    order = np.argsort(-probabilities, kind="stable")
    names = [classes[k] for k in order if members[k]]
    return dict(zip(SETS, (names, len(names), len(names) == len(classes)), strict=True))
