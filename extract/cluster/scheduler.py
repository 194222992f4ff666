"""Dask: the only place that imports it. Workers are found or started, looked at, and given tasks."""

import importlib
import importlib.metadata
import logging
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from head2toe.extract.cluster.address import Address
from head2toe.store.common.errors import BadRequest, Head2ToeError, MissingExtra

SECONDS_FOR_SCHEDULER = 10
"""How long a scheduler may take to answer."""

SECONDS_FOR_WORKERS = {"local": 60, "scheduler": 30, "file": 3600}
"""How long to wait for the first worker; a batch system may have a queue."""

SECONDS_BETWEEN_LOOKS = 5
"""How often it is looked whether there are workers at all."""

SECONDS_AFTER_A_CUT = 90
"""How long a scheduler whose connection was lost may stay away."""

SECONDS_BETWEEN_TRIES = 1
"""How long to wait before such a scheduler is asked for again."""

SAME = ("head2toe", "torch", "timm", "numpy")
"""The packages whose versions must be the same on all workers: numbers depend on them."""


class WorkersLost(Head2ToeError):
    """Workers died again and again over the same block."""


class ConnectionLost(Head2ToeError):
    """The scheduler can't be reached any more, though its workers may be at work."""

    def __init__(self, address: Address) -> None:
        super().__init__(
            f"--cluster {address.word}: the connection to its scheduler was lost: what was finished is kept, and the "
            "same command goes on from there"
        )


@contextmanager
def connected(address: Address, *, again: bool = False) -> Iterator[Any]:
    """Give a client of a cluster whose workers are fit; what was started for it is stopped at the end.

    Parameters
    ----------
    address : Address
        Where the workers are, or how to start them.
    again : bool
        Whether there was a connection before, which was lost: the scheduler may take longer to answer.

    Yields
    ------
    distributed.Client
        The client.

    Raises
    ------
    MissingExtra
        Dask, or the package of a file's cluster, is not installed.
    BadRequest
        Nobody answers there, there are no workers, or a worker has other versions.
    ConnectionLost
        Nobody answers there any more.
    """
    try:
        import distributed
    except ImportError as error:
        what = "several devices need" if address.devices else "--cluster needs"
        raise MissingExtra(f"{what} dask.distributed: pip install 'head2toe[cluster]' ({error})") from error
    with _quiet(), ExitStack() as stack:  # what it has to say is said here, in one line
        where: Any = address.scheduler
        patience = SECONDS_FOR_WORKERS["scheduler"]
        if address.processes:
            # One thread each: a network uses its cores by itself. Its HTTP server takes any free port.
            how = {"n_workers": address.processes, "threads_per_worker": 1, "dashboard_address": ":0"}
            where = stack.enter_context(distributed.LocalCluster(**how, processes=True, silence_logs=50))
            patience = SECONDS_FOR_WORKERS["local"]
        elif address.kind:
            where = stack.enter_context(_of_file(address))
            where.scale(address.workers)
            patience = SECONDS_FOR_WORKERS["file"]
        deadline = time.monotonic() + (SECONDS_AFTER_A_CUT if again else 0)
        client: Any = None
        while client is None:
            try:
                new = distributed.Client(where, timeout=SECONDS_FOR_SCHEDULER, set_as_default=False)
                client = stack.enter_context(new)
            except (OSError, ValueError) as error:
                if not again:
                    raise BadRequest(f"--cluster {address.word}: no scheduler answers there: start one") from error
                if time.monotonic() > deadline:
                    raise ConnectionLost(address) from error
                time.sleep(SECONDS_BETWEEN_TRIES)
        try:
            client.wait_for_workers(1, timeout=patience)
        except TimeoutError as error:
            raise BadRequest(f"--cluster {address.word}: it has no workers: start some (dask worker)") from error
        try:
            require_same_versions(client, address.word, {name: importlib.metadata.version(name) for name in SAME})
            yield client
        except (distributed.comm.CommClosedError, distributed.CancelledError) as error:
            raise ConnectionLost(address) from error


