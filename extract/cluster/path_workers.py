"""The workers of a cluster for stage two: they hold the design, and do parts of its passes and subproblems."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from head2toe.extract.cluster.address import Address
from head2toe.extract.cluster.scheduler import connected, in_order, spread


class PathWorkers:
    """Workers that are connected; `head2toe.select.compute.workers.Workers` says what they are asked for.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.count = len(client.scheduler_info(n_workers=-1)["workers"])

    def share(self, value: Any) -> Any:
        """Send a value to all workers, once."""
        return spread(self._client, value)

    def map(self, work: Callable[[Any, Any, Any], Any], shared: Any, news: Any, tasks: Sequence[Any]) -> list[Any]:
        """Have tasks done, and return what came of each, in their order."""
        return in_order(self._client, work, shared, news, tasks)


@contextmanager
def path_workers(word: str) -> Iterator[PathWorkers]:
    """Connect to the workers that `--cluster` names, or start them. Raises as `connected` does."""
    with connected(Address.of(word)) as client:
        yield PathWorkers(client)
