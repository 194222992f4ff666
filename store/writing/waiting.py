"""Saying from time to time, on stderr, what is being waited for."""

import sys
import time
from collections.abc import Callable

FIRST, BETWEEN = 5.0, 60.0
"""Seconds until something is said, and from then on between two lines."""


class Waiting:
    """One wait for somebody else; it begins when the object is made."""

    def __init__(self) -> None:
        self._next = time.monotonic() + FIRST

    def pause(self, seconds: float, describe: Callable[[], str]) -> None:
        """Sleep, after printing a line if one is due.

        Parameters
        ----------
        seconds : float
            How long.
        describe : callable
            Gives what is waited for: "row block 3 of store 12ab, which …".
        """
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + BETWEEN
            print(f"waiting for {describe()}", file=sys.stderr, flush=True)
        time.sleep(seconds)
