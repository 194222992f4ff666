"""The subproblem of one row set at one λ: all that it takes to solve it anywhere, and the features of a round."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from head2toe.select.compute.arrays import Array, Arrays, numpy_arrays
from head2toe.select.objective.datafits import Datafit
from head2toe.select.objective.penalties import Penalty
from head2toe.select.objective.problem import Problem
from head2toe.select.solver import inner_solver
from head2toe.select.solver.inner_solver import InnerSolution
from head2toe.store.reading.design_matrix import Design

HOST_WORK = 25_000_000
"""Rows x features x classes of a subproblem from which on a GPU solves it faster than the host.

A step of FISTA is two products of so many multiplications: about a millisecond of a CPU core at this size. On a GPU it
is forty launches, calls and waits, half a millisecond of the host at any size (an H100: 8 to 20 µs each, 30 µs a wait);
and row sets wait for each other there, where on the CPU each has a process.
"""
MOST_HELD = 1 << 28
"""Bytes of features that are read once for all row sets; of more, every row set reads its own."""
AT_ONCE = 256
"""Features that are read or copied at once."""


def where_to_solve(arrays: Arrays, n_rows: int, n_features: int, n_classes: int) -> Arrays:
    """Return where subproblems of this size are solved: on the CPU if they are small, whatever `arrays` are."""
    small = n_rows * n_features * n_classes < HOST_WORK
    return numpy_arrays() if arrays.memory is not None and small else arrays


class WorkingFeatures:
    """The features of the working sets of a round, on all rows of a design.

    They are held where they are few. With many rows they would be gigabytes beside the copies that row sets make.

    Parameters
    ----------
    design : Design
    columns : ndarray of int (q,)
        All columns that a working set has, ascending.
    """

    def __init__(self, design: Design, columns: np.ndarray) -> None:
        self._design, self._columns = design, columns
        self._held = design.columns(columns) if 4 * len(columns) * design.shape[0] <= MOST_HELD else None

    def parts(self, subproblem: "Subproblem") -> Iterator[np.ndarray]:
        """Yield the working set of a subproblem on its rows, not standardised, `AT_ONCE` features (a, n) at a time."""
        for start in range(0, len(subproblem.columns), AT_ONCE):
            some = subproblem.columns[start : start + AT_ONCE]
            if self._held is None:
                yield np.take(self._design.columns(some), subproblem.rows, axis=1)
            else:
                yield np.take(self._held[np.searchsorted(self._columns, some)], subproblem.rows, axis=1)

    def of(self, subproblem: "Subproblem") -> np.ndarray:
        """Return the working set of a subproblem on its rows (p, n) float32, not standardised."""
        X = np.empty(subproblem.shape, np.float32)
        for part, values in enumerate(self.parts(subproblem)):
            X[part * AT_ONCE :][: len(values)] = values
        return X


@dataclass(frozen=True)
class Subproblem:
    """A working set of p features on the n rows of a set, with its warm start.

    Attributes
    ----------
    columns : ndarray of int (p,)
        Which features of the design are the working set.
    rows : ndarray of int (n,)
        Which rows of the design are those of the set.
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
    def shape(self) -> tuple[int, int]:
        """The shape (p, n) of its features."""
        return len(self.columns), len(self.rows)

    def solve(self, X: np.ndarray, arrays: Arrays) -> InnerSolution:
        """Standardise the features X (p, n) float32, in place on a CPU, and solve, on the device of `arrays`."""
        features = arrays.put(X)  # in place, for with many rows another copy is hundreds of MB
        features -= arrays.put(self.mean)
        features *= arrays.put(self.scale)
        problem = Problem(features, self.Y, self.lam, self.datafit, self.penalty, arrays.xp)
        W = arrays.put(self.W)
        return inner_solver.solve(problem, W, self.b, self.tol, residual=self.residual, step=self.step)
