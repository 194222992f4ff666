"""One row set (the training rows of a fold, or all rows) along the path: working set, warm start, certificate."""

from dataclasses import dataclass

import numpy as np
from head2toe.select.compute.arrays import Array, Arrays, numpy_arrays, to_numpy
from head2toe.select.objective.datafits import Datafit, Fit
from head2toe.select.objective.penalties import Penalty
from head2toe.select.solver.inner_solver import InnerSolution
from head2toe.select.solver.subproblem import Subproblem

SMALLEST_WORKING_SET = 500
SLACK = 0.4  # the inner tolerance as a share of the outer one; the rest is for features outside the working set


@dataclass(frozen=True)
class Solution:
    """An optimum up to its certificate, in the units of the design as given (not standardised).

    Attributes
    ----------
    columns : ndarray of int64 (m,)
        The rows of W that are not zero, ascending.
    coef : ndarray of float64 (m, C)
        Those rows.
    intercept : ndarray of float64 (C,)
    objective : float
        F + λΩ, for standardised features where the path was asked to standardise.
    gap : float
        Duality gap / objective, over all features.
    iterations : int
        Steps of the inner solver at this λ.
    converged : bool
        Whether the gap met the tolerance.
    """

    columns: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    objective: float
    gap: float
    iterations: int
    converged: bool


class RowSet:
    """State of one row set between two λ.

    Parameters
    ----------
    y : ndarray (n,) or (n, C)
        Targets of the rows of the set, as `Datafit.checked` returns them.
    rows : ndarray of int (n,)
        Which rows of the design they are.
    mean, scale : ndarray of float32 (d,)
        Moments of every feature on these rows, see `Moments`.
    n_outputs : int
        Number of classes or outputs of the whole design.
    datafit, penalty : Datafit, Penalty
        The objective.
    arrays : Arrays
        Where to compute.
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
        self.W = np.empty((0, len(self.classes)))  # the rows of the support, for standardised features, on the host
        self.working = np.empty(0, np.int64)
        self.working_norms = np.empty(0, np.float32)
        self.lam_max = 0.0
        self.begin(np.inf, 1.0)
        self.step: float | None = None

    # -- one λ -------------------------------------------------------------------------------------------------------

    def begin(self, lam: float, tol: float) -> None:
        """Go on to a new λ from the last solution, with a relative duality gap of `tol` to reach."""
        self.lam, self.tol, self.slack = lam, tol, SLACK
        self.objective, self.gap, self.iterations = np.nan, np.inf, 0

    @property
    def converged(self) -> bool:
        """Whether the certificate over all features meets the tolerance."""
        return bool(self.gap <= self.tol)

    def stay_at_zero(self, norms: np.ndarray) -> None:
        """Certify W = 0, the solution from λ_max on, by its dual norms (d,), whose largest is λ_max."""
        self.objective = self.null.value
        self.certify(norms)

    def screen(self, norms: np.ndarray, last_lam: float) -> None:
        """Choose the first working set by the strong rule ||X_jᵀG(λ')|| >= 2λ - λ' (Tibshirani et al. 2012).

        The rule may err, which the pass over all features then shows; so the size of the set can be limited as well.

        Parameters
        ----------
        norms : ndarray of float32 (d,)
            Dual norms at the last λ.
        last_lam : float
            The last λ, λ' above.
        """
        relative = norms / max(2 * self.lam - last_lam, 0.2 * self.lam)
        urgent = _most_urgent(relative, max(SMALLEST_WORKING_SET, 2 * len(self.support)))
        self.working = self.penalty.whole(np.union1d(self.support, urgent))

    def extend(self, norms: np.ndarray) -> None:
        """Add the features that violate the optimality conditions most; if none does, solve more accurately.

        Parameters
        ----------
        norms : ndarray of float32 (d,)
            Dual norms at this λ; those of the working set are set to zero.
        """
        relative = norms / self.lam
        relative[self.working] = 0
        violators = _most_urgent(relative, max(SMALLEST_WORKING_SET, len(self.support)))
        if len(violators) == 0:
            self.slack *= 0.3
        self.working = self.penalty.whole(np.union1d(self.working, violators))

    @property
    def explained(self) -> float:
        """Fraction of the null model's deviance that is explained."""
        return self.datafit.explained(self.fit, self.null)

    def subproblem(self) -> Subproblem:
        """Return what is to be solved now."""
        W = np.zeros((len(self.working), len(self.classes)))
        W[np.searchsorted(self.working, self.support)] = self.W
        return Subproblem(
            columns=self.working,
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

    def accept(self, solution: InnerSolution) -> None:
        """Take over the solution of the subproblem."""
        W = to_numpy(solution.W)
        alive = np.any(W != 0, axis=1)
        self.support, self.W, self.b, self.fit = self.working[alive], W[alive], solution.b, solution.fit
        self.dual_residual, self.working_norms = solution.dual.residual, to_numpy(solution.dual.norms)
        self.objective, self.step = solution.objective, solution.step
        self.iterations += solution.iterations

    def certify(self, norms: np.ndarray) -> None:
        """Compute the duality gap over all features from their dual norms (d,) at the dual point.

        The norms of the working set are overwritten with its own, which have the precision of the inner solver; the
        others are those of a pass over the design in float32.
        """
        norms[self.working] = self.working_norms
        scale, conjugate = self.penalty.dual(norms, self.lam, numpy_arrays().xp)
        dual = self.datafit.dual(self.dual_residual, self.Y, scale, self.arrays.xp) - conjugate
        self.gap = max(self.objective - dual, 0.0) / max(self.objective, 1e-300)

    # -- results -----------------------------------------------------------------------------------------------------

    def residual(self, n: int) -> np.ndarray:
        """Return G (n, C_k) of the dual point in float32 over all n rows of the design, with columns that sum to zero.

        Rounding to float32 leaves a sum of about 1e-7 ||G||₁, by which the mean of a feature would be multiplied. The
        largest entry of each column takes it up.
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
        """Return the relevance (d,) float32 of all features, given their dual norms (d,).

        It is 1 + ||W_j|| on the support, and ||X_jᵀΘ|| / λ <= 1 elsewhere, Θ the feasible dual point. Most features
        have W_j = 0, and are ranked by how near they are to entering.
        """
        out = norms / np.float32(max(self.lam, norms.max(initial=0.0)))
        out[self.support] = 1 + np.linalg.norm(self.W, axis=1)
        return out

    def solution(self) -> Solution:
        """Return the solution in the units of the design: W_j · scale_j, with the means moved into the intercept."""
        coef = np.zeros((len(self.support), self.n_outputs))
        coef[:, self.classes] = self.W * self.scale[self.support, None]
        intercept = to_numpy(self.b) - self.mean[self.support].astype(np.float64) @ coef[:, self.classes]
        full = self.datafit.absent_intercept(intercept, self.classes, self.n_outputs)
        return Solution(
            self.support, coef, full, float(self.objective), float(self.gap), self.iterations, self.converged
        )


def _most_urgent(relative: np.ndarray, most: int) -> np.ndarray:
    """Return the indices where `relative` is at least 1; those of the `most` largest values, if there are more."""
    urgent = np.flatnonzero(relative >= 1)
    if len(urgent) > most:
        urgent = urgent[np.argpartition(-relative[urgent], most)[:most]]
    return urgent
