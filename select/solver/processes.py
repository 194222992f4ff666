"""Solving the subproblems of a round: in this process and, where that takes long, in worker processes beside it.

Python's threads take turns, and a subproblem is made of so many short operations that two threads together solve them
no faster than one (with ten classes; 1.3 times faster with a hundred). Processes do. A worker is a fresh interpreter
that reads subproblems from a pipe and writes solutions to another, until the first is closed: without a fork, which
threads of libraries do not survive, and without a main module that a user's script would have to guard.

loky's executor (joblib 1.6) in the place of the pipes makes a path with two threads take 10.9 to 13.7 s where it takes
9.8 to 11.3 s: 86 % of the speed, 88 % with the same settings of malloc (docs/selection.md). Its workers take longer to
start, and need a watch of their own: one whose parent was killed waits for ever to hand over its solution.
"""

import fcntl
import math
import os
import pickle
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

import numpy as np
from head2toe.select.compute.arrays import Arrays, numpy_arrays
from head2toe.select.compute.threads import blas_threads, thread_pool
from head2toe.select.compute.workers import Workers
from head2toe.select.solver.inner_solver import InnerSolution
from head2toe.select.solver.subproblem import Subproblem, WorkingFeatures, solve_together
from head2toe.store.common.errors import Head2ToeError

WORTH_WORKERS = 0.1  # seconds that a path must have taken before workers are started, which takes .3
PATIENCE = 0.005  # seconds after which a thread that waits for a worker looks whether anything is left to do
READY = b"+"
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 28), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
"""Settings of glibc's malloc, which would otherwise return the memory of arrays to the system after every operation."""
PIPE = 1 << 20  # bytes: with the usual 64 KiB, two processes wait for each other fifty times for one subproblem


FAILURES = (OSError, EOFError, pickle.PickleError, AttributeError, TypeError, Head2ToeError)
"""What is raised where a worker died or cannot be sent a class, or features can't be read: which is then seen here."""


class WorkerPool:
    """Solves subproblems: on the CPU with one worker process less than the BLAS may use threads, on a GPU side by side.

    The results do not depend on where a subproblem is solved. What a worker cannot solve (it was killed, or cannot
    import a user's penalty) is solved in this process. The pool must be closed in the end.

    Parameters
    ----------
    arrays : Arrays
        Where to compute.
    cluster : Workers, optional
        Workers of a cluster, who solve all of them instead.
    """

    def __init__(self, arrays: Arrays, cluster: Workers | None = None) -> None:
        self._arrays, self._cluster = arrays, cluster
        self._on_cpu = arrays.xp is numpy_arrays().xp
        self._workers: list[_Worker] = []
        self._since = time.perf_counter()

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.close()
        self._workers = []

    def start(self, n_subproblems: int) -> None:
        """Start workers for so many subproblems at a time, once the path has taken long enough to be worth them."""
        if self._on_cpu and self._cluster is None and time.perf_counter() - self._since > WORTH_WORKERS:
            n_workers = min(blas_threads(), n_subproblems) - 1
            with suppress(OSError):  # no processes, files or memory are left for one: the pool goes without
                while len(self._workers) < n_workers:
                    self._workers.append(_Worker())

    def solve(self, subproblems: Sequence[Subproblem], features: WorkingFeatures) -> list[InnerSolution]:
        """Solve all subproblems, and return the solutions in the same order. What one raises is raised here."""
        if self._cluster is not None:
            return self._cluster.map(_solved_there, None, None, [(one, features.of(one)) for one in subproblems])
        self.start(len(subproblems))
        solutions: dict[int, InnerSolution] = {}
        if self._on_cpu:
            with thread_pool(self._arrays):
                self._share(subproblems, features, solutions)
                for i in sorted(set(range(len(subproblems))) - set(solutions)):  # a worker failed
                    solutions[i] = subproblems[i].solve(features.of(subproblems[i]), self._arrays)
        else:
            solutions = solve_together(subproblems, features, self._arrays)
        return [solutions[i] for i in range(len(subproblems))]

    def _share(
        self, subproblems: Sequence[Subproblem], features: WorkingFeatures, solutions: dict[int, InnerSolution]
    ) -> None:
        """Solve in the workers and in this process: whoever is free takes the largest subproblem left."""
        waiting = sorted(range(len(subproblems)), key=lambda i: math.prod(subproblems[i].shape))

        def use(worker: "_Worker") -> None:
            while waiting and worker.is_starting(PATIENCE):
                pass
            while worker.is_ready and (i := _pop(waiting)) is not None:
                solution = worker.solve(subproblems[i], features)
                if solution is not None:
                    solutions[i] = solution

        workers = self._workers[: len(subproblems) - 1]
        threads = [threading.Thread(target=use, args=(worker,)) for worker in workers]
        for thread in threads:
            thread.start()
        try:
            while (i := _pop(waiting)) is not None:
                solutions[i] = subproblems[i].solve(features.of(subproblems[i]), self._arrays)
        finally:
            waiting.clear()
            for thread in threads:
                thread.join()


