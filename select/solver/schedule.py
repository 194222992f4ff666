"""When each row set goes on to its next λ, and what is kept of the λ that it has finished."""

from collections import deque
from dataclasses import dataclass

import numpy as np
from head2toe.select.solver.row_set import RowSet, Solution

MAX_ROUNDS = 15  # passes per λ
MOST_AHEAD = 3  # λ that a row set may be ahead of the slowest when a round begins
SATURATED = 0.999  # explained deviance at which classes separate and a smaller λ says nothing new (as glmnet's devmax)


@dataclass(frozen=True)
class PathStep:
    """The result of one row set at one λ.

    Attributes
    ----------
    lam : float
        λ.
    solution : Solution
    scores : ndarray of float32 (d,)
        Relevance of all features, see `RowSet.scores`.
    explained : float
        Fraction of the null model's deviance that is explained.
    """

    lam: float
    solution: Solution
    scores: np.ndarray
    explained: float


class PathSchedule:
    """Takes one row set along the path, λ by λ.

    It does not wait for the other row sets: nearly every pass over the design then serves all row sets, wherever on the
    path they are. If they kept in step, a pass in four would be made for the few that need another round.

    Parameters
    ----------
    row_set : RowSet
        At λ_max.
    norms : ndarray of float32 (d,)
        Dual norms there.
    ratios : ndarray of float64
        λ / λ_max, not rising.
    tol : float
        Relative duality gap to reach at each λ.
    until : float
        The explained deviance at which the path may end.

    Attributes
    ----------
    n_done : int
        How many of the ratios are finished.
    steps : deque of PathStep
        Those of them that were not handed out yet, in their order.
    """

    def __init__(
        self, row_set: RowSet, norms: np.ndarray, ratios: np.ndarray, tol: float, until: float = SATURATED
    ) -> None:
        self.row_set, self._norms, self._ratios, self._tol, self._until = row_set, norms, ratios, tol, until
        self.n_done = 0
        self.steps: deque[PathStep] = deque()
        self._rounds = 0
        self._begin()

    def may_go_on(self, slowest: int) -> bool:
        """Whether it takes part in the next round, the slowest row set having finished `slowest` ratios.

        The slowest always does. Others may be a few λ ahead, because their results wait in memory; and not at all once
        their classes separate, because the path may end there.
        """
        ahead = self.n_done - slowest
        separated = self.row_set.explained > self._until
        return self.n_done < len(self._ratios) and (ahead == 0 or (ahead <= MOST_AHEAD and not separated))

    def judge(self, norms: np.ndarray) -> None:
        """Certify the solution of a round by its dual norms (d,), and go on to the next λ if it is accurate enough."""
        self._norms = norms
        self._rounds += 1
        self.row_set.certify(norms)
        if self.row_set.converged or self._rounds == MAX_ROUNDS:
            self._finish()
            self._begin()
        else:
            self.row_set.extend(norms)

    def _begin(self) -> None:
        """Get ready for the next λ that has something to solve: from λ_max on W is zero."""
        s = self.row_set
        while self.n_done < len(self._ratios):
            ratio, last = float(self._ratios[self.n_done]), s.lam
            self._rounds = 0
            s.begin(ratio * s.lam_max, self._tol)
            if ratio < 1:
                s.screen(self._norms, last)
                return
            s.stay_at_zero(self._norms)
            self._finish()

    def _finish(self) -> None:
        s = self.row_set
        self.steps.append(PathStep(s.lam, s.solution(), s.scores(self._norms), s.explained))
        self.n_done += 1
