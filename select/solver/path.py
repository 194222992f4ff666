"""The regularisation path of all row sets together: from λ_max down, with one pass over the design in each round."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
from head2toe.select.compute.arrays import Arrays, arrays_there, numpy_arrays
from head2toe.select.compute.normalize import moments
from head2toe.select.compute.threads import thread_pool
from head2toe.select.compute.workers import SharedDesign, Workers
from head2toe.select.objective.datafits import Datafit, Multinomial, WeightableDatafit
from head2toe.select.objective.penalties import GroupL21, Penalty
from head2toe.select.objective.requirements import require_members
from head2toe.select.solver.dual_norms import dual_norms
from head2toe.select.solver.processes import WorkerPool
from head2toe.select.solver.row_set import SMALLEST_WORKING_SET, RowSet, Solution
from head2toe.select.solver.schedule import SATURATED, PathSchedule
from head2toe.select.solver.subproblem import WorkingFeatures, where_to_solve
from head2toe.store.common.errors import BadRequest, DataError
from head2toe.store.reading.design_matrix import Design


@dataclass(frozen=True)
class PathPoint:
    """The solutions of all K row sets at one λ / λ_max.

    Attributes
    ----------
    ratio : float
        λ / λ_max.
    lambdas : ndarray of float64 (K,)
        The λ of every row set.
    solutions : tuple of Solution
        One for each row set.
    scores : ndarray of float32 (K, d)
        Relevance of all features, for ranking: see `RowSet.scores`.
    stopped : str
        Why the path ends here, if it ends before the last ratio; otherwise empty.
    """

    ratio: float
    lambdas: np.ndarray
    solutions: tuple[Solution, ...]
    scores: np.ndarray
    stopped: str = ""

    @property
    def note(self) -> str:
        """What a user should know about this λ: not converged, the path ends, or no feature is left. Usually empty."""
        unsolved = [f"{k} (gap {s.gap:.1e})" for k, s in enumerate(self.solutions) if not s.converged]
        if unsolved:
            return f"not converged on row sets {', '.join(unsolved)}: their gaps are above the tolerance"
        if self.stopped:
            return self.stopped
        return (
            "" if any(len(s.columns) for s in self.solutions) else "no feature is left at this λ: it is λ_max or above"
        )


def path(
    design: Design,
    y: np.ndarray,
    masks: np.ndarray,
    *,
    n_classes: int,
    ratios: Sequence[float] | np.ndarray | Callable[[np.ndarray], Sequence[float] | np.ndarray],
    standardize: bool = False,
    tol: float = 1e-2,
    arrays: Arrays,
    datafit: Datafit | None = None,
    penalty: Penalty | None = None,
    weights: np.ndarray | None = None,
    until: float = SATURATED,
    names: Sequence[str] = (),
) -> Iterator[PathPoint]:
    """Solve min F(XW + 1bᵀ) + λΩ(W) on K row sets for falling λ, each to a certified relative duality gap.

    With the default terms this is the group lasso of Evci et al. (2022, section 3.2). It is solved by working sets
    (strong rule, Tibshirani et al. 2012), FISTA and Newton-CG.

    Parameters
    ----------
    design : Design
        n rows, d features.
    y : ndarray (n,)
        Classes 0 .. n_classes - 1; for `Quadratic` real numbers, (n,) or (n, n_classes).
    masks : ndarray of bool (K, n)
        The training rows of every set: folds and, usually last, all rows.
    n_classes : int
        C; a class that a row set lacks gets no weight there.
    ratios : sequence of float, or callable
        λ = ratio · λ_max, λ_max being each row set's own; not rising. A function is called with the λ_max of all row
        sets (K,) float64 and returns them.
    standardize : bool
        Scale every feature to unit variance on the rows of the set. (Centring changes nothing beside an intercept.)
    tol : float
        Relative duality gap to reach.
    arrays : Arrays
        Where to compute.
    datafit : Datafit, optional
        The data term F, `Multinomial()` by default.
    penalty : Penalty, optional
        The penalty Ω, `GroupL21()` by default.
    weights : ndarray of float (n,), optional
        What each row counts in F and in the moments; 2 is the row twice, and 0 is no row. By default all count alike.
    until : float
        The fraction of the null model's deviance above which classes count as separate, and the path ends; 1 for a path
        down to the last ratio.
    names : sequence of str
        What messages call the rows of each set; by default `row set 0` and so on.

    Yields
    ------
    PathPoint
        One for each ratio, until the ratios end or the classes separate; `stopped` then says so.

    Raises
    ------
    BadRequest
        Shapes, ratios or tolerance make no sense; the data term or the penalty lacks a method.
    DataError
        NaN or inf in the features; fewer than two classes in a row set; all features constant.
    """
    datafit = Multinomial() if datafit is None else datafit
    penalty = GroupL21() if penalty is None else penalty
    require_members(datafit, Datafit)
    require_members(penalty, Penalty)
    masks = _checked(design, masks, tol)
    if not callable(ratios):
        ratios = _checked_ratios(ratios)
    y = datafit.checked(y, design.shape[0], n_classes)
    if weights is not None:
        require_members(datafit, WeightableDatafit)
        weights = _checked_weights(weights, design.shape[0])
        masks = _checked_masks(masks & (weights > 0), design.shape[0])
    penalty.checked(design.shape[1])
    inner = where_to_solve(arrays, design.shape[0], SMALLEST_WORKING_SET, n_classes)
    with _shared(design, arrays) as shared, closing(WorkerPool(inner, _who_solves(inner, shared))) as pool:
        centre = moments(design, masks, arrays, weights, shared)
        if not standardize:
            centre = centre.without_scaling()
        sets = []
        called = partial(_called, names)
        for k, mask in enumerate(masks):
            rows = np.flatnonzero(mask)
            if len(np.unique(y[rows])) < 2:
                raise DataError(f"1 class only on {called(k)}: at least two are needed to tell apart")
            own = datafit
            if weights is not None:
                shares = inner.put(weights[rows] / weights[rows].sum())
                own = cast("WeightableDatafit", datafit).weighted(shares)
            sets.append(RowSet(y[rows], rows, centre.mean[k], centre.scale[k], n_classes, own, penalty, inner))
        pool.start(len(sets))
        norms = _null_norms(design, sets, arrays, shared, called)
        if callable(ratios):
            ratios = _checked_ratios(ratios(np.array([s.lam_max for s in sets])))
        schedules = [PathSchedule(s, own_norms, ratios, tol, until) for s, own_norms in zip(sets, norms, strict=True)]
        yield from _points(design, schedules, ratios, pool, until, arrays, shared)


@contextmanager
def _shared(design: Design, arrays: Arrays) -> Iterator[SharedDesign | None]:
    """Give the design to the workers of a cluster, if there is one; they compute on what this process computes on."""
    if arrays.cluster is None:
        yield None
        return
    with arrays.cluster() as workers:
        on_gpus = arrays.memory is not None
        where = partial(arrays_there, workers.gpu, arrays.memory_share) if on_gpus else numpy_arrays
        yield SharedDesign(workers, workers.share(design), where, on_gpus)


def _who_solves(inner: Arrays, shared: SharedDesign | None) -> Workers | None:
    """Return the workers that solve subproblems; none where this process's GPU does, all row sets in lockstep."""
    return shared.workers if shared is not None and inner.memory is None else None


