"""Workers of a cluster, as the path sees them: they hold the design, and each does its part of a pass or of a round.

What a worker computes does not depend on how many there are. On processors passes are cut where one process cuts them,
too, and every product has a BLAS of one thread. On GPUs, which round products of other shapes otherwise, there are as
many parts for any number of workers; each worker does the same ones on every pass, and keeps their features on its GPU.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

PARTS_ON_GPUS = 64
"""Into how many parts GPUs cut a pass: enough to share, whatever their number."""

Gpu = Callable[[], tuple[str, int]]
"""Called in a worker: the name of the GPU that it computes on ("cuda:1"), and how many workers share it."""

Work = Callable[[Any, Any, Any], Any]
"""Takes what all workers hold, what is new for all tasks, and a task; a function of a module that workers import."""


class Workers(Protocol):
    """Workers that are connected."""

    @property
    def count(self) -> int:
        """How many there are."""

    @property
    def gpu(self) -> Gpu:
        """Which GPU each of them has."""

    def share(self, value: Any) -> Any:
        """Send a value to all workers, once; returns what stands for it in `map`."""

    def map(self, work: Work, shared: Any, news: Any, tasks: Sequence[Any], *, settled: bool = False) -> list[Any]:
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
        settled : bool
            Whether a task of the same place in as many tasks goes to the same worker every time, while it lives.
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
    where : callable
        Called in a worker: the `Arrays` that it computes with.
    on_gpus : bool
        Whether these are a GPU's.
    """

    workers: Workers
    design: Any
    where: Callable[[], Any]
    on_gpus: bool

    @property
    def parts(self) -> int:
        """Into how many parts a pass is cut at most: some for each worker, so that all end at about the same time."""
        return PARTS_ON_GPUS if self.on_gpus else 2 * self.workers.count

    def map(self, work: Work, news: Any, tasks: Sequence[Any]) -> list[Any]:
        """Have workers do tasks with the design; the news are `where` and what is given here. See `Workers.map`."""
        return self.workers.map(work, self.design, (self.where, news), tasks, settled=self.on_gpus)


Cluster = Callable[[], AbstractContextManager[Workers]]
"""Connects to workers, or starts them, for as long as the context lasts."""