def _solved_there(shared: None, news: None, task: tuple[Subproblem, np.ndarray]) -> InnerSolution:  # noqa: ARG001
    """Solve, in a worker of a cluster, a subproblem given its features, with a BLAS of one thread as everywhere."""
    subproblem, X = task
    with thread_pool(numpy_arrays()):
        return subproblem.solve(np.array(X), numpy_arrays())


def _pop(waiting: list[int]) -> int | None:
    """Take the last element, or None if there is none left. (`pop` is atomic.)"""
    try:
        return waiting.pop()
    except IndexError:
        return None


class _Worker:
    """A process that solves subproblems, at the other end of two pipes."""

    def __init__(self) -> None:
        self._starting, self.is_ready = True, False
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", f"from {__name__} import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,  # Ctrl-C in a terminal is for the parent, which ends its workers
            env=os.environ | ONE_THREAD | KEEP_MEMORY | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert self._process.stdin, "is a pipe"
        assert self._process.stdout, "is a pipe"
        self._subproblems, self._solutions = self._process.stdin, self._process.stdout
        for pipe in (self._subproblems, self._solutions):
            _widen(pipe)

    def is_starting(self, patience: float) -> bool:
        """Whether it is not ready yet, after waiting for up to `patience` seconds."""
        if self._starting:
            with selectors.DefaultSelector() as selector:
                selector.register(self._solutions, selectors.EVENT_READ)
                if selector.select(patience):
                    self._starting, self.is_ready = False, self._solutions.read(1) == READY
        return self._starting

    def solve(self, subproblem: Subproblem, features: WorkingFeatures) -> InnerSolution | None:
        """Solve a subproblem. If that fails for whatever reason, return None; the worker is then not used again."""
        try:
            pickle.dump(subproblem, self._subproblems, protocol=5)
            for values in features.parts(subproblem):
                self._subproblems.write(values.data)
            self._subproblems.flush()
            solution: InnerSolution = pickle.load(self._solutions)
        except FAILURES:
            self._process.kill()
            self.is_ready = False
            return None
        return solution

    def close(self) -> None:
        """Kill the process, which has nothing to lose, and close the pipes."""
        self._process.kill()
        with suppress(BrokenPipeError), self._process:
            pass


def _widen(pipe: IO[bytes]) -> None:
    """Give a pipe room for `PIPE` bytes, where there is a way and enough is left of what a user's pipes may take."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE)


def serve() -> None:
    """Run in a worker: solve the subproblems that come in by stdin, until it is closed."""
    subproblems, solutions = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # so that nothing but solutions is written to the pipe
    with suppress(BrokenPipeError):  # the parent has ended
        solutions.write(READY)
        solutions.flush()
        _solve_until_closed(subproblems, solutions, numpy_arrays())
    os._exit(0)  # without flushing to a pipe that is closed


def _solve_until_closed(subproblems: IO[bytes], solutions: IO[bytes], arrays: Arrays) -> None:
    while subproblems.peek(1):  # type: ignore[attr-defined]
        try:
            subproblem: Subproblem = pickle.load(subproblems)
        except (AttributeError, ImportError):  # a class of the parent's own script: the parent solves it by itself
            return
        X = np.empty(subproblem.shape, np.float32)
        if subproblems.readinto(X.data) < X.nbytes:  # type: ignore[attr-defined]
            return  # the parent has ended
        pickle.dump(subproblem.solve(X, arrays), solutions, protocol=5)
        solutions.flush()
