"""The paper's recipe: a linear head with the l2,1 penalty trained by Adam or SGD; its row norms are the relevance.

Evci et al. (2022): Glorot start, Adam or SGD with momentum, cosine decay of the learning rate, batches of 128. It is a
method of its own, because results in the literature are its results; `path` solves the same problem exactly. All row
sets and settings train at once: a step is one batched product forward and one back, in pieces that stay in the cache.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from head2toe.select.compute.arrays import Array, Arrays, to_numpy
from head2toe.select.objective.datafits import softmax
from head2toe.select.objective.penalties import row_norms
from head2toe.store.common.errors import BadRequest

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-7  # Adam, as TensorFlow has it
MOMENTUM = 0.9
BATCH = 128
PIECE = 1 << 17  # weights that are updated together


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
    optimizer: str = "adam",
    penalty: str = "l21",
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
    optimizer : {"adam", "sgd"}
        "sgd" has a momentum of 0.9.
    penalty : {"l21", "l1", "l2"}
        Σ_j ||W_j||₂, Σ |W_jc| or ½ ||W||²; by its subgradient, so that none makes a weight exactly zero.

    Raises
    ------
    BadRequest
        No step, no setting, or no row to train on; an unknown optimiser or penalty.
    """
    if optimizer not in OPTIMIZERS:
        raise BadRequest(f"no optimiser {optimizer!r}: there are {', '.join(OPTIMIZERS)}")
    if penalty not in PENALTIES:
        raise BadRequest(f"no penalty {penalty!r}: there are {', '.join(PENALTIES)}")
    if steps < 1 or not settings or not row_sets or not all(len(rows) for rows in row_sets):
        raise BadRequest("training a head takes at least one step, one setting and one row")
    xp, rng = arrays.xp, np.random.default_rng(seed)
    d, C, K, L = X.shape[1], n_classes, len(row_sets), len(settings)
    features, labels = arrays.put(np.ascontiguousarray(X)), np.eye(C, dtype=np.float32)[y]
    glorot = math.sqrt(6 / (d + C))
    start = rng.random((K, d, L * C), dtype=np.float32)
    start *= 2 * glorot
    start -= glorot
    rates = arrays.put(np.repeat([s.learning_rate for s in settings], C).astype(np.float32))
    lams = arrays.put(np.array([s.lam for s in settings], np.float32))
    update = OPTIMIZERS[optimizer]
    pieces = _Piece.cut(start, lams, C, update, PENALTIES[penalty], arrays)
    bias = _Variable(arrays.put(np.zeros((K, 1, L * C), np.float32)), update)
    del start
    size = min(BATCH, min(map(len, row_sets)))
    queues = [_batches(rows, size, rng) for rows in row_sets]
    for step in range(1, steps + 1):
        rows = np.stack([next(queue) for queue in queues])
        X_batch = xp.reshape(xp.take(features, arrays.put(rows.ravel()), axis=0), (K, size, d))
        Z = bias.value + xp.zeros((K, size, L * C), dtype=xp.float32, device=arrays.device)
        for piece in pieces:
            Z += X_batch[:, :, piece.start : piece.stop] @ piece.weights.value
        G = xp.reshape(softmax(xp.reshape(Z, (-1, C)), xp)[0], Z.shape)
        G -= arrays.put(np.tile(labels[rows], (1, 1, L)))
        G /= size
        rate = rates * (0.5 * (1 + math.cos(math.pi * (step - 1) / steps)))
        for piece in pieces:
            piece.step(X_batch, G, rate, step, xp)
        bias.move(xp.sum(G, axis=1, keepdims=True), rate, step, xp)
    W = np.concatenate([to_numpy(piece.weights.value) for piece in pieces], axis=1).reshape(K, d, L, C)
    return Heads(np.ascontiguousarray(np.moveaxis(W, 2, 1)), to_numpy(bias.value).reshape(K, L, C))


