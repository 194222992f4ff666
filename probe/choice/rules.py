"""The rules by which heads are chosen on the rows that the folds held out, and what each choice is worth on others."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from head2toe.probe.choice.bias_corrected import bootstrap, by_draw, by_row, left_out
from head2toe.probe.choice.stacking import bagged, stacked
from head2toe.probe.choice.trials import Library
from head2toe.probe.metrics.classification import LESS_IS_BETTER
from head2toe.probe.metrics.on_draws import on_draws
from head2toe.probe.metrics.uncertainty import Estimate

DRAWS = 100
"""How often the choice of one head is repeated to tell what it is worth."""
RESTACKED = 40
"""How often heads are weighed on drawn rows; a row is left out of 15 of them."""
FEWEST_RESTACKED, ROWS_RESTACKED = 12, 160_000
"""With many rows: how often at least, and the rows drawn in all. A row is left out of 4 draws, and rows are many."""
GRID = 1e-4
"""Nats: log-losses closer than that are level, so that rounding decides nothing."""
ROUNDING = 1e-9
"""Difference up to which means over the folds are level."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """What a rule chose.

    Attributes
    ----------
    weights : (heads,) float64 array
        Of the heads whose log-probabilities are averaged, 0 for all others; they sum to 1.
    corrected : dict
        Metric to its value on rows that had no part in the choice.
    log_probabilities : (n, classes) float array
        What is predicted of the library's rows, in nats, as far as may be without their part in the choice: what
        probabilities are calibrated on. NaN for a row of which there is no such prediction.
    """

    weights: np.ndarray
    corrected: Mapping[str, Estimate]
    log_probabilities: np.ndarray


class Rule(Protocol):
    """A way to choose."""

    def choose(self, library: Library, seed: int) -> Verdict:
        """Choose from a library; the seed draws the rows on which the choice is repeated."""


@dataclass(frozen=True)
class BestHead:
    """The one head that is best by a metric; ties are settled by the log-loss, then by the fewest features.

    Attributes
    ----------
    metric : str
        One of `METRICS`: its mean over the folds decides.
    simplest : bool
        Whether the head with the fewest features within one standard error of the best wins (Breiman et al. 1984,
        section 3.4.3). One fold has no standard error: there it only settles ties.
    """

    metric: str = "accuracy"
    simplest: bool = False

    def choose(self, library: Library, seed: int) -> Verdict:
        """Choose one head by all rows; what it is worth is told by the choices on drawn rows. See `Rule`."""
        n = len(library.labels)
        (weights,) = self.weights(library, np.ones((1, n), np.int64))
        draws = bootstrap(n, seed, DRAWS)
        corrected = by_draw(library, self.weights(library, draws), draws)
        return Verdict(weights, corrected, library.log_probabilities[int(weights.argmax())])

    def weights(self, library: Library, draws: np.ndarray) -> np.ndarray:
        """Choose one head for each draw: an array (draws, heads) with a 1 in each row.

        Parameters
        ----------
        library : Library
        draws : (draws, n) int array
            How often each row counts.
        """
        merits, errors = merits_over_folds(library, draws, self.metric)
        losses = draws @ library.losses.T.astype(np.float64) / draws.sum(axis=1, keepdims=True)
        weights = np.zeros(merits.shape)
        for draw, (merit, error, loss) in enumerate(zip(merits, errors, losses, strict=True)):
            weights[draw, self._best(merit, error, loss, library.sizes)] = 1
        return weights

    def _best(self, merit: np.ndarray, error: np.ndarray, loss: np.ndarray, sizes: np.ndarray) -> int:
        """Choose among heads with these merits, their standard errors, and log-losses."""
        best = self._first(merit, loss, sizes, np.arange(len(merit)))
        if not self.simplest:
            return best
        enough = np.flatnonzero(merit >= merit[best] - error[best] - ROUNDING)
        fewest = enough[sizes[enough] == sizes[enough].min()]
        return self._first(merit, loss, sizes, fewest)

    @staticmethod
    def _first(merit: np.ndarray, loss: np.ndarray, sizes: np.ndarray, among: np.ndarray) -> int:
        """Return the best of some heads: by merit, then log-loss, then size, each on a grid coarser than rounding."""
        levels = (sizes[among], np.round(loss[among] / GRID), -np.round(merit[among] / ROUNDING))
        return int(among[np.lexsort(levels)[0]])


@dataclass(frozen=True)
class Stacking:
    """A weighted mean of heads, its weights those of least log-loss under a prior toward equal ones (see `stacked`).

    They are averaged over bootstrap draws of the rows; the rows that a draw left out tell what its weights are worth.

    Attributes
    ----------
    members : int
        How many heads the mean has at most.
    """

    members: int

    def choose(self, library: Library, seed: int) -> Verdict:
        """Weigh the heads on drawn rows, and take the mean; what it is worth is told by rows not drawn. See `Rule`."""
        n = len(library.labels)
        draws = bootstrap(n, seed, restackings(n))
        shares = stacked(library, draws, members=self.members)
        logp = left_out(library, shares, draws)
        return Verdict(bagged(library, draws, shares, members=self.members), by_row(library, logp, seed), logp)


def restackings(n: int) -> int:
    """Return how often heads are weighed on drawn rows of n: `RESTACKED` times up to 4000 rows, less often beyond."""
    return min(RESTACKED, max(FEWEST_RESTACKED, ROWS_RESTACKED // n))


def merits_over_folds(library: Library, draws: np.ndarray, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Judge every head on every draw by the mean of a metric over the folds.

    Parameters
    ----------
    library : Library
    draws : (draws, n) int array
        How often each row counts.
    metric : str
        One of `METRICS`.

    Returns
    -------
    merits, errors : (draws, heads) float64 arrays
        The mean, its sign changed where less is better, and its standard error, which is 0 for one fold. A fold in
        which the metric is not defined (the area under a curve, of one class) has no say; without any, a merit is -inf.
    """
    folds = [library.folds == fold for fold in range(library.n_folds)]
    values = np.stack([_on_rows(library, draws, rows, metric) for rows in folds if rows.any()])
    values = -values if metric in LESS_IS_BETTER else values
    defined = np.isfinite(values).sum(axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of heads without a fold that counts
        merits, spread = np.nanmean(values, axis=0), np.nanstd(values, axis=0, ddof=1)
    errors = np.where(defined > 1, spread / np.sqrt(np.maximum(defined, 1)), 0.0)
    return np.where(defined > 0, merits, -np.inf), errors


def _on_rows(library: Library, draws: np.ndarray, rows: np.ndarray, metric: str) -> np.ndarray:
    """A metric of every head on some rows (n,) bool of every draw, (draws, heads); NaN where no row counts."""
    counts, labels = draws[:, rows], library.labels[rows]
    drawn = counts.any(axis=1)
    values = np.full((len(draws), len(library.sizes)), np.nan)
    for head, logp in enumerate(library.log_probabilities[:, rows]):
        values[drawn, head] = on_draws(metric, logp, labels, counts[drawn])
    return values
