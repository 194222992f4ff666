"""Progress of long work: the callback that it reports to, and one that shows it on stderr.

On a terminal that is a bar, in a log a line every few seconds.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

Progress = Callable[[int, int], None]
"""A callback that takes how much is finished and how much there is in all."""

SECONDS_BETWEEN_LINES = 5.0
"""How often, at most, a log gets a line; work that is over sooner leaves none."""


class Counter:
    """Adds up what is finished and reports the sum to a callback.

    Parameters
    ----------
    progress : callable, optional
        The callback; without one, nothing is reported.
    total : int
        How much there is in all. The sum that is reported is never above it.
    """

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._finished, self._total = progress, 0, total

    def add(self, amount: int = 1) -> None:
        """Add an amount and report the sum."""
        self._finished = min(self._finished + amount, self._total)
        if self._progress is not None:
            self._progress(self._finished, self._total)


@contextmanager
def progress(label: str, unit: str) -> Iterator[Progress]:
    """Show how far some work has come, with its rate and the time left.

    Parameters
    ----------
    label : str
        What is being worked on: "extracting".
    unit : str
        What is counted: "img".

    Yields
    ------
    callable
        The callback to hand to the work.
    """
    if sys.stderr.isatty():
        with tqdm(desc=label, unit=unit, dynamic_ncols=True, leave=False, file=sys.stderr) as bar:
            yield _on_bar(bar)
    else:
        yield _in_log(label, unit)


def _on_bar(bar: "tqdm[Any]") -> Progress:
    """Return a callback that moves a bar."""

    def report(finished: int, total: int) -> None:
        bar.total = total
        bar.update(finished - bar.n)

    return report


def _in_log(label: str, unit: str) -> Progress:
    """Return a callback that prints a line from time to time."""
    start = last = time.monotonic()

    def report(finished: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < SECONDS_BETWEEN_LINES and finished < total:
            return
        if finished == total and now - start < SECONDS_BETWEEN_LINES:
            return
        last = now
        rate = finished / max(now - start, 1e-9)
        left = (total - finished) / max(rate, 1e-9)
        message = f"{label}: {finished}/{total} {unit}, {rate:.1f} {unit}/s, {left:.0f} s left"
        print(message, file=sys.stderr, flush=True)

    return report
