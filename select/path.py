"""The regularisation path of all row sets together: from λ_max down, one stream over the design per pass."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from head2toe.select.arrays import Arrays
from head2toe.select.crew import Crew
from head2toe.select.datafits import Datafit, Multinomial
from head2toe.select.normalize import moments
from head2toe.select.penalties import GroupL21, Penalty
from head2toe.select.rowset import RowSet, Solution
from head2toe.select.stream import dual_norms
from head2toe.store.design import Design
from head2toe.store.errors import BadRequest, DataError

MAX_ROUNDS = 15  # passes per λ
SATURATED = 0.999  # explained deviance at which classes separate and a smaller λ says nothing new (as glmnet's devmax)


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
    crew = Crew(arrays)
    datafit, penalty = datafit or Multinomial(), penalty or GroupL21()
    masks, ratios = _checked(design, masks, ratios, tol)
    n, d = design.shape
    y = datafit.checked(y, n, n_classes)
    penalty.checked(d)
    centre = moments(design, masks, arrays.xp, arrays.device)
    if not standardize:
        centre = centre.without_scaling()
    sets = []
    for k, mask in enumerate(masks):
        rows = np.flatnonzero(mask)
        if len(np.unique(y[rows])) < 2:
            raise DataError(f"row set {k} has 1 class only: at least two are needed to tell apart")
        sets.append(RowSet(y[rows], rows, centre.mean[k], centre.scale[k], n_classes, datafit, penalty, arrays))
    norms = dual_norms(design, [s.residual(n) for s in sets], list(centre.scale), penalty, arrays)
    for k, s in enumerate(sets):
        s.lam_max = s.lam = float(norms[k].max())
        if not s.lam_max > 0:
            raise DataError(f"every feature is constant on the rows of set {k}: there is nothing to select from")
    with closing(crew):
        yield from _points(design, sets, norms, ratios, tol, crew)


def _points(
    design: Design, sets: Sequence[RowSet], norms: np.ndarray, ratios: np.ndarray, tol: float, crew: Crew
) -> Iterator[PathPoint]:
    """All row sets from one λ to the next."""
    for ratio in ratios:
        _solve_all(design, sets, norms, float(ratio), tol, crew)
        explained = min(s.datafit.explained(s.fit, s.null) for s in sets)
        stopped = f"the classes separate: {explained:.2%} of the deviance is explained" if explained > SATURATED else ""
        yield PathPoint(
            ratio=float(ratio),
            lambdas=np.array([s.lam for s in sets]),
            solutions=tuple(s.solution() for s in sets),
            scores=np.stack([s.scores(norms[k]) for k, s in enumerate(sets)]),
            stopped=stopped,
        )
        if stopped:
            return


def _solve_all(design: Design, sets: Sequence[RowSet], norms: np.ndarray, ratio: float, tol: float, crew: Crew) -> None:
    """Bring all row sets to λ = ratio · λ_max; `norms` (K, d) holds the last λ's dual norms and is updated."""
    n, _ = design.shape
    for k, s in enumerate(sets):
        last, lam = s.lam, ratio * s.lam_max
        s.begin(lam, tol)
        if ratio >= 1:
            s.stay_at_zero(norms[k])
        else:
            s.screen(norms[k], last)
    todo = [k for k, s in enumerate(sets) if not s.converged]
    for _ in range(MAX_ROUNDS if todo else 0):
        union = np.unique(np.concatenate([sets[k].working for k in todo]))
        features = design.columns(union)
        tasks = [sets[k].task(features[np.searchsorted(union, sets[k].working)]) for k in todo]
        for k, found in zip(todo, crew.solve(tasks), strict=True):
            sets[k].accept(found)
        norms[todo] = dual_norms(
            design, [sets[k].residual(n) for k in todo], [sets[k].scale for k in todo], sets[0].penalty, sets[0].arrays
        )
        for k in todo:
            sets[k].certify(norms[k])
        todo = [k for k in todo if not sets[k].converged]
        if not todo:
            return
        for k in todo:
            sets[k].extend(norms[k].copy())


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
