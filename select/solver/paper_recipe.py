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
from head2toe.select.compute.kernels import row_norms
from head2toe.select.compute.softmax import softmax
from head2toe.store.common.errors import BadRequest

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-7  # Adam, as TensorFlow has it
MOMENTUM = 0.9
BATCH = 128
PIECE = 1 << 17  # weights that are updated together
RECIPE_LAMBDAS, RECIPE_STEPS = (1e-3, 1e-5), 500
"""The paper's coefficients of the penalty, and the smaller of its numbers of steps."""


@dataclass(frozen=True)
class RecipeSetting:
    """One way to train a head.

    Attributes
    ----------
    lam : float
        Coefficient of the penalty (absolute, not a share of λ_max).
    learning_rate : float
        At the first step; it falls to zero along a cosine.
    """

    lam: float
    learning_rate: float = 0.01


@dataclass(frozen=True)
class RecipeHeads:
    """The heads that training leaves: one for each of K row sets and L settings.

    Attributes
    ----------
    W : ndarray of float32 (K, L, d, C)
    b : ndarray of float32 (K, L, C)
    """

    W: np.ndarray
    b: np.ndarray

    @property
    def scores(self) -> np.ndarray:
        """Relevance ||W_j||₂ of every feature (K, L, d) float32. Evci et al. (2022, eq. 2) square it: same order."""
        return np.asarray(np.linalg.norm(self.W, axis=3))


def train(
    X: np.ndarray,
    y: np.ndarray,
    row_sets: Sequence[np.ndarray],
    settings: Sequence[RecipeSetting],
    *,
    n_classes: int,
    steps: int,
    seed: int,
    arrays: Arrays,
    optimizer: str = "adam",
    penalty: str = "l21",
) -> RecipeHeads:
    """Train a head for every row set and setting, on features in memory, since batches take whole rows at random.

    Parameters
    ----------
    X : ndarray of float32 (n, d)
        Features, normalised as wanted.
    y : ndarray of int (n,)
        Classes 0 .. n_classes - 1.
    row_sets : sequence of K ndarrays of int
        Training rows.
    settings : sequence of L RecipeSetting
        Penalty and learning rate.
    n_classes : int
        C.
    steps : int
        Number of updates (the paper: 500 or 5000).
    seed : int
        Seed of start and batches.
    arrays : Arrays
        Where to compute.
    optimizer : {"adam", "sgd"}
        "sgd" has a momentum of 0.9.
    penalty : {"l21", "l1", "l2"}
        Σ_j ||W_j||₂, Σ |W_jc| or ½ ||W||²; by its subgradient, so that none makes a weight exactly zero.

    Returns
    -------
    RecipeHeads

    Raises
    ------
    BadRequest
        No step, no setting, or no row to train on; an unknown optimiser or penalty.
    """
    _check(row_sets, settings, steps, optimizer, penalty)
    xp, rng = arrays.xp, np.random.default_rng(seed)
    d, C, K, L = X.shape[1], n_classes, len(row_sets), len(settings)
    features, onehot = arrays.put(np.ascontiguousarray(X)), np.eye(C, dtype=np.float32)[y]
    rates = arrays.put(np.repeat([s.learning_rate for s in settings], C).astype(np.float32))
    lams = arrays.put(np.array([s.lam for s in settings], np.float32))
    update = OPTIMIZERS[optimizer]
    pieces = _Piece.cut(_glorot(rng, K, d, L, C), lams, C, update, PENALTIES[penalty], arrays)
    bias = _Variable(arrays.put(np.zeros((K, 1, L * C), np.float32)), update)
    size = min(BATCH, min(map(len, row_sets)))
    queues = [_batches(rows, size, rng) for rows in row_sets]
    for step in range(1, steps + 1):
        rows = np.stack([next(queue) for queue in queues])
        X_batch = xp.reshape(xp.take(features, arrays.put(rows.ravel()), axis=0), (K, size, d))
        G = _residuals(X_batch, pieces, bias, arrays.put(np.tile(onehot[rows], (1, 1, L))), C, xp)
        rate = rates * (0.5 * (1 + math.cos(math.pi * (step - 1) / steps)))
        for piece in pieces:
            piece.step(X_batch, G, rate, step, xp)
        bias.move(xp.sum(G, axis=1, keepdims=True), rate, step, xp)
    W = np.concatenate([to_numpy(piece.weights.value) for piece in pieces], axis=1).reshape(K, d, L, C)
    return RecipeHeads(np.ascontiguousarray(np.moveaxis(W, 2, 1)), to_numpy(bias.value).reshape(K, L, C))


