"""Workers of a cluster, as the path sees them: they hold the design, and each does its part of a pass or of a round.

What a worker computes does not depend on how many there are: passes are cut where one process cuts them, too, and every
product has a BLAS of one thread.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

Work = Callable[[Any, Any, Any], Any]
"""Takes what all workers hold, what is new for all tasks, and a task; a function of a module that workers import."""


class Workers(Protocol):
    """Workers that are connected."""

    @property
    def count(self) -> int:
        """How many there are."""

    def share(self, value: Any) -> Any:
        """Send a value to all workers, once; returns what stands for it in `map`."""

    def map(self, work: Work, shared: Any, news: Any, tasks: Sequence[Any]) -> list[Any]:
        """Have tasks done, and return what came of each, in their order.

        Parameters
        ----------
        work : callable
            What is done: see `Work`. What it raises is raised here.
        shared : object
            What `share` returned, or None.
        news : object
            What all tasks are given beside it.
        tasks : sequence
            What each is about.
        """


@dataclass(frozen=True)
class SharedDesign:
    """A design that workers hold.

    Attributes
    ----------
    workers : Workers
        Who they are.
    design : object
        What stands for the design in `Workers.map`.
    """

    workers: Workers
    design: Any

    @property
    def parts(self) -> int:
        """Into how many parts a pass is cut at most: some for each worker, so that all end at about the same time."""
        return 2 * self.workers.count

    def map(self, work: Work, news: Any, tasks: Sequence[Any]) -> list[Any]:
        """Have workers do tasks with the design; see `Workers.map`."""
        return self.workers.map(work, self.design, news, tasks)


Cluster = Callable[[], AbstractContextManager[Workers]]
"""Connects to workers, or starts them, for as long as the context lasts."""
