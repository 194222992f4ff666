"""Who solves the small problems of a λ: this process, and, where they take long, helper processes.

Python's threads take turns, and a small problem is made of so many short operations that two threads together solve
them no faster than one (with ten classes; 1.3 times faster with a hundred). Processes do. A helper is a fresh
interpreter that reads tasks from a pipe and writes back what it found, until the pipe is closed: no fork, which threads
of libraries don't survive, and nothing that a user's script would have to guard against.
"""

import os
import pickle
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import IO, Any

import numpy as np
from head2toe.select import inner
from head2toe.select.arrays import Array, Arrays, numpy_arrays
from head2toe.select.datafits import Datafit
from head2toe.select.penalties import Penalty
from head2toe.select.problem import Problem
from head2toe.select.workers import blas_threads, workers

WORTH_HELP = 0.3  # seconds that a crew is at work before it calls for helpers: what starting one takes
READY = b"+"
PIPE = 1 << 20  # bytes: with the usual 64 KiB, two processes wait for each other fifty times a task


@dataclass(frozen=True)
class Task:
    """The problem of one working set, with its warm start.

    Attributes
    ----------
    features : (p, n) float32, the working set's columns over all rows of the design
    rows : the rows of the set
    mean, scale : (p, 1), of the features on these rows
    Y, W, b, residual, step, tol : see `inner.solve`
    lam, datafit, penalty : see `Problem`
    """

    features: np.ndarray
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

    def solve(self, arrays: Arrays) -> inner.Inner:
        """Standardise the features and solve."""
        xp = arrays.xp
        X = xp.take(arrays.put(self.features), arrays.put(self.rows), axis=1) - arrays.put(self.mean)
        problem = Problem(X * arrays.put(self.scale), self.Y, self.lam, self.datafit, self.penalty, xp)
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

    def solve(self, tasks: Sequence[Task]) -> list[inner.Inner]:
        """Solve all tasks; results in their order."""
        found: list[Any] = [None] * len(tasks)

        def here(i: int) -> None:
            found[i] = tasks[i].solve(self._arrays)

        hands = min(blas_threads(), len(tasks))
        with workers(self._arrays) as (_, run):
            if not self._on_cpu:
                run([partial(here, i) for i in range(len(tasks))])
                return found
            if time.perf_counter() - self._since > WORTH_HELP:
                self._helpers += [_Helper() for _ in range(hands - 1 - len(self._helpers))]
            self._share(tasks, found, here)
            for i in (i for i, one in enumerate(found) if one is None):  # whose helper failed: errors are raised here
                here(i)
        return found

    def _share(self, tasks: Sequence[Task], found: list[Any], here: Callable[[int], None]) -> None:
        """Whoever is free takes the largest task that is left: this process, and every helper that has started."""
        waiting = sorted(range(len(tasks)), key=lambda i: tasks[i].features.size)

        def by(helper: "_Helper") -> None:
            while helper.is_ready() and (i := _next(waiting)) is not None:
                found[i] = helper.solve(tasks[i])

        ready = [helper for helper in self._helpers if helper.is_ready()]
        helping = [threading.Thread(target=by, args=(helper,)) for helper in ready[: len(tasks) - 1]]
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
        self._ready = False
        one = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from head2toe.select.crew import help_out; help_out()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pipesize=PIPE,
            process_group=0,  # Ctrl-C is for the parent, who sends the helpers home
            env=os.environ | one | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert self._process.stdin, "is a pipe"
        assert self._process.stdout, "is a pipe"
        self._tasks, self._results = self._process.stdin, self._process.stdout

    def is_ready(self) -> bool:
        """Whether it has started."""
        if not self._ready:
            with selectors.DefaultSelector() as selector:
                selector.register(self._results, selectors.EVENT_READ)
                if selector.select(timeout=0):
                    self._ready = self._results.read(1) == READY
        return self._ready

    def solve(self, task: Task) -> inner.Inner | None:
        """Solve a task; None if that fails for whatever reason, and always from then on."""
        try:
            pickle.dump(task, self._tasks, protocol=5)
            self._tasks.flush()
            return pickle.load(self._results)
        except (OSError, EOFError, pickle.PickleError, AttributeError, TypeError):  # killed, or no pickle of the task
            self._process.kill()
            self._ready = False
            return None

    def close(self) -> None:
        """End it; it has nothing to lose."""
        self._process.kill()
        with suppress(BrokenPipeError), self._process:
            pass


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
        found = pickle.load(tasks).solve(arrays)
        pickle.dump(found, results, protocol=5)
        results.flush()
