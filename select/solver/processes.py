"""Who solves the small problems of a λ: this process, and, where they take long, helper processes.

Python's threads take turns, and a small problem is made of so many short operations that two threads together solve
them no faster than one (with ten classes; 1.3 times faster with a hundred). Processes do. A helper is a fresh
interpreter that reads tasks from a pipe and writes back what it found, until the pipe is closed: no fork, which threads
of libraries don't survive, and nothing that a user's script would have to guard against.
"""

import fcntl
import os
import pickle
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import IO, Any

import numpy as np
from head2toe.select.compute.arrays import Array, Arrays, numpy_arrays
from head2toe.select.compute.threads import blas_threads, workers
from head2toe.select.objective.datafits import Datafit
from head2toe.select.objective.penalties import Penalty
from head2toe.select.objective.problem import Problem
from head2toe.select.solver import inner_solver as inner

WORTH_HELP = 0.1  # seconds that a crew is at work before it calls for helpers, who take .3 to start
LOOK_UP = 0.005  # seconds after which who waits for a helper sees whether there is anything left to do
READY = b"+"
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 28), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}  # of glibc: a twentieth
PIPE = 1 << 20  # bytes: with the usual 64 KiB, two processes wait for each other fifty times a task


@dataclass(frozen=True)
class Task:
    """The problem of one working set, with its warm start.

    Attributes
    ----------
    features : (·, n) float32, all rows of the columns that any task of the round needs
    columns : (p,), those of the working set
    rows : the rows of the set
    mean, scale : (p, 1), of the features on these rows
    Y, W, b, residual, step, tol : see `inner.solve`
    lam, datafit, penalty : see `Problem`
    """

    features: np.ndarray
    columns: np.ndarray
    rows: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    Y: Array
    lam: float
    datafit: Datafit
    penalty: Penalty
    W: np.ndarray
    b: Array
    residual: Array
    step: float | None
    tol: float

    def _own(self) -> np.ndarray:
        return np.take(self.features[self.columns], self.rows, axis=1)

    def alone(self) -> "Task":
        """The same with no features but its own: to be sent away."""
        own = self._own()
        return replace(self, features=own, columns=np.arange(len(own)), rows=np.arange(own.shape[1]))

    def solve(self, arrays: Arrays) -> inner.Inner:
        """Standardise the features and solve."""
        xp = arrays.xp
        X = arrays.put(self._own())
        X = (X - arrays.put(self.mean)) * arrays.put(self.scale)
        problem = Problem(X, self.Y, self.lam, self.datafit, self.penalty, xp)
        return inner.solve(problem, arrays.put(self.W), self.b, self.tol, residual=self.residual, step=self.step)


class Crew:
    """Solves tasks, on a device by threads, on the CPU with helpers as many as the BLAS may use threads, less one.

    Where a task is solved makes no difference to what comes out. To be closed in the end.
    """

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays
        self._on_cpu = arrays.xp is numpy_arrays().xp
        self._helpers: list[_Helper] = []
        self._since = time.perf_counter()

    def close(self) -> None:
        """Send the helpers home."""
        for helper in self._helpers:
            helper.close()
        self._helpers = []

    def call_for_help(self, n_tasks: int) -> None:
        """Have helpers started for so many tasks at a time, if the work has been long enough to be worth it."""
        if self._on_cpu and time.perf_counter() - self._since > WORTH_HELP:
            hands = min(blas_threads(), n_tasks)
            with suppress(OSError):  # no more processes, files or memory for one: it goes without
                while len(self._helpers) < hands - 1:
                    self._helpers.append(_Helper())

    def solve(self, tasks: Sequence[Task]) -> list[inner.Inner]:
        """Solve all tasks; results in their order."""
        found: list[Any] = [None] * len(tasks)

        def here(i: int) -> None:
            found[i] = tasks[i].solve(self._arrays)

        self.call_for_help(len(tasks))
        with workers(self._arrays) as (_, run):
            if not self._on_cpu:
                run([partial(here, i) for i in range(len(tasks))])
                return found
            self._share(tasks, found, here)
            for i in (i for i, one in enumerate(found) if one is None):  # whose helper failed: errors are raised here
                here(i)
        return found

    def _share(self, tasks: Sequence[Task], found: list[Any], here: Callable[[int], None]) -> None:
        """Whoever is free takes the largest task that is left: this process, and every helper once it has started."""
        waiting = sorted(range(len(tasks)), key=lambda i: len(tasks[i].columns) * len(tasks[i].rows))

        def by(helper: "_Helper") -> None:
            while waiting and helper.is_starting(LOOK_UP):
                pass
            while helper.is_ready and (i := _next(waiting)) is not None:
                found[i] = helper.solve(tasks[i])

        helping = [threading.Thread(target=by, args=(helper,)) for helper in self._helpers[: len(tasks) - 1]]
        for thread in helping:
            thread.start()
        try:
            while (i := _next(waiting)) is not None:
                here(i)
        finally:
            for thread in helping:
                thread.join()


def _next(waiting: list[int]) -> int | None:
    """Take the last one: `pop` is atomic."""
    try:
        return waiting.pop()
    except IndexError:
        return None


class _Helper:
    """A process that solves tasks."""

    def __init__(self) -> None:
        self._starting, self.is_ready = True, False
        one = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from head2toe.select.solver.processes import help_out; help_out()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,  # Ctrl-C is for the parent, who sends the helpers home
            env=os.environ | one | KEEP_MEMORY | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert self._process.stdin, "is a pipe"
        assert self._process.stdout, "is a pipe"
        self._tasks, self._results = self._process.stdin, self._process.stdout
        for pipe in (self._tasks, self._results):
            _widen(pipe)

    def is_starting(self, patience: float) -> bool:
        """Whether it still is, after up to so many seconds."""
        if self._starting:
            with selectors.DefaultSelector() as selector:
                selector.register(self._results, selectors.EVENT_READ)
                if selector.select(patience):
                    self._starting, self.is_ready = False, self._results.read(1) == READY
        return self._starting

    def solve(self, task: Task) -> inner.Inner | None:
        """Solve a task; None if that fails for whatever reason, and it never gets another."""
        try:
            pickle.dump(task.alone(), self._tasks, protocol=5)
            self._tasks.flush()
            return pickle.load(self._results)
        except (OSError, EOFError, pickle.PickleError, AttributeError, TypeError):  # killed, or no pickle of the task
            self._process.kill()
            self.is_ready = False
            return None

    def close(self) -> None:
        """End it; it has nothing to lose."""
        self._process.kill()
        with suppress(BrokenPipeError), self._process:
            pass


def _widen(pipe: IO[bytes]) -> None:
    """Give a pipe room for `PIPE` bytes, where there is a way and enough is left of what a user's pipes may take."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE)


def help_out() -> None:
    """A helper's life: solve what comes in, until nothing more does."""
    tasks, results = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing but results goes into the pipe
    with suppress(BrokenPipeError):  # the parent needs no help any more
        results.write(READY)
        results.flush()
        _until_closed(tasks, results, numpy_arrays())
    os._exit(0)  # nothing to flush into a closed pipe


def _until_closed(tasks: IO[bytes], results: IO[bytes], arrays: Arrays) -> None:
    while tasks.peek(1):  # type: ignore[attr-defined]
        try:
            task = pickle.load(tasks)
        except (AttributeError, ImportError):  # with a class of the parent's own script: the parent solves it by itself
            return
        pickle.dump(task.solve(arrays), results, protocol=5)
        results.flush()