def _called(names: Sequence[str], k: int) -> str:
    return names[k] if names else f"row set {k}"


def _null_norms(
    design: Design,
    sets: Sequence[RowSet],
    arrays: Arrays,
    shared: SharedDesign | None,
    called: Callable[[int], str],
) -> np.ndarray:
    """Return the dual norms (K, d) of the models without features. The largest of a row set is its λ_max."""
    norms = _norms(design, sets, arrays, shared)
    for k, s in enumerate(sets):
        s.lam_max = s.lam = float(norms[k].max())
        if not s.lam_max > 0:
            raise DataError(f"every feature is constant on {called(k)}: there is nothing to select from")
    return norms


def _points(
    design: Design,
    schedules: Sequence[PathSchedule],
    ratios: np.ndarray,
    pool: WorkerPool,
    until: float,
    arrays: Arrays,
    shared: SharedDesign | None,
) -> Iterator[PathPoint]:
    """Run rounds with all row sets that may go on, and yield a point as soon as all row sets have finished its λ."""
    for ratio in ratios:
        while not all(schedule.steps for schedule in schedules):
            slowest = min(schedule.n_done for schedule in schedules)
            _round(design, [schedule for schedule in schedules if schedule.may_go_on(slowest)], pool, arrays, shared)
        steps = [schedule.steps.popleft() for schedule in schedules]
        explained = min(step.explained for step in steps)
        stopped = f"the classes separate: {explained:.2%} of the deviance is explained" if explained > until else ""
        yield PathPoint(
            ratio=float(ratio),
            lambdas=np.array([step.lam for step in steps]),
            solutions=tuple(step.solution for step in steps),
            scores=np.stack([step.scores for step in steps]),
            stopped=stopped,
        )
        if stopped:
            return