def _check(
    row_sets: Sequence[np.ndarray], settings: Sequence[RecipeSetting], steps: int, optimizer: str, penalty: str
) -> None:
    """Raise BadRequest for what cannot be trained."""
    if optimizer not in OPTIMIZERS:
        raise BadRequest(f"no optimiser {optimizer!r}: there are {', '.join(OPTIMIZERS)}")
    if penalty not in PENALTIES:
        raise BadRequest(f"no penalty {penalty!r}: there are {', '.join(PENALTIES)}")
    if steps < 1 or not settings or not row_sets or not all(len(rows) for rows in row_sets):
        raise BadRequest("training a head takes at least one step, one setting and one row")


def _glorot(rng: np.random.Generator, K: int, d: int, L: int, C: int) -> np.ndarray:
    """Return initial weights (K, d, L·C) float32, uniform within ±√(6 / (d + C)) (Glorot & Bengio 2010)."""
    limit = math.sqrt(6 / (d + C))
    start = rng.random((K, d, L * C), dtype=np.float32)
    start *= 2 * limit
    start -= limit
    return start


def _residuals(
    X_batch: Array, pieces: "Sequence[_Piece]", bias: "_Variable", targets: Array, n_classes: int, xp: Any
) -> Array:
    """Return the gradient (K, batch, L·C) of a batch's mean cross-entropy in the logits of all heads."""
    size = X_batch.shape[1]
    Z = bias.value + xp.zeros(targets.shape, dtype=xp.float32, device=targets.device)
    for piece in pieces:
        Z += X_batch[:, :, piece.start : piece.stop] @ piece.weights.value
    G = xp.reshape(softmax(xp.reshape(Z, (-1, n_classes)), xp)[0], Z.shape)
    G -= targets
    G /= size
    return G


def _batches(rows: np.ndarray, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield batches of rows without replacement within an epoch; what is left at its end begins the next batch."""
    queue = np.empty(0, np.int64)
    while True:
        while len(queue) < size:
            queue = np.concatenate([queue, rng.permutation(rows)])
        yield queue[:size]
        queue = queue[size:]


Update = Callable[["_Variable", Array, Array, int, Any], None]
"""Takes a variable, its gradient (used up), the learning rate (L·C,), the number of the step from 1 on, and `xp`."""


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
    """Return λ W_j / ||W_j||, and 0 for a zero row, where the gradient of the norm is undefined."""
    length = row_norms(W, xp)
    return xp.where(length > 0, lams / xp.where(length > 0, length, 1.0), 0.0)[:, :, None] * W


def _l1(W: Array, lams: Array, xp: Any) -> Array:
    return lams[None, :, None] * xp.sign(W)


def _l2(W: Array, lams: Array, xp: Any) -> Array:  # noqa: ARG001
    return lams[None, :, None] * W


Subgradient = Callable[[Array, Array, Any], Array]
"""Takes W (features, heads, classes), the λ of every head and `xp`; returns a subgradient of the penalty at W."""
PENALTIES: dict[str, Subgradient] = {"l21": _l21, "l1": _l1, "l2": _l2}


class _Variable:
    """An array that is trained, with the state of the optimiser."""

    def __init__(self, value: Array, update: Update) -> None:
        xp = array_namespace(value)
        self.value, self.update, self.momentum = value, update, xp.zeros_like(value)
        self.square = xp.zeros_like(value) if update is _adam else self.momentum

    def move(self, gradient: Array, rate: Array, step: int, xp: Any) -> None:
        self.update(self, gradient, rate, step, xp)


@dataclass(frozen=True)
class _Piece:
    """Weights (K, stop - start, L·C) of some features: few enough to stay in the cache from gradient to update.

    The L heads of a row set lie side by side, and share its batches.
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
        """Cut the weights of all features (K, d, L·C) into pieces; into one on a GPU, where a call costs a launch."""
        K, d, width = start.shape
        most = max(1, PIECE // (K * width)) if arrays.name == "cpu" else d
        edges = [*range(0, d, most), d]
        return [
            cls(a, b, _Variable(arrays.put(start[:, a:b].copy()), update), lams, n_classes, penalty)
            for a, b in pairwise(edges)
        ]

    def step(self, X_batch: Array, G: Array, rate: Array, step: int, xp: Any) -> None:
        """Update the weights, given the residuals G (K, batch, L·C) of a batch."""
        gradient = xp.matrix_transpose(X_batch[:, :, self.start : self.stop]) @ G
        gradient += self._subgradient(xp)
        self.weights.move(gradient, rate, step, xp)

    def _subgradient(self, xp: Any) -> Array:
        """Return the subgradient (K, stop - start, L·C) of the penalties of all heads."""
        W = xp.reshape(self.weights.value, (-1, self.lams.shape[0], self.n_classes))
        return xp.reshape(self.penalty(W, self.lams, xp), self.weights.value.shape)
