"""The workers of a cluster for stage two: they hold the design, and do parts of its passes and subproblems."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from head2toe.extract.cluster.address import Address
from head2toe.extract.cluster.scheduler import connected, in_order, place, spread, workers_of


class PathWorkers:
    """Workers that are connected; `head2toe.select.compute.workers.Workers` says what they are asked for.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    devices : sequence of str
        The GPUs of this machine that its workers are dealt out to; empty where each has one of its own, "cuda".
    local : bool
        Whether all workers are on this machine, and were started for this command.
    """

    def __init__(self, client: Any, devices: Sequence[str] = (), *, local: bool = False) -> None:
        self._client = client
        self.count = len(workers_of(client))
        self.gpu = partial(gpu_there, tuple(devices) or ("cuda",), self.count if local else 1)

    def share(self, value: Any) -> Any:
        """Send a value to all workers, once."""
        return spread(self._client, value)

    def map(
        self,
        work: Callable[[Any, Any, Any], Any],
        shared: Any,
        news: Any,
        tasks: Sequence[Any],
        *,
        settled: bool = False,
    ) -> list[Any]:
        """Have tasks done, and return what came of each, in their order."""
        return in_order(self._client, work, shared, news, tasks, settled=settled)


def gpu_there(devices: tuple[str, ...], workers: int) -> tuple[str, int]:
    """Return, in a worker, the GPU that it computes on, and how many of so many workers share that one."""
    if len(devices) == 1:
        return devices[0], workers
    return devices[place() % len(devices)], -(-workers // len(devices))


@contextmanager
def path_workers(address: Address) -> Iterator[PathWorkers]:
    """Connect to the workers of a cluster, or start them. Raises as `connected` does."""
    with connected(address) as client:
        yield PathWorkers(client, address.devices, local=bool(address.processes))
