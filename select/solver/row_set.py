"""One row set (a fold's training rows, or all rows) on its way down the path: working set, warm start, certificate."""

from dataclasses import dataclass

import numpy as np
from head2toe.select.compute.arrays import Array, Arrays, numpy_arrays, to_numpy
from head2toe.select.objective.datafits import Datafit, Fit
from head2toe.select.objective.penalties import Penalty
from head2toe.select.solver.inner_solver import Inner
from head2toe.select.solver.processes import Task

SMALLEST_WORKING_SET = 500
SLACK = 0.4  # the inner tolerance as a share of the outer one, so that features outside the working set have room


@dataclass(frozen=True)
class Solution:
    """An optimum up to its certificate, in the units of the design as given (not standardised)."""

    columns: np.ndarray  # (m,) int64, ascending: the rows of W that are not zero
    coef: np.ndarray  # (m, C)
    intercept: np.ndarray  # (C,)
    objective: float
    gap: float  # duality gap / objective
    iterations: int
    converged: bool


class RowSet:
    """State of one row set between two λ.

    Parameters
    ----------
    y
        Targets of these rows only.
    rows
        Which rows of the design they are.
    mean, scale
        (d,) moments of every feature on these rows, see `normalize.moments`.
    """

    def __init__(
        self,
        y: np.ndarray,
        rows: np.ndarray,
        mean: np.ndarray,
        scale: np.ndarray,
        n_outputs: int,
        datafit: Datafit,
        penalty: Penalty,
        arrays: Arrays,
    ) -> None:
        self.rows, self.mean, self.scale, self.n_outputs = rows, mean, scale, n_outputs
        self.datafit, self.penalty, self.arrays = datafit, penalty, arrays
        self.classes = datafit.classes(y, n_outputs)
        self.Y = datafit.targets(y, self.classes, arrays)
        xp = arrays.xp
        Z = xp.zeros_like(self.Y)
        self.b: Array = datafit.intercept(Z, self.Y, None, xp)
        self.null: Fit = datafit.evaluate(Z, self.b, self.Y, xp)
        self.fit = self.null
        self.dual_residual = self.null.residual
        self.support = np.empty(0, np.int64)
        self.W = np.empty((0, len(self.classes)))  # rows of the support, standardised units, on the host
        self.working = np.empty(0, np.int64)
        self.working_norms = np.empty(0, np.float32)
        self.lam_max = 0.0
        self.begin(np.inf, 1.0)
        self.step: float | None = None

    # -- one λ -------------------------------------------------------------------------------------------------------

    def begin(self, lam: float, tol: float) -> None:
        """Start on a new λ from the last solution."""
        self.lam, self.tol, self.slack = lam, tol, SLACK
        self.objective, self.gap, self.iterations = np.nan, np.inf, 0

    @property
    def converged(self) -> bool:
        """Whether the certificate over all features meets the tolerance."""
        return bool(self.gap <= self.tol)

    def stay_at_zero(self, norms: np.ndarray) -> None:
        """Certify W = 0, the solution from λ_max on, by its dual norms (d,), which gave λ_max."""
        self.objective = self.null.value
        self.certify(norms)

    def screen(self, norms: np.ndarray, last_lam: float) -> None:
        """Choose the first working set by the strong rule ||X_jᵀG(λ')|| >= 2λ - λ' (Tibshirani et al. 2012).

        The rule may err, which the pass over all features then shows; so the set may as well be capped.
        """
        relative = norms / max(2 * self.lam - last_lam, 0.2 * self.lam)
        urgent = _most_urgent(relative, max(SMALLEST_WORKING_SET, 2 * len(self.support)))
        self.working = self.penalty.whole(np.union1d(self.support, urgent))

    def extend(self, norms: np.ndarray) -> None:
        """Take in the features that violate the optimality conditions most; if none does, solve more accurately."""
        relative = norms / self.lam
        relative[self.working] = 0
        violators = _most_urgent(relative, max(SMALLEST_WORKING_SET, len(self.support)))
        if len(violators) == 0:
            self.slack *= 0.3
        self.working = self.penalty.whole(np.union1d(self.working, violators))

    @property
    def explained(self) -> float:
        """Fraction of the null model's deviance explained."""
        return self.datafit.explained(self.fit, self.null)

    def task(self, features: np.ndarray, columns: np.ndarray) -> Task:
        """What is to be solved now; `features` (p, n) are these `columns` (p,), the working set among them."""
        W = np.zeros((len(self.working), len(self.classes)))
        W[np.searchsorted(self.working, self.support)] = self.W
        return Task(
            features=features,
            columns=np.searchsorted(columns, self.working),
            rows=self.rows,
            mean=self.mean[self.working, None],
            scale=self.scale[self.working, None],
            Y=self.Y,
            lam=self.lam,
            datafit=self.datafit,
            penalty=self.penalty.on(self.working),
            W=W,
            b=self.b,
            residual=self.dual_residual,
            step=self.step,
            tol=self.tol * self.slack,
        )

    def accept(self, found: Inner) -> None:
        """Take over what the task's solution is."""
        W = to_numpy(found.W)
        alive = np.any(W != 0, axis=1)
        self.support, self.W, self.b, self.fit = self.working[alive], W[alive], found.b, found.fit
        self.dual_residual, self.working_norms = found.dual.residual, to_numpy(found.dual.norms)
        self.objective, self.step = found.objective, found.step
        self.iterations += found.iterations

    def certify(self, norms: np.ndarray) -> None:
        """Compute the duality gap over all features from their dual norms (d,) at the dual point.

        The working set's own norms, in the inner solver's precision, take the place of the streamed float32 ones.
        """
        norms[self.working] = self.working_norms
        scale, conjugate = self.penalty.dual(norms, self.lam, numpy_arrays().xp)
        dual = self.datafit.dual(self.dual_residual, self.Y, scale, self.arrays.xp) - conjugate
        self.gap = max(self.objective - dual, 0.0) / max(self.objective, 1e-300)

    # -- what comes out ----------------------------------------------------------------------------------------------

    def residual(self, n: int) -> np.ndarray:
        """The dual point's G (n, C_k) in float32 over all rows of the design, with columns that sum to zero.

        Rounding to float32 leaves a sum of about 1e-7 ||G||₁, which a feature's mean would multiply; one row takes
        it up.
        """
        exact = to_numpy(self.dual_residual)
        G = exact.astype(np.float32)
        for _ in range(2):
            largest_row = np.abs(G).argmax(axis=0)
            G[largest_row, np.arange(G.shape[1])] -= G.sum(axis=0, dtype=np.float64).astype(np.float32)
        out = np.zeros((n, G.shape[1]), np.float32)
        out[self.rows] = G
        return out

    def scores(self, norms: np.ndarray) -> np.ndarray:
        """Relevance for ranking: 1 + ||W_j|| on the support, elsewhere ||X_jᵀΘ|| / λ <= 1, Θ the feasible dual point.

        Most features have W_j = 0, and are ranked by how near they are to entering.
        """
        out = norms / np.float32(max(self.lam, norms.max(initial=0.0)))
        out[self.support] = 1 + np.linalg.norm(self.W, axis=1)
        return out

    def solution(self) -> Solution:
        """Map back to the units of the design: W_j · scale_j, and the means go into the intercept."""
        coef = np.zeros((len(self.support), self.n_outputs))
        coef[:, self.classes] = self.W * self.scale[self.support, None]
        intercept = to_numpy(self.b) - self.mean[self.support].astype(np.float64) @ coef[:, self.classes]
        full = self.datafit.absent_intercept(intercept, self.classes, self.n_outputs)
        return Solution(
            self.support, coef, full, float(self.objective), float(self.gap), self.iterations, self.converged
        )


def _most_urgent(relative: np.ndarray, most: int) -> np.ndarray:
    """Indices where `relative` is at least 1, the `most` largest if there are more."""
    found = np.flatnonzero(relative >= 1)
    if len(found) > most:
        found = found[np.argpartition(-relative[found], most)[:most]]
    return found
