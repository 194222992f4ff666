"""Progress of long work on stderr: a bar on a terminal, a line every few seconds in a log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

Progress = Callable[[int, int], None]
"""Called with (done, total)."""

SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def progress(label: str, unit: str) -> Iterator[Progress]:
    """A callback that shows how far `label` has come, with rate and time left."""
    if sys.stderr.isatty():
        with tqdm(desc=label, unit=unit, dynamic_ncols=True, leave=False, file=sys.stderr) as bar:
            yield _on_bar(bar)
    else:
        yield _in_log(label, unit)


def _on_bar(bar: "tqdm[Any]") -> Progress:
    def report(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return report


def _in_log(label: str, unit: str) -> Progress:
    start = last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < SECONDS_BETWEEN_LINES and done < total:
            return
        if done == total and now - start < SECONDS_BETWEEN_LINES:
            return
        last = now
        rate = done / max(now - start, 1e-9)
        left = (total - done) / max(rate, 1e-9)
        print(f"{label}: {done}/{total} {unit}, {rate:.1f} {unit}/s, {left:.0f} s left", file=sys.stderr, flush=True)

    return report
