"""Which heads to average, and with which weights: stacking, as a convex problem.

Wolpert (1992, Neural Networks 5, 241-259) and Breiman (1996, Machine Learning 24, 49-64): the weights are those that
suit the rows which did not train the heads. What is averaged are log-probabilities, z_i(w) = Σ_k w_k log p_k(· | i),
and w minimises

    Σ_i r_i (log Σ_c exp z_ic(w) - z_iy(w)) + τ / 2 ‖w - 1 / K‖²    over w ≥ 0,    r ≥ 0 and Σ_i r_i = 1:

the log-loss of softmax(z) on those rows, and a prior toward equal weights of all K heads. That is strictly convex: it
has one minimum, which the projected gradient certifies. Most weights there are 0, of heads that do not earn what the
prior would give them. Their sum is free, the inverse of a temperature; what is returned is each weight's share of it.

A mean of the weights that many bootstrap samples of the rows ask for is steadier than those of the rows themselves
(bagging: Breiman 1996, Machine Learning 24, 123-140), and rows that samples left out tell what it is worth.
"""

import numpy as np
from head2toe.probe.choice.trials import Library
from head2toe.select.compute.arrays import numpy_arrays
from head2toe.select.compute.threads import side_by_side
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

PRIOR = 300.0
"""How many rows the prior counts as: τ is this over the number of rows."""
TOLERANCE = 1e-4
"""The largest component of the projected gradient at a minimum, in nats per unit of weight."""
AT_ONCE = 64
"""How many heads join the working set together."""
GRID = 1e-6
"""Shares closer than that are level, so that rounding decides nothing; of level heads the simpler one stays."""


def stacked(library: Library, draws: np.ndarray, *, members: int) -> np.ndarray:
    """Weigh the heads, for several draws side by side: on the CPU, where all of this is computed.

    Parameters
    ----------
    library : Library
    draws : (draws, n) int array
        How often each row counts: once, or as often as a bootstrap drew it.
    members : int
        How many heads have a weight at most. Where more would have one, those of largest weight are weighed once more
        without the others.

    Returns
    -------
    (draws, heads) float64 array
        Weights of 0 or more, which sum to 1, for each draw. Where no head knows more than that all classes are alike,
        the one of least log-loss has it all.
    """
    shares = np.zeros((len(draws), len(library.sizes)))
    solutions = np.zeros_like(shares)

    def solve(k: int) -> None:
        problem = _Stacking(library, draws[k])
        weights = solutions[k] = problem.solve(solutions[0])  # that of the first draw is near those of the others
        kept = _largest(weights, library.sizes, members)
        if len(kept) < np.count_nonzero(weights):
            weights = problem.solve_among(kept, weights)
        shares[k] = weights / weights.sum() if weights.any() else problem.losses == problem.losses.min()

    side_by_side(solve, min(1, len(draws)), numpy_arrays())
    side_by_side(lambda k: solve(k + 1), len(draws) - 1, numpy_arrays())
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def bagged(library: Library, draws: np.ndarray, shares: np.ndarray, *, members: int) -> np.ndarray:
    """Average what `stacked` returned, (draws, heads), for several draws: weights (heads,) that sum to 1.

    Where more than `members` heads have a weight then, those of largest weight are weighed once more, on every draw,
    without the others.
    """
    mean = shares.mean(axis=0)
    kept = _largest(mean, library.sizes, members)
    if len(kept) == np.count_nonzero(mean):
        return np.asarray(mean)
    again = np.zeros_like(shares)

    def solve(k: int) -> None:
        weights = _Stacking(library, draws[k]).solve_among(kept, shares[k])
        again[k] = weights / weights.sum() if weights.any() else 0

    side_by_side(solve, len(draws), numpy_arrays())
    total = again.sum(axis=0)
    if not total.any():  # what is kept says of every draw that all classes are alike
        total[kept] = mean[kept]
    return np.asarray(total / total.sum())


def _largest(weights: np.ndarray, sizes: np.ndarray, members: int) -> np.ndarray:
    """Return the heads of largest weight, ascending, at most `members`; none whose weight is level with 0."""
    levels = np.round(weights / max(weights.sum(), GRID) / GRID)
    order = np.lexsort((np.arange(len(weights)), sizes, -levels))
    return np.sort(order[: min(members, np.count_nonzero(levels))])


class _Stacking:
    """The problem of one draw of rows. Its weights are (heads,) float64 arrays, with the sum that the rows ask for."""

    def __init__(self, library: Library, draw: np.ndarray) -> None:
        self.library = library
        self.rows = np.flatnonzero(draw)
        self.shares = draw[self.rows] / draw.sum()
        self.prior = PRIOR / len(draw)  # τ; a bootstrap draws as many rows as there are
        self.losses = library.losses[:, self.rows] @ self.shares

    def solve(self, start: np.ndarray) -> np.ndarray:
        """Minimise over all heads, from weights near the minimum.

        Heads outside a working set have no weight. Those that should have some by the gradient join it, until there are
        none: what is left out then is what the minimum over all heads leaves out.
        """
        working = np.union1d(np.flatnonzero(start), np.argsort(self.losses, kind="stable")[:AT_ONCE])
        weights = start
        while True:
            weights = self.solve_among(working, weights)
            gradient = self._gradient(weights)
            gradient[working] = 0
            joining = np.argsort(gradient, kind="stable")[:AT_ONCE]
            joining = joining[gradient[joining] < -TOLERANCE]
            if not len(joining):
                return weights
            working = np.union1d(np.flatnonzero(weights), joining)

    def solve_among(self, heads: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Minimise over some heads (indices, ascending); the others have no weight."""
        predictions = self.library.log_probabilities[heads][:, self.rows].reshape(len(heads), -1)
        equal = 1 / len(start)

        def objective(weights: np.ndarray) -> tuple[float, np.ndarray]:
            scores = (weights.astype(np.float32) @ predictions).reshape(len(self.rows), -1)
            loss, residuals = self._loss(scores)
            away = weights - equal
            gradient = predictions @ residuals.astype(np.float32).ravel() + self.prior * away
            return loss + self.prior / 2 * float(away @ away), np.asarray(gradient, np.float64)

        bounds = [(0, None)] * len(heads)
        options = {"gtol": TOLERANCE, "ftol": 1e-12, "maxiter": 1000}
        found = minimize(objective, start[heads], jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        weights = np.zeros(len(start))
        weights[heads] = found.x
        return weights

    def _gradient(self, weights: np.ndarray) -> np.ndarray:
        """The derivatives of the objective by all weights, (heads,)."""
        heads, predictions = np.flatnonzero(weights), self.library.log_probabilities
        scores = np.tensordot(weights[heads].astype(np.float32), predictions[heads][:, self.rows], axes=1)
        residuals = np.zeros(predictions.shape[1:], np.float32)
        residuals[self.rows] = self._loss(scores)[1]
        return predictions.reshape(len(predictions), -1) @ residuals.ravel() + self.prior * (weights - 1 / len(weights))

    def _loss(self, scores: np.ndarray) -> tuple[float, np.ndarray]:
        """The log-loss of scores (rows, classes), and its derivatives by them."""
        scores = scores.astype(np.float64)
        own = np.arange(len(scores)), self.library.labels[self.rows]
        loss = float(self.shares @ (logsumexp(scores, axis=1) - scores[own]))
        residuals = np.asarray(softmax(scores, axis=1))
        residuals[own] -= 1
        return loss, residuals * self.shares[:, None]
