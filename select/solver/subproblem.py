"""The subproblem of one row set at one λ: its working set with a warm start, all that it takes to solve it anywhere."""

from dataclasses import dataclass, replace

import numpy as np
from head2toe.select.compute.arrays import Array, Arrays, numpy_arrays
from head2toe.select.objective.datafits import Datafit
from head2toe.select.objective.penalties import Penalty
from head2toe.select.objective.problem import Problem
from head2toe.select.solver import inner_solver
from head2toe.select.solver.inner_solver import InnerSolution

HOST_WORK = 25_000_000
"""Rows x features x classes of a subproblem from which on a GPU solves it faster than the host.

A step of FISTA is two products of so many multiplications: about a millisecond of a CPU core at this size. On a GPU it
is forty launches, calls and waits, half a millisecond of the host at any size (an H100: 8 to 20 µs each, 30 µs a wait);
and row sets wait for each other there, where on the CPU each has a process.
"""
AT_ONCE = 256
"""Features that are copied at once."""


def where_to_solve(arrays: Arrays, n_rows: int, n_features: int, n_classes: int) -> Arrays:
    """Return where subproblems of this size are solved: on the CPU if they are small, whatever `arrays` are."""
    small = n_rows * n_features * n_classes < HOST_WORK
    return numpy_arrays() if arrays.memory is not None and small else arrays


@dataclass(frozen=True)
class Subproblem:
    """A working set of p features on the n rows of a set, with its warm start.

    Attributes
    ----------
    features : ndarray of float32 (q, m)
        All m rows of the design, of the q features that any subproblem of the round needs.
    columns : ndarray of int (p,)
        Which of the q features are the working set.
    rows : ndarray of int (n,)
        Which of the m rows are those of the set.
    mean, scale : ndarray of float32 (p, 1)
        Moments of the working set on these rows, see `Moments`.
    Y : array of float64 (n, C)
        Targets.
    lam, datafit, penalty
        See `Problem`.
    W, b : array of float64 (p, C), (C,)
        Warm start; W is on the host.
    residual, step, tol
        See `inner_solver.solve`.
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

    @property
    def size(self) -> int:
        """How many numbers its features are: p times n."""
        return len(self.columns) * len(self.rows)

    def compact(self) -> "Subproblem":
        """Return the same subproblem without the features and rows of others, to be sent to another process."""
        X = self._working_features()
        return replace(self, features=X, columns=np.arange(len(X)), rows=np.arange(X.shape[1]))

    def solve(self, arrays: Arrays) -> InnerSolution:
        """Standardise the features and solve, on the device of `arrays`."""
        X = arrays.put(self._working_features())  # a copy: in place, for with many rows another is hundreds of MB
        X -= arrays.put(self.mean)
        X *= arrays.put(self.scale)
        problem = Problem(X, self.Y, self.lam, self.datafit, self.penalty, arrays.xp)
        W = arrays.put(self.W)
        return inner_solver.solve(problem, W, self.b, self.tol, residual=self.residual, step=self.step)

    def _working_features(self) -> np.ndarray:
        """Return the features of the working set on the rows of the set (p, n), not standardised."""
        X = np.empty((len(self.columns), len(self.rows)), self.features.dtype)
        for start in range(0, len(X), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            X[part] = np.take(self.features[self.columns[part]], self.rows, axis=1)
        return X
