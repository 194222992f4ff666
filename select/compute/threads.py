"""Independent jobs on several threads, each with a BLAS of one thread, because small products do not share well."""

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache, partial

import array_api_compat
from head2toe.select.compute.arrays import Arrays
from threadpoolctl import ThreadpoolController

RunJobs = Callable[[Sequence[Callable[[], None]]], None]
"""Runs all jobs, waits for them, and raises what one of them raised."""


def blas_threads() -> int:
    """Return how many threads the BLAS of this process may use now."""
    return max((pool["num_threads"] for pool in _controller().info() if pool["user_api"] == "blas"), default=1)


def _controller() -> ThreadpoolController:
    """Return the controller of every BLAS of this process. The search takes milliseconds: only after new imports."""
    return _controller_of(len(sys.modules))


@lru_cache(maxsize=1)
def _controller_of(n_modules: int) -> ThreadpoolController:  # noqa: ARG001
    return ThreadpoolController()


@contextmanager
def thread_pool(arrays: Arrays) -> Iterator[tuple[int, RunJobs]]:
    """Provide as many threads as the BLAS may use, for as long as the context lasts; one, where there is a GPU.

    (Each thread would need handles of cuBLAS and cuSOLVER, and they would only take turns in giving the GPU its work.)

    Parameters
    ----------
    arrays : Arrays
        Every thread computes on its device.

    Yields
    ------
    threads : int
        The number of threads.
    run : function
        Takes a sequence of functions without arguments, runs them on the threads and waits for all. It raises what a
        job raised.
    """
    threads = blas_threads() if arrays.memory is None else 1
    if threads == 1:
        yield 1, _one_by_one
        return
    with _controller().limit(limits=1), ThreadPoolExecutor(threads, initializer=arrays.enter) as pool:

        def run(jobs: Sequence[Callable[[], None]]) -> None:
            for future in [pool.submit(job) for job in jobs]:
                future.result()

        yield threads, run


def side_by_side(job: Callable[[int], None], n: int, arrays: Arrays) -> None:
    """Call a function with 0 .. n - 1, each time with a BLAS of one thread: the numbers don't depend on the threads.

    On a processor as many calls go on at once as the BLAS may use threads; on a GPU, which a single one fills, they go
    on one after the other. What a call raises is raised here.
    """
    jobs = [partial(job, k) for k in range(n)]
    with thread_pool(arrays) as (_, run):
        if array_api_compat.is_numpy_namespace(arrays.xp):
            run(jobs)
        else:
            _one_by_one(jobs)


def _one_by_one(jobs: Sequence[Callable[[], None]]) -> None:
    for job in jobs:
        job()
