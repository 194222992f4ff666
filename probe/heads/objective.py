"""What a logistic head minimises: the mean cross-entropy and a ridge penalty, of several folds at once."""

from abc import ABC, abstractmethod
from typing import Any

from head2toe.select.compute.arrays import Array
from head2toe.select.compute.kernels import (
    expectations,
    inner_products,
    masked_plus_product,
    weighted_difference,
    weighted_squares,
    weighted_variances,
)
from head2toe.select.compute.softmax import log_softmax

FAR = 30.0
"""How far below zero, the others' mean, the intercept of a class without a training row is."""


class Objective(ABC):
    """The objective mean_i w_i CE_i + alpha/2 ||B||² of some folds, where theta = (B, b) and alpha = 1 / (C n).

    Inside, classes come before rows and coordinates, (folds, classes, ...): what runs over classes then vectorises.

    Parameters
    ----------
    xp : array namespace
    n : (folds, 1, 1) array
        Number of training rows of each fold.
    w : (folds, 1, rows) array
        Weights of the rows, which sum to 1.
    wY : (folds, classes, rows) array
        The same times one-hot labels.
    eigenvalues : (folds, 1, r) array
        Of the training rows' Gram matrix.
    """

    def __init__(self, xp: Any, n: Array, w: Array, wY: Array, eigenvalues: Array) -> None:
        self.xp, self.n, self.w, self.wY = xp, n, w, wY
        present = xp.sum(wY, axis=2, keepdims=True) > 0
        self.present = xp.astype(present, eigenvalues.dtype)  # (folds, classes, 1)
        one = xp.ones_like(eigenvalues[:, :, :1])
        self.curvature = xp.concat((eigenvalues / n, one), axis=2)  # of the rows, by coordinate
        self.penalised = xp.concat((xp.ones_like(eigenvalues), xp.zeros_like(one)), axis=2)

    @abstractmethod
    def scores(self, theta: Array) -> Array:
        """Scores (folds, classes, rows)."""

    @abstractmethod
    def pull(self, U: Array) -> Array:
        """What residuals U (folds, classes, rows) are to the weights: their gradient (folds, classes, r + 1)."""

    @abstractmethod
    def back(self, P: Array) -> Array:
        """Gradient of the loss (folds, classes, r + 1) where the rows have the probabilities P."""

    def start(self) -> Array:
        """All zero, but for the intercepts of absent classes, whose optimum is -inf: they would run there for ever."""
        return (self.present - 1) * FAR * (1 - self.penalised)

    def ridge(self, C: float | Array) -> Array:
        """Strength of the penalty: alpha for every weight and 0 for the intercept, (folds, 1, r + 1).

        C is one for all, or (folds, 1, 1).
        """
        return self.penalised / (C * self.n)

    def diagonal(self, P: Array, ridge: Array) -> Array:
        """A diagonal like that of the Hessian (folds, classes, r + 1), where the rows have the probabilities P."""
        # Mean of p(1-p): how curved the loss is here, for each fold and class.
        return self.curvature * weighted_variances(self.w, P, self.xp) + ridge + 1e-12

    def value(self, theta: Array, ridge: Array) -> tuple[Array, Array]:
        """Value per fold (folds, 1, 1) and log-probabilities of the rows (folds, classes, rows)."""
        logp = log_softmax(self.scores(theta), self.xp, axis=1)
        return 0.5 * weighted_squares(theta, ridge, self.xp) - inner_products(self.wY, logp, self.xp), logp

    def gradient(self, theta: Array, ridge: Array, P: Array) -> Array:
        """Gradient where the rows have the probabilities P; an absent class stays where it is."""
        return masked_plus_product(self.back(P), ridge, theta, self.present, self.xp)

    def hessian(self, V: Array, P: Array, wP: Array, ridge: Array) -> Array:
        """Hessian applied to V, where the rows have the probabilities P, and wP with their weights."""
        scores = self.scores(V)
        U = weighted_difference(wP, scores, expectations(P, scores, self.xp, axis=1), self.xp)
        return masked_plus_product(self.pull(U), ridge, V, self.present, self.xp)
