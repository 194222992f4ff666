"""Independent jobs on several threads, each with a BLAS of one: small products don't share well."""

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache

from head2toe.select.compute.arrays import Arrays
from threadpoolctl import ThreadpoolController

Run = Callable[[Sequence[Callable[[], None]]], None]


def blas_threads() -> int:
    """How many threads the BLAS may use now."""
    return max((pool["num_threads"] for pool in _controller().info() if pool["user_api"] == "blas"), default=1)


def _controller() -> ThreadpoolController:
    """What holds all BLAS of this process: looking for them takes milliseconds, so only after imports."""
    return _controller_of(len(sys.modules))


@lru_cache(maxsize=1)
def _controller_of(n_modules: int) -> ThreadpoolController:  # noqa: ARG001
    return ThreadpoolController()


@contextmanager
def workers(arrays: Arrays) -> Iterator[tuple[int, Run]]:
    """As many threads as the BLAS may use: how many, and a function that runs jobs on them and waits for all.

    Every thread computes on the device of `arrays`.
    """
    threads = blas_threads()
    if threads == 1:
        yield 1, _one_by_one
        return
    with _controller().limit(limits=1), ThreadPoolExecutor(threads, initializer=arrays.enter) as pool:

        def run(jobs: Sequence[Callable[[], None]]) -> None:
            for result in [pool.submit(job) for job in jobs]:
                result.result()

        yield threads, run


def _one_by_one(jobs: Sequence[Callable[[], None]]) -> None:
    for job in jobs:
        job()