def _round(
    design: Design,
    schedules: Sequence[PathSchedule],
    pool: WorkerPool,
    arrays: Arrays,
    shared: SharedDesign | None,
) -> None:
    """Solve on the working sets, and check the solutions against all features in one pass."""
    sets = [schedule.row_set for schedule in schedules]
    features = WorkingFeatures(design, np.unique(np.concatenate([s.working for s in sets])))
    solutions = pool.solve([s.subproblem() for s in sets], features)
    for s, solution in zip(sets, solutions, strict=True):
        s.accept(solution)
    norms = _norms(design, sets, arrays, shared)
    with thread_pool(sets[0].arrays) as (_, run):
        run([partial(schedule.judge, own) for schedule, own in zip(schedules, norms, strict=True)])


def _norms(design: Design, sets: Sequence[RowSet], arrays: Arrays, shared: SharedDesign | None) -> np.ndarray:
    """Return the dual norms (K, d) of all features at the dual points of the row sets."""
    residuals = [s.residual(design.shape[0]) for s in sets]
    return dual_norms(design, residuals, [s.scale for s in sets], sets[0].penalty, arrays, shared)


def _checked(design: Design, masks: np.ndarray, tol: float) -> np.ndarray:
    """Return masks as an array; raise an error for what makes no sense before anything is computed."""
    n, d = design.shape
    masks = np.asarray(masks)
    if n < 1 or d < 1:
        raise DataError(f"the design is empty: {n} rows, {d} features")
    masks = _checked_masks(masks, n)
    if not 0 < tol < 1:
        raise BadRequest(f"a relative duality gap of {tol} can't be asked for: give one between 0 and 1")
    return masks


def _checked_ratios(ratios: Sequence[float] | np.ndarray) -> np.ndarray:
    ratios = np.asarray(ratios, dtype=float)
    if ratios.ndim != 1 or not len(ratios) or not (ratios > 0).all() or (np.diff(ratios) > 0).any():
        raise BadRequest("ratios of λ_max must be positive and not rise")
    return ratios


def _checked_masks(masks: np.ndarray, n: int) -> np.ndarray:
    if masks.ndim != 2 or masks.shape[1] != n or masks.dtype != bool or not len(masks):
        raise BadRequest(f"row sets are boolean masks of shape (K, {n}), not {masks.dtype} {masks.shape}")
    if not masks.any(axis=1).all():
        raise BadRequest(f"row set {int(np.argmin(masks.any(axis=1)))} is empty")
    return masks


def _checked_weights(weights: np.ndarray, n: int) -> np.ndarray:
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape != (n,) or not np.isfinite(weights).all() or (weights < 0).any():
        raise BadRequest(f"{n} rows need {n} finite weights, none of them negative, not an array of {weights.shape}")
    return weights
