"""The subproblem of one row set at one λ: all that it takes to solve it anywhere, and the features of a round."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import array_api_compat
import numpy as np
from head2toe.select.compute.arrays import Array, Arrays, numpy_arrays, to_numpy, to_numpy_at_once
from head2toe.select.lockstep import solver as lockstep
from head2toe.select.lockstep.stack import Stack
from head2toe.select.objective.datafits import Datafit, Fit, Multinomial
from head2toe.select.objective.penalties import GroupL21, Penalty
from head2toe.select.objective.problem import DualPoint, Problem
from head2toe.select.solver import inner_solver
from head2toe.select.solver.inner_solver import InnerSolution
from head2toe.store.reading.design_matrix import Design

HOST_WORK = 10_000_000
"""Rows x features x classes of a subproblem from which on a GPU solves it faster than the host.

A step of FISTA is two products of so many multiplications: half a millisecond of a CPU core at this size. On a GPU it
is forty launches and calls for all row sets together, half a millisecond of the host at any size (an H100: 8 to 20 µs
each). Measured there, 1000 rows, a path of 11 λ and six row sets: of 10 classes the 16 processors beside it are faster,
of 20 both take as long, of 50 and 100 the GPU takes a half and a third of their time.
"""
MOST_HELD = 1 << 28
"""Bytes of features that are read once for all row sets; of more, every row set reads its own."""
MOST_STACKED = 1 << 29
"""Bytes of features that a GPU has of several subproblems at once; about five times as much is needed meanwhile."""
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

    @cached_property
    def _held(self) -> np.ndarray | None:
        few = 4 * len(self._columns) * self._design.shape[0] <= MOST_HELD
        return self._design.columns(self._columns) if few else None

    def parts(self, subproblem: "Subproblem") -> Iterator[np.ndarray]:
        """Yield the working set of a subproblem on its rows, not standardised, `AT_ONCE` features (a, n) at a time."""
        for start in range(0, len(subproblem.columns), AT_ONCE):
            some = subproblem.columns[start : start + AT_ONCE]
            if self._held is None:
                yield np.take(self._design.columns(some), subproblem.rows, axis=1)
            else:
                yield np.take(self._held[np.searchsorted(self._columns, some)], subproblem.rows, axis=1)

    def stacked(self, subproblems: Sequence["Subproblem"], arrays: Arrays) -> Array:
        """Return the working sets of all subproblems, standardised, as (K, p, n) float32 on the device of `arrays`.

        What is missing to the largest of them is zero.
        """
        xp, (p, n) = arrays.xp, _largest_shape(subproblems)
        values, parts = arrays.columns(self._design, self._columns), []
        for one in subproblems:
            at = arrays.put(_filled(np.searchsorted(self._columns, one.columns), p, np))
            rows = arrays.put(_filled(one.rows, n, np))
            real = arrays.put((np.arange(n) < len(one.rows)).astype(np.float32))
            mean, scale = (arrays.put(_filled(moments, p, np)) for moments in (one.mean, one.scale))
            X = xp.take(xp.take(values, at, axis=0), rows, axis=1)
            parts.append((X - mean) * (scale * real))
        return xp.stack(parts)

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


def solve_together(
    subproblems: Sequence[Subproblem], features: WorkingFeatures, arrays: Arrays
) -> dict[int, InnerSolution]:
    """Solve subproblems on a GPU, side by side where they are of the default kind: number of each to its solution.

    Those whose tolerance is beyond float32, and those of another kind, are solved one after the other.
    """
    solutions: dict[int, InnerSolution] = {}
    for numbers in _alike(subproblems):
        some = [subproblems[i] for i in numbers]
        solutions |= zip(numbers, _in_lockstep(some, features, arrays), strict=True)
    for i, one in enumerate(subproblems):
        start = solutions.get(i)
        if start is None:
            solutions[i] = one.solve(features.of(one), arrays)
        elif start.gap > one.tol:
            further = replace(one, W=start.W, b=start.b, residual=start.dual.residual, step=start.step)
            solved = further.solve(features.of(one), arrays)
            solutions[i] = replace(solved, iterations=start.iterations + solved.iterations)
    return solutions


def _alike(subproblems: Sequence[Subproblem]) -> Iterator[list[int]]:
    """Yield the numbers of subproblems that one stack can hold: of as many classes, and small enough together."""
    of_classes: dict[int, list[int]] = {}
    for i, one in enumerate(subproblems):
        if type(one.datafit) is Multinomial and type(one.penalty) is GroupL21:
            of_classes.setdefault(one.Y.shape[1], []).append(i)
    for numbers in of_classes.values():
        p, n = _largest_shape([subproblems[i] for i in numbers])
        at_once = max(1, MOST_STACKED // (4 * p * n))
        for start in range(0, len(numbers), at_once):
            yield numbers[start : start + at_once]


def _in_lockstep(subproblems: Sequence[Subproblem], features: WorkingFeatures, arrays: Arrays) -> list[InnerSolution]:
    """Solve subproblems of the default kind, as far as float32 goes."""
    xp, (p, n) = arrays.xp, _largest_shape(subproblems)

    def stacked(of_each: Sequence[Array], length: int) -> Array:
        return xp.stack([_filled(values, length, xp) for values in of_each])

    lam = arrays.put(np.array([one.lam for one in subproblems])[:, None, None])
    shares = stacked([_shares(one, arrays) for one in subproblems], n)
    stack = Stack.of(features.stacked(subproblems, arrays), stacked([one.Y for one in subproblems], n), shares, lam, xp)
    solved = lockstep.solve(
        stack,
        stacked([arrays.put(one.W) for one in subproblems], p),
        xp.stack([one.b for one in subproblems])[:, None, :],
        np.array([one.tol for one in subproblems]),
        residual=stacked([one.residual for one in subproblems], n),
        step=np.array([one.step or 0.0 for one in subproblems]),
    )
    # At once what would be a wait for each of them.
    W, norms = to_numpy(solved.W), to_numpy(solved.dual.norms)
    values, duals = (value[:, 0, 0] for value in to_numpy_at_once([solved.fit.value, solved.dual.value]))
    solutions = []
    for k, one in enumerate(subproblems):
        columns, rows = len(one.columns), len(one.rows)
        fit = Fit(float(values[k]), solved.fit.residual[k, :rows, :], solved.fit.mean[k, :rows, :])
        gradient = solved.dual.gradient[k, :columns, :]
        dual = DualPoint(solved.dual.residual[k, :rows, :], gradient, norms[k, :columns], float(duals[k]))
        reached = float(solved.objective[k]), float(solved.gap[k]), solved.iterations, float(solved.step[k])
        solutions.append(InnerSolution(W[k, :columns], solved.b[k, 0, :], fit, dual, *reached))
    return solutions


def _shares(one: Subproblem, arrays: Arrays) -> Array:
    """Return what each row counts (n, 1)."""
    shares = one.datafit.shares  # type: ignore[attr-defined]  # of the default kind, see `_alike`
    rows = len(one.rows)
    return arrays.put(np.full((rows, 1), 1.0 / rows)) if shares is None else shares[:, None]


def _largest_shape(subproblems: Sequence[Subproblem]) -> tuple[int, int]:
    """Return the largest number of features p, and of rows n."""
    return max(len(one.columns) for one in subproblems), max(len(one.rows) for one in subproblems)


def _filled(values: Array, length: int, xp: Any) -> Array:
    """Return values (k, …) followed by zeros, up to a length."""
    if values.shape[0] == length:
        return values
    missing = (length - values.shape[0], *values.shape[1:])
    return xp.concat((values, xp.zeros(missing, dtype=values.dtype, device=array_api_compat.device(values))))
