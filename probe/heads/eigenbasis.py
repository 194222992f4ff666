"""Rows in the eigenbasis of their Gram matrix: where a linear head has few unknowns, and a Hessian close to diagonal.

With fewer rows than features that turns d unknowns a class into at most n, loses nothing (the optimal weights lie in
the span of the training rows), and serves every strength of a ridge penalty.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from head2toe.select.compute.arrays import Array, Arrays, eigh


@dataclass(frozen=True)
class Eigenbasis:
    """Rows in the eigenbasis of the Gram matrix of the training rows among them, in the dtype of the features.

    Attributes
    ----------
    coordinates : (n, r) array
        coordinates @ coordinates.T is the centred Gram matrix as far as training rows are concerned.
    eigenvalues : (r,) array
        Of the training rows' Gram matrix, the largest first; numerically zero ones are dropped.
    centre : (k,) array
        Mean of the training rows, which was subtracted.
    lift : callable
        Weights on the coordinates (r, classes) to weights on the features (k, classes).
    """

    coordinates: Array
    eigenvalues: Array
    centre: Array
    lift: Callable[[Array], Array]


@dataclass(frozen=True)
class Basis:
    """Rows of several folds in the eigenbasis of each fold's training rows, padded with zeros to one rank r.

    Attributes
    ----------
    coordinates : (folds, n, r) array
        Of all n rows, training and held out.
    weights : (folds, n) array
        1 for a training row of the fold, 0 for a held-out one.
    eigenvalues : (folds, r) array
        Of the training rows' Gram matrix, 0 where padded.
    """

    coordinates: Array
    weights: Array
    eigenvalues: Array


def eigenbasis(X: Array, train: Array, xp: Any) -> Eigenbasis:
    """Centre on the training rows and rotate.

    Parameters
    ----------
    X : (k, n) float array
        Feature-major values of n rows.
    train : (n,) bool array
        Which rows may be learned from.
    xp : array namespace
    """
    w = xp.astype(train, X.dtype)
    # The intercept is free, so centring changes nothing but the condition of the problem.
    centre = (X @ w) / xp.sum(w)
    X = X - centre[:, None]
    training = xp.nonzero(train)[0]
    if X.shape[0] <= training.shape[0]:
        features = xp.take(X, training, axis=1)
        values, vectors = _falling(features @ xp.matrix_transpose(features), xp)
        return Eigenbasis(xp.matrix_transpose(X) @ vectors, values, centre, lambda theta: vectors @ theta)
    gram = xp.take(xp.matrix_transpose(X) @ X, training, axis=1)  # the whole product is symmetric: half the work
    values, vectors = _falling(xp.take(gram, training, axis=0), xp)
    vectors = vectors / xp.sqrt(xp.where(values > 0, values, xp.ones_like(values)))
    return Eigenbasis(gram @ vectors, values, centre, lambda theta: xp.take(X, training, axis=1) @ (vectors @ theta))


def _falling(gram: Array, xp: Any) -> tuple[Array, Array]:
    """Eigenvalues (r,), the largest first, as far as they are numerically not zero; and their eigenvectors (m, r)."""
    values, vectors = eigh(gram, xp)
    values, order = xp.flip(values), xp.flip(xp.arange(values.shape[0], device=gram.device))
    rank = max(1, int(xp.sum(xp.astype(values > values[0] * (10 * xp.finfo(gram.dtype).eps), xp.int64))))
    return values[:rank], xp.take(vectors, order[:rank], axis=1)


def stack(parts: Sequence[Eigenbasis], trains: Sequence[Array], xp: Any) -> Basis:
    """Put the eigenbases of several folds side by side, padded to the largest rank.

    Parameters
    ----------
    parts : sequence of Eigenbasis
        All of the same n rows.
    trains : sequence of (n,) bool arrays
        The training rows of each.
    xp : array namespace
    """
    rank = max(part.eigenvalues.shape[0] for part in parts)

    def padded(a: Array) -> Array:
        missing = rank - a.shape[-1]
        if missing == 0:
            return a
        zeros = xp.zeros((*a.shape[:-1], missing), dtype=a.dtype, device=a.device)
        return xp.concat((a, zeros), axis=-1)

    coordinates = xp.stack([padded(part.coordinates) for part in parts])
    eigenvalues = xp.stack([padded(part.eigenvalues) for part in parts])
    weights = xp.stack([xp.astype(train, coordinates.dtype) for train in trains])
    return Basis(coordinates, weights, eigenvalues)


@dataclass(frozen=True, eq=False)
class RotatedRows:
    """Training rows in the eigenbasis of their Gram matrix, in float64: where exact heads are refitted.

    Attributes
    ----------
    eigen : Eigenbasis
    basis : Basis
        That one alone.
    Y : (n, classes) float64 array
        One-hot labels; rows that do not train have none.
    xp : namespace
    """

    eigen: Eigenbasis
    basis: Basis
    Y: Array
    xp: Any

    @classmethod
    def of(cls, values: Array, train: Array, Y: Array, arrays: Arrays) -> "RotatedRows":
        """Rotate the training rows (n,) bool of scaled values (k, n), labelled by one-hot rows Y (n, classes)."""
        xp = arrays.xp
        eigen = eigenbasis(xp.astype(values, xp.float64), train, xp)
        return cls(eigen, stack([eigen], [train], xp), xp.astype(Y, xp.float64), xp)

    def lifted(self, theta: Array, scale: float) -> tuple[Array, Array]:
        """Turn a head in the eigenbasis, the last row its intercept, into coef (k, classes) and intercept, scaled."""
        coef = scale * self.eigen.lift(theta[:-1, :])
        return coef, scale * theta[-1, :] - self.eigen.centre @ coef
