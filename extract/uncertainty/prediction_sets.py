"""Prediction sets: the classes that an image may have, so that the true one is among them as often as is asked.

Split conformal prediction (Vovk, Gammerman & Shafer 2005; Papadopoulos et al. 2002) with the score of Sadinle, Lei &
Wasserman (2019, JASA 114, 223-234), the probability of the true class: a class is in the set if it is at least as
probable as all but a share of 1 - coverage of the true classes of held-out rows were. docs/uncertainty.md says what is
guaranteed.
"""

import math

import numpy as np
from head2toe.store.common.errors import BadRequest

_ROUNDING = 1e-9  # a coverage is a decimal number, and 1000 * (1 - .95) is not quite 50


def checked_coverage(coverage: float) -> float:
    """Return a coverage that makes sense. Raises BadRequest for one that does not lie between 0 and 1."""
    if not 0 < coverage < 1:
        raise BadRequest(f"coverage {coverage:g}: expected a share between 0 and 1, such as 0.95")
    return coverage


def threshold(held_out: np.ndarray, coverage: float) -> float:
    """Find how probable a class must be to be in a prediction set.

    Of n held-out rows and a new one, each is equally likely to have the k-th smallest probability of its true class;
    so a new row's is below the k-th smallest of the n with a probability of at most k / (n + 1).

    Parameters
    ----------
    held_out : (n,) float array
        What rows that trained no part of the prediction gave their true classes, ascending.
    coverage : float
        The probability that the true class is in the set, between 0 and 1.

    Returns
    -------
    float
        The k-th smallest with k = floor((n + 1) (1 - coverage)), n at most; 0, which every class passes, where n is too
        small.

    Raises
    ------
    BadRequest
        The coverage does not lie between 0 and 1.
    """
    k = math.floor((len(held_out) + 1) * (1 - checked_coverage(coverage)) + _ROUNDING)
    return float(held_out[min(k, len(held_out)) - 1]) if k else 0.0


def rows_needed(coverage: float) -> int:
    """Return the number of held-out rows from which on a set can leave out a class."""
    return math.ceil(1 / (1 - checked_coverage(coverage)) - _ROUNDING) - 1


def prediction_sets(probabilities: np.ndarray, least: float) -> np.ndarray:
    """Return which classes are in the set of each image.

    The most probable class always is: a set without any would say nothing, and leaving it in can but raise the
    coverage.

    Parameters
    ----------
    probabilities : (n, classes) float array
    least : float
        Of `threshold`.

    Returns
    -------
    (n, classes) bool array
    """
    sets = probabilities >= least
    sets[np.arange(len(sets)), probabilities.argmax(axis=1)] = True
    return np.asarray(sets)
