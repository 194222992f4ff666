"""The regularisation path of all row sets together: from λ_max down, one stream over the design per pass."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np
from head2toe.select.compute.arrays import Arrays
from head2toe.select.compute.normalize import moments
from head2toe.select.compute.threads import workers
from head2toe.select.objective.datafits import Datafit, Multinomial
from head2toe.select.objective.penalties import GroupL21, Penalty
from head2toe.select.solver.dual_norms import dual_norms
from head2toe.select.solver.processes import Crew
from head2toe.select.solver.row_set import RowSet, Solution
from head2toe.select.solver.schedule import SATURATED, Descent
from head2toe.store.common.errors import BadRequest, DataError
from head2toe.store.reading.design_matrix import Design


@dataclass(frozen=True)
class PathPoint:
    """All row sets at one λ."""

    ratio: float
    lambdas: np.ndarray  # (K,)
    solutions: tuple[Solution, ...]  # one per row set
    scores: np.ndarray  # (K, d) float32, for ranking: see RowSet.scores
    stopped: str = ""  # why the path ends here, if it ends before the last ratio

    @property
    def note(self) -> str:
        """What a user should hear about this λ; empty, if there is nothing to say."""
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
    ratios: Sequence[float] | np.ndarray,
    standardize: bool = False,
    tol: float = 1e-2,
    arrays: Arrays,
    datafit: Datafit | None = None,
    penalty: Penalty | None = None,
) -> Iterator[PathPoint]:
    """Solve min F(XW + 1bᵀ) + λΩ(W) on K row sets for falling λ, each to a certified relative duality gap.

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
    ratios : sequence of float
        λ = ratio · λ_max, λ_max being each row set's own; not rising.
    standardize : bool
        Scale every feature to unit variance on the rows of the set. (Centring changes nothing: there is an intercept.)
    tol : float
        Relative duality gap to reach.
    arrays : Arrays
        Where to compute.
    datafit, penalty
        The data term and the penalty; by default `Multinomial()` and `GroupL21()`.

    Yields
    ------
    PathPoint
        One per ratio, until the ratios end or the classes separate; `stopped` then says so.

    Raises
    ------
    BadRequest
        Shapes, ratios or tolerance make no sense.
    DataError
        NaN or inf in the features; fewer than two classes in a row set; all features constant.
    """
    datafit, penalty = datafit or Multinomial(), penalty or GroupL21()
    masks, ratios = _checked(design, masks, ratios, tol)
    y = datafit.checked(y, design.shape[0], n_classes)
    penalty.checked(design.shape[1])
    with closing(Crew(arrays)) as crew:
        centre = moments(design, masks, arrays.xp, arrays.device)
        if not standardize:
            centre = centre.without_scaling()
        sets = []
        for k, mask in enumerate(masks):
            rows = np.flatnonzero(mask)
            if len(np.unique(y[rows])) < 2:
                raise DataError(f"row set {k} has 1 class only: at least two are needed to tell apart")
            sets.append(RowSet(y[rows], rows, centre.mean[k], centre.scale[k], n_classes, datafit, penalty, arrays))
        crew.call_for_help(len(sets))
        descents = [Descent(s, own, ratios, tol) for s, own in zip(sets, _at_the_top(design, sets), strict=True)]
        yield from _points(design, descents, ratios, crew)


def _at_the_top(design: Design, sets: Sequence[RowSet]) -> np.ndarray:
    """Dual norms (K, d) of the null models; the largest is a row set's λ_max."""
    norms = _norms(design, sets)
    for k, s in enumerate(sets):
        s.lam_max = s.lam = float(norms[k].max())
        if not s.lam_max > 0:
            raise DataError(f"every feature is constant on the rows of set {k}: there is nothing to select from")
    return norms


def _points(design: Design, descents: Sequence[Descent], ratios: np.ndarray, crew: Crew) -> Iterator[PathPoint]:
    """Rounds of whoever may go on, and a point as soon as all row sets have found theirs."""
    for ratio in ratios:
        while not all(descent.found for descent in descents):
            slowest = min(descent.done for descent in descents)
            _round(design, [descent for descent in descents if descent.may_go_on(slowest)], crew)
        found = [descent.found.popleft() for descent in descents]
        explained = min(one.explained for one in found)
        stopped = f"the classes separate: {explained:.2%} of the deviance is explained" if explained > SATURATED else ""
        yield PathPoint(
            ratio=float(ratio),
            lambdas=np.array([one.lam for one in found]),
            solutions=tuple(one.solution for one in found),
            scores=np.stack([one.scores for one in found]),
            stopped=stopped,
        )
        if stopped:
            return


def _round(design: Design, going: Sequence[Descent], crew: Crew) -> None:
    """Solve on the working sets, and hold the solutions against all features, in one stream."""
    sets = [descent.rowset for descent in going]
    union = np.unique(np.concatenate([s.working for s in sets]))
    features = design.columns(union)
    for s, found in zip(sets, crew.solve([s.task(features, union) for s in sets]), strict=True):
        s.accept(found)
    norms = _norms(design, sets)
    with workers(sets[0].arrays) as (_, run):
        run([partial(descent.judge, own) for descent, own in zip(going, norms, strict=True)])


def _norms(design: Design, sets: Sequence[RowSet]) -> np.ndarray:
    """Dual norms of all features at the sets' dual points."""
    residuals = [s.residual(design.shape[0]) for s in sets]
    return dual_norms(design, residuals, [s.scale for s in sets], sets[0].penalty, sets[0].arrays)


def _checked(
    design: Design, masks: np.ndarray, ratios: Sequence[float] | np.ndarray, tol: float
) -> tuple[np.ndarray, np.ndarray]:
    """Refuse what makes no sense before anything is computed."""
    n, d = design.shape
    masks, ratios = np.asarray(masks), np.asarray(ratios, dtype=float)
    if n < 1 or d < 1:
        raise DataError(f"the design is empty: {n} rows, {d} features")
    if masks.ndim != 2 or masks.shape[1] != n or masks.dtype != bool or not len(masks):
        raise BadRequest(f"row sets are boolean masks of shape (K, {n}), not {masks.dtype} {masks.shape}")
    if not masks.any(axis=1).all():
        raise BadRequest(f"row set {int(np.argmin(masks.any(axis=1)))} is empty")
    if ratios.ndim != 1 or not len(ratios) or not (ratios > 0).all() or (np.diff(ratios) > 0).any():
        raise BadRequest("ratios of λ_max must be positive and not rise")
    if not 0 < tol < 1:
        raise BadRequest(f"a relative duality gap of {tol} can't be asked for: give one between 0 and 1")
    return masks, ratios
