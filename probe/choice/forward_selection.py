"""Which heads to average, and with which weights: forward selection with replacement.

Caruana, Niculescu-Mizil, Crew & Ksikes (ICML 2004): begin with nothing, add the head that does the mean the most good,
again and again; a head may be added more than once, which is its weight. What is averaged are log-probabilities, and
good is a smaller log-loss of the held-out rows.

The log-loss is convex in the mean. So its tangent at the mean of the heads so far is a lower bound of what the mean has
with any further head: one product gives the bounds of all heads, and only the few whose bound is below the best loss
found are looked at. The choice is the same as by looking at all of them.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from head2toe.probe.choice.library import Library

ROUNDS = 30
"""How many heads are added at most, repetitions counted."""
GRID = 1e-4
"""Nats: losses closer than that are level, so that rounding decides nothing; of level heads the simpler one wins."""
AT_ONCE = 1 << 24
"""How many numbers the means of the draws that go side by side may have: 64 MB in float32."""
LOOKED_AT = 8
"""How many heads are looked at together."""


def forward_selection(library: Library, draws: np.ndarray, *, members: int, rounds: int = ROUNDS) -> np.ndarray:
    """Choose the heads to average.

    Parameters
    ----------
    library : Library
    draws : (draws, n) int array
        How often each row counts: once, or as often as a bootstrap drew it.
    members : int
        How many different heads may be averaged at most.
    rounds : int
        How many are added at most, repetitions counted; fewer where the loss falls by less than `GRID`.

    Returns
    -------
    (draws, heads) int64 array
        How often each head was added, for each draw of rows. The weights of the mean are these, over their sum.
    """
    at_once = max(1, AT_ONCE // library.log_probabilities[0].size)
    parts = [_Selection(library, draws[k : k + at_once], members) for k in range(0, len(draws), at_once)]
    return np.concatenate([part.run(rounds) for part in parts])


class _Selection:
    """The means of some draws of rows, as heads are added to them."""

    def __init__(self, library: Library, draws: np.ndarray, members: int) -> None:
        self.library, self.members = library, members
        self.weights = (draws / draws.sum(axis=1, keepdims=True)).astype(np.float32)  # (draws, n)
        self.counts = np.zeros((len(draws), len(library.sizes)), np.int64)
        self.means = np.zeros((len(draws), *library.log_probabilities.shape[1:]), np.float32)
        self.loss = np.full(len(draws), np.inf)

    def run(self, rounds: int) -> np.ndarray:
        """Add heads to the mean of every draw until it gets no better; return how often each was added."""
        live: Sequence[int] = range(len(self.counts))
        bounds = self.weights @ self.library.losses.T  # of the first round: the losses themselves
        for added in range(rounds):
            if added:
                bounds = self._tangents(np.asarray(live), added)
            live = [draw for draw, bound in zip(live, bounds, strict=True) if self._add_best(draw, bound, added)]
            if not live:
                break
        return self.counts

    def _tangents(self, live: np.ndarray, added: int) -> np.ndarray:
        """Bound the loss that each head would leave, (live draws, heads), from below."""
        means, heads = self.means[live], self.library.log_probabilities
        gradient = np.exp(means - means.max(axis=2, keepdims=True))
        gradient /= gradient.sum(axis=2, keepdims=True)
        gradient[:, np.arange(means.shape[1]), self.library.labels] -= 1
        gradient *= self.weights[live, :, None]
        flat = gradient.reshape(len(live), -1)
        along = flat @ heads.reshape(len(heads), -1).T - np.sum(flat * means.reshape(flat.shape), axis=1)[:, None]
        return np.asarray(self.loss[live, None] + along / (added + 1))

    def _add_best(self, draw: int, bounds: np.ndarray, added: int) -> bool:
        """Add the head that leaves the least loss; return whether it is smaller than before."""
        if np.count_nonzero(self.counts[draw]) >= self.members:
            bounds = np.where(self.counts[draw] > 0, bounds, np.inf)
        looked_at = list(self._looked_at(draw, bounds, added))
        level = min(round(loss / GRID) for loss, _ in looked_at)
        best = [(int(self.library.sizes[head]), head, loss) for loss, head in looked_at if round(loss / GRID) == level]
        _, head, loss = min(best)
        if loss > self.loss[draw] - GRID:
            return False
        self.loss[draw] = loss
        self.counts[draw, head] += 1
        self.means[draw] += (self.library.log_probabilities[head] - self.means[draw]) / np.float32(added + 1)
        return True

    def _looked_at(self, draw: int, bounds: np.ndarray, added: int) -> Iterator[tuple[float, int]]:
        """Compute the loss that a head would leave, for all heads that may leave the least or one level with it."""
        rows = self.weights[draw] > 0
        weights, labels, mean = self.weights[draw][rows], self.library.labels[rows], self.means[draw][rows]
        order, least = np.argsort(bounds, kind="stable"), np.inf
        for k in range(0, len(order), LOOKED_AT):
            if bounds[order[k]] > least + GRID:
                return
            heads = order[k : k + LOOKED_AT][np.isfinite(bounds[order[k : k + LOOKED_AT]])]
            means = mean + (self.library.log_probabilities[heads][:, rows] - mean) / np.float32(added + 1)
            losses = _log_losses(means, labels) @ weights
            least = min(least, *losses)
            yield from zip(losses.tolist(), heads.tolist(), strict=True)


def _log_losses(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Log-losses (heads, n) of scores (heads, n, classes), which need not be normalised."""
    top = scores.max(axis=2)
    own = scores[:, np.arange(len(labels)), labels]
    return np.asarray(np.log(np.exp(scores - top[:, :, None]).sum(axis=2)) + top - own)
