"""The paper's recipe: a linear head with the l2,1 penalty trained by Adam, whose row norms are the relevance scores.

Evci et al. (2022): Glorot start, Adam, cosine decay of the learning rate, batches of 128. It is a method of its own,
because results in the literature are its results; `path` solves the same problem exactly. All row sets and settings
train at once: a step is one batched product forward and one back.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from head2toe.select.arrays import Array, Arrays, to_numpy
from head2toe.select.datafits import softmax
from head2toe.select.penalties import row_norms
from head2toe.store.errors import BadRequest

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-7  # Adam, as TensorFlow has it
BATCH = 128


@dataclass(frozen=True)
class Setting:
    """One way to train a head."""

    lam: float
    learning_rate: float = 0.01


@dataclass(frozen=True)
class Heads:
    """What training leaves: a head for every row set and setting."""

    W: np.ndarray  # (K, L, d, C) float32
    b: np.ndarray  # (K, L, C) float32

    @property
    def scores(self) -> np.ndarray:
        """Relevance ||W_j||₂ of every feature (K, L, d); eq. 2 squares it, which ranks alike."""
        return np.linalg.norm(self.W, axis=3)


def train(
    X: np.ndarray,
    y: np.ndarray,
    row_sets: Sequence[np.ndarray],
    settings: Sequence[Setting],
    *,
    n_classes: int,
    steps: int,
    seed: int,
    arrays: Arrays,
) -> Heads:
    """Train a head for every row set and setting, on features in memory, since batches take whole rows at random.

    Parameters
    ----------
    X : ndarray (n, d)
        Features, normalised as wanted.
    y : ndarray of int (n,)
        Classes.
    row_sets : K arrays of int
        Training rows.
    settings : L settings
        Penalty and learning rate.
    n_classes : int
        C.
    steps : int
        Number of updates (the paper: 500 or 5000).
    seed : int
        Of start and batches.
    arrays : Arrays
        Where to compute.

    Raises
    ------
    BadRequest
        No step, no setting, or no row to train on.
    """
    if steps < 1 or not settings or not row_sets or not all(len(rows) for rows in row_sets):
        raise BadRequest("training a head takes at least one step, one setting and one row")
    xp, rng = arrays.xp, np.random.default_rng(seed)
    d, C, K, L = X.shape[1], n_classes, len(row_sets), len(settings)
    features, labels = arrays.put(np.ascontiguousarray(X)), np.eye(C, dtype=np.float32)[y]
    glorot = math.sqrt(6 / (d + C))
    # A row set's L heads lie side by side, (K, d, L·C), and share its batches.
    W = arrays.put(rng.uniform(-glorot, glorot, (K, d, L * C)).astype(np.float32))
    b = xp.zeros_like(W[:, :1, :])
    W_moments, b_moments = _zeros(W, xp), _zeros(b, xp)
    rates = arrays.put(np.repeat([s.learning_rate for s in settings], C).astype(np.float32))
    lams = arrays.put(np.repeat([s.lam for s in settings], C).astype(np.float32))
    size = min(BATCH, min(map(len, row_sets)))
    queues = [_batches(rows, size, rng) for rows in row_sets]
    for step in range(1, steps + 1):
        rows = np.stack([next(queue) for queue in queues])
        X_batch = xp.reshape(xp.take(features, arrays.put(rows.ravel()), axis=0), (K, size, d))
        P = _by_head(X_batch @ W + b, C, lambda Z: softmax(Z, xp)[0], xp)
        G = (P - arrays.put(np.tile(labels[rows], (1, 1, L)))) / size
        W_gradient = xp.matrix_transpose(X_batch) @ G + lams * _by_head(W, C, lambda w: _directions(w, xp), xp)
        rate = rates * (0.5 * (1 + math.cos(math.pi * (step - 1) / steps)))
        W, W_moments = _adam(W, W_gradient, W_moments, rate, step, xp)
        b, b_moments = _adam(b, xp.sum(G, axis=1, keepdims=True), b_moments, rate, step, xp)
    W_host = to_numpy(W).reshape(K, d, L, C)
    return Heads(np.ascontiguousarray(np.moveaxis(W_host, 2, 1)), to_numpy(b).reshape(K, L, C))


def _batches(rows: np.ndarray, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Batches without replacement within an epoch; what is left at its end begins the next batch."""
    queue = np.empty(0, np.int64)
    while True:
        while len(queue) < size:
            queue = np.concatenate([queue, rng.permutation(rows)])
        yield queue[:size]
        queue = queue[size:]


def _by_head(A: Array, C: int, function: Any, xp: Any) -> Array:
    """Apply a function of (rows, C) matrices to every head of (K, rows, L·C)."""
    return xp.reshape(function(xp.reshape(A, (-1, C))), A.shape)


def _directions(W: Array, xp: Any) -> Array:
    """W_j / ||W_j||, and 0 for a zero row: a subgradient of the norm, where its gradient is NaN."""
    length = row_norms(W, xp)[:, None]
    return W / xp.where(length > 0, length, 1.0)


def _zeros(A: Array, xp: Any) -> tuple[Array, Array]:
    return xp.zeros_like(A), xp.zeros_like(A)


def _adam(
    value: Array, gradient: Array, moments: tuple[Array, Array], rate: Array, step: int, xp: Any
) -> tuple[Array, tuple[Array, Array]]:
    """One update of Adam with bias correction (Kingma & Ba 2015)."""
    m = BETA1 * moments[0] + (1 - BETA1) * gradient
    v = BETA2 * moments[1] + (1 - BETA2) * gradient * gradient
    correction = math.sqrt(1 - BETA2**step) / (1 - BETA1**step)
    return value - rate * correction * m / (xp.sqrt(v) + EPSILON), (m, v)
