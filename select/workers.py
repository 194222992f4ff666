"""Independent jobs on several threads, each with a BLAS of one: small products don't share well."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from threadpoolctl import threadpool_info, threadpool_limits

Run = Callable[[Sequence[Callable[[], None]]], None]


@contextmanager
def workers() -> Iterator[tuple[int, Run]]:
    """As many threads as the BLAS may use: how many, and a function that runs jobs on them and waits for all."""
    threads = max((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), default=1)
    if threads == 1:
        yield 1, _one_by_one
        return
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:

        def run(jobs: Sequence[Callable[[], None]]) -> None:
            for result in [pool.submit(job) for job in jobs]:
                result.result()

        yield threads, run


def _one_by_one(jobs: Sequence[Callable[[], None]]) -> None:
    for job in jobs:
        job()
