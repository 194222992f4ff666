"""The step lengths that a Newton step is tried with."""

from collections.abc import Iterator
from typing import Any

from head2toe.select.compute.arrays import Array

HALVINGS = 12


def first_crossing(W: Array, direction: Array, xp: Any) -> Array:
    """Return the step length (…) at which the first row of W (…, m, C) crosses zero along `direction`, or infinity."""
    slope = xp.linalg.vecdot(W, direction)
    falls = slope < 0
    crossing = xp.where(falls, -xp.linalg.vecdot(W, W) / xp.where(falls, slope, -1.0), xp.inf)
    return xp.min(crossing, axis=-1) * (1 + 1e-9)


def step_lengths(crossing: float) -> Iterator[float]:
    """Yield the step lengths 1, 1/2, 1/4, …, and, in its place among them, the one at which a row of W vanishes.

    Where two features are nearly the same, the optimum gives the weight of one to the other, in a direction in which
    little is gained. A longer step overshoots zero, and after any shorter one the row is still there.
    """
    t = 1.0
    for _ in range(HALVINGS):
        yield t
        if t / 2 < crossing < t:
            yield crossing
        t /= 2
    if crossing < t:
        yield crossing
