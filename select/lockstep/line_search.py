"""The step lengths that a Newton step is tried with."""

from collections.abc import Iterator

HALVINGS = 12


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