def _batches(rows: np.ndarray, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Batches without replacement within an epoch; what is left at its end begins the next batch."""
    queue = np.empty(0, np.int64)
    while True:
        while len(queue) < size:
            queue = np.concatenate([queue, rng.permutation(rows)])
        yield queue[:size]
        queue = queue[size:]


Update = Callable[["_Variable", Array, Array, int, Any], None]


def _adam(variable: "_Variable", gradient: Array, rate: Array, step: int, xp: Any) -> None:
    """Adam (Kingma & Ba 2015), with the correction of its bias in the rate, as in TensorFlow. `gradient` is used up.

    Both averages are kept without their factor 1 - β, which goes into rate and ε: two passes over memory less.
    """
    m, v = variable.momentum, variable.square
    m *= BETA1
    m += gradient
    gradient *= gradient
    v *= BETA2
    v += gradient
    root = xp.sqrt(v)
    root += EPSILON / math.sqrt(1 - BETA2)
    change = m / root
    change *= rate * (math.sqrt((1 - BETA2**step) / (1 - BETA2)) * (1 - BETA1) / (1 - BETA1**step))
    variable.value -= change


def _sgd(variable: "_Variable", gradient: Array, rate: Array, step: int, xp: Any) -> None:  # noqa: ARG001
    """SGD with momentum, the rate inside the velocity, as in TensorFlow. `gradient` is used up."""
    gradient *= rate
    variable.momentum *= MOMENTUM
    variable.momentum -= gradient
    variable.value += variable.momentum


OPTIMIZERS: dict[str, Update] = {"adam": _adam, "sgd": _sgd}


def _l21(W: Array, lams: Array, xp: Any) -> Array:
    """λ W_j / ||W_j||, and 0 for a zero row, where the norm's gradient is NaN."""
    length = row_norms(W, xp)
    return xp.where(length > 0, lams / xp.where(length > 0, length, 1.0), 0.0)[:, :, None] * W


def _l1(W: Array, lams: Array, xp: Any) -> Array:
    return lams[None, :, None] * xp.sign(W)


def _l2(W: Array, lams: Array, xp: Any) -> Array:  # noqa: ARG001
    return lams[None, :, None] * W


Subgradient = Callable[[Array, Array, Any], Array]
"""Of the penalty at W (rows, heads, classes), where each head has its λ."""
PENALTIES: dict[str, Subgradient] = {"l21": _l21, "l1": _l1, "l2": _l2}


class _Variable:
    """What is trained, with the optimiser's state."""

    def __init__(self, value: Array, update: Update) -> None:
        xp = array_namespace(value)
        self.value, self.update, self.momentum = value, update, xp.zeros_like(value)
        self.square = xp.zeros_like(value) if update is _adam else self.momentum

    def move(self, gradient: Array, rate: Array, step: int, xp: Any) -> None:
        self.update(self, gradient, rate, step, xp)


@dataclass(frozen=True)
class _Piece:
    """Weights (K, stop - start, L·C) of some features: few enough to stay in the cache from gradient to update.

    A row set's L heads lie side by side, and share its batches.
    """

    start: int
    stop: int
    weights: _Variable
    lams: Array  # (L,)
    n_classes: int
    penalty: Subgradient

    @classmethod
    def cut(
        cls, start: np.ndarray, lams: Array, n_classes: int, update: Update, penalty: Subgradient, arrays: Arrays
    ) -> "list[_Piece]":
        """All features (K, d, L·C) in pieces; in one on a GPU, where every call costs a launch."""
        K, d, width = start.shape
        most = max(1, PIECE // (K * width)) if arrays.name == "cpu" else d
        edges = [*range(0, d, most), d]
        return [
            cls(a, b, _Variable(arrays.put(start[:, a:b].copy()), update), lams, n_classes, penalty)
            for a, b in pairwise(edges)
        ]

    def step(self, X_batch: Array, G: Array, rate: Array, step: int, xp: Any) -> None:
        """One update from the residuals G (K, batch, L·C)."""
        gradient = xp.matrix_transpose(X_batch[:, :, self.start : self.stop]) @ G
        gradient += self._subgradient(xp)
        self.weights.move(gradient, rate, step, xp)

    def _subgradient(self, xp: Any) -> Array:
        """Of the penalty of every head."""
        W = xp.reshape(self.weights.value, (-1, self.lams.shape[0], self.n_classes))
        return xp.reshape(self.penalty(W, self.lams, xp), self.weights.value.shape)


RECIPE_LAMBDAS, RECIPE_STEPS = (1e-3, 1e-5), 500
"""The paper's coefficients of the penalty, and its smaller number of steps."""