def finished(client: Any, work: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
    """Have workers do tasks, and yield what each gives as soon as it does; a lost worker's are done again elsewhere.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    work : callable
        What is done, a function of a module that workers can import.
    tasks : iterable
        What it is given, one after the other.

    Raises
    ------
    WorkersLost
        Several workers died over the same task.
    CancelledError, CommClosedError
        Of Dask's: the connection was lost, which `connected` makes a ConnectionLost of.
    """
    import distributed

    futures = client.map(work, list(tasks), pure=False, retries=0)
    try:
        with _watched(client):
            for future in distributed.as_completed(futures, loop=client.loop):
                yield future.result()
    except distributed.KilledWorker as error:
        raise WorkersLost(
            "several workers of the cluster died over the same row block: have they enough memory? What was finished "
            "is kept"
        ) from error
    finally:
        if client.status == "running":
            client.cancel(futures)


@contextmanager
def _quiet() -> Iterator[None]:
    """Have Dask's side of a connection log nothing but the gravest."""
    loggers = [logging.getLogger(f"distributed.{part}") for part in ("batched", "client", "comm", "core", "utils")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def place() -> int:
    """Return the number of the worker that asks, from 0 on, among those that `connected` started on this machine."""
    import distributed

    return int(distributed.get_worker().name)  # its name stays when it is started again


def spread(client: Any, value: Any) -> Any:
    """Return a future that stands for a value with all workers of a cluster.

    It is the result of a task, and no scattered data: what a lost worker held is made again elsewhere.
    """
    return client.submit(pickle.loads, pickle.dumps(value, protocol=5), pure=False)


def in_order(
    client: Any,
    work: Callable[[Any, Any, Any], Any],
    shared: Any,
    news: Any,
    tasks: Sequence[Any],
    *,
    settled: bool = False,
) -> list[Any]:
    """Have workers do tasks, and return what each gives, in their order; a lost worker's are done again elsewhere.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    work : callable
        What is done, a function of a module that workers can import; it is given `shared`, `news` and a task.
    shared : future or None
        What `spread` returned.
    news : object
        What all tasks are given, sent once; None for nothing.
    tasks : sequence
        What each is about.
    settled : bool
        Whether each worker shall do the tasks of the same places every time, neighbours of each other, while it lives.

    Raises
    ------
    WorkersLost
        Several workers died over the same task.
    """
    import dask
    import distributed

    of_all = None if news is None else spread(client, news)
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):  # tasks hold features
        homes = _homes(client, len(tasks)) if settled else [{}] * len(tasks)
        pairs = zip(tasks, homes, strict=True)
        futures = [client.submit(work, shared, of_all, task, pure=False, **home) for task, home in pairs]
    try:
        with _watched(client):
            return [future.result() for future in futures]
    except distributed.KilledWorker as error:
        raise WorkersLost(
            "several workers of the cluster died over the same part of a selection: have they enough memory?"
        ) from error
    finally:
        if client.status == "running":
            client.cancel(futures)


def workers_of(client: Any) -> list[str]:
    """Return the addresses of a cluster's workers, sorted.

    Raises
    ------
    CommClosedError
        Of Dask's, an OSError: the client is closed, which one who looks from another thread may find.
    """
    import distributed

    workers: Iterable[str] | None = client.scheduler_info(n_workers=-1).get("workers")
    if workers is None:  # what Dask then returns is empty
        raise distributed.comm.CommClosedError("the client is closed")
    return sorted(workers)


def _homes(client: Any, count: int) -> list[dict[str, Any]]:
    """Return which worker each of so many tasks is for; another one does it where that one is gone."""
    workers = workers_of(client)
    if not workers:
        return [{}] * count
    return [{"workers": [workers[k * len(workers) // count]], "allow_other_workers": True} for k in range(count)]


@contextmanager
def _watched(client: Any) -> Iterator[None]:
    """Say so where there is nobody to do tasks, for workers may come back.

    Two looks in succession must find none: workers that this command started are started again when they die.
    """
    over = threading.Event()

    def watch() -> None:
        missing = 0
        while not over.wait(SECONDS_BETWEEN_LOOKS):
            # What is wrong with the connection, those who wait for results are told.
            with suppress(OSError, RuntimeError, TimeoutError):
                missing = 0 if workers_of(client) else missing + 1
            if missing == 2:
                print("waiting for workers of the cluster: there are none any more", file=sys.stderr, flush=True)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def _of_file(address: Address) -> Any:
    """Make the cluster that a file describes."""
    package, _, name = address.kind.partition(".")
    try:
        made: Callable[..., Any] = getattr(importlib.import_module(package), name)
    except ImportError as error:
        raise MissingExtra(f"--cluster {address.word}: pip install {package.replace('_', '-')} ({error})") from error
    except AttributeError as error:
        raise BadRequest(f"--cluster {address.word}: {package} has no {name}") from error
    try:
        return made(**address.settings)
    except (TypeError, ValueError) as error:
        raise BadRequest(f"--cluster {address.word}: {address.kind} refuses these settings: {error}") from error


def require_same_versions(client: Any, word: str, wanted: Mapping[str, str]) -> None:
    """Look whether all workers have the packages that are wanted, in the versions that are.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    word : str
        What names it to the user.
    wanted : mapping of str to str
        Packages and their versions.

    Raises
    ------
    BadRequest
        A worker lacks a package or has another version of it.
    """
    for package, here in wanted.items():
        # A function of Python's own: a worker without this package can still run it.
        answers = client.run(importlib.metadata.version, package, on_error="return")
        for worker, there in sorted(answers.items()):
            if isinstance(there, importlib.metadata.PackageNotFoundError):
                raise BadRequest(f"--cluster {word}: {worker} lacks {package}: install {package} {here} there")
            if there != here:
                raise BadRequest(f"--cluster {word}: {worker} has {package} {there}, not {here}: install that")
