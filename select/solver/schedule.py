"""One row set's descent from λ to λ: when it goes on, what it has found, and when it has to wait for others."""

from collections import deque
from dataclasses import dataclass

import numpy as np
from head2toe.select.solver.row_set import RowSet, Solution

MAX_ROUNDS = 15  # passes per λ
MOST_AHEAD = 3  # λ that a row set may be ahead of the slowest when a round begins
SATURATED = 0.999  # explained deviance at which classes separate and a smaller λ says nothing new (as glmnet's devmax)


@dataclass(frozen=True)
class Found:
    """What a row set has found at one λ."""

    lam: float
    solution: Solution
    scores: np.ndarray  # (d,) float32
    explained: float  # of the null model's deviance


class Descent:
    """A row set's way down the path, λ by λ.

    It doesn't wait for the others: nearly every pass over the design is then for all row sets, wherever on the path
    they are. In step, a pass in four would be made for the few that need another round.

    Parameters
    ----------
    rowset
        At λ_max.
    norms
        (d,) dual norms there.
    """

    def __init__(self, rowset: RowSet, norms: np.ndarray, ratios: np.ndarray, tol: float) -> None:
        self.rowset, self._norms, self._ratios, self._tol = rowset, norms, ratios, tol
        self.done = 0  # of the ratios
        self.found: deque[Found] = deque()  # and not yet handed out
        self._rounds = 0
        self._begin()

    def may_go_on(self, slowest: int) -> bool:
        """Whether it takes part in the next round, the slowest having done so many λ.

        The slowest always does. Others may be a few λ ahead, for what they found waits in memory; and none at all once
        their classes separate, for the path may well end there.
        """
        ahead = self.done - slowest
        separated = self.rowset.explained > SATURATED
        return self.done < len(self._ratios) and (ahead == 0 or (ahead <= MOST_AHEAD and not separated))

    def judge(self, norms: np.ndarray) -> None:
        """Certify what a round has found by its dual norms (d,): if it will do, go on to the next λ."""
        self._norms = norms
        self._rounds += 1
        self.rowset.certify(norms)
        if self.rowset.converged or self._rounds == MAX_ROUNDS:
            self._keep()
            self._begin()
        else:
            self.rowset.extend(norms)

    def _begin(self) -> None:
        """Get ready for the next λ. From λ_max on there is nothing to solve."""
        s = self.rowset
        while self.done < len(self._ratios):
            ratio, last = float(self._ratios[self.done]), s.lam
            self._rounds = 0
            s.begin(ratio * s.lam_max, self._tol)
            if ratio < 1:
                s.screen(self._norms, last)
                return
            s.stay_at_zero(self._norms)
            self._keep()

    def _keep(self) -> None:
        s = self.rowset
        self.found.append(Found(s.lam, s.solution(), s.scores(self._norms), s.explained))
        self.done += 1
