"""Rows in the eigenbasis of their Gram matrix: where a linear head has few unknowns, and a Hessian close to diagonal.

With fewer rows than features that turns d unknowns a class into at most n, loses nothing (the optimal weights lie in
the span of the training rows), and serves every strength of a ridge penalty.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import array_api_compat
from head2toe.select.compute.arrays import Array, Arrays
from head2toe.select.compute.kernels import transposed
from head2toe.select.compute.linear_algebra import eigh

ALIGNED = 8
"""In a batch, coordinates and intercept are a multiple of so many numbers: products read 32 bytes at a time."""


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


def eigenbasis(X: Array, train: Array, xp: Any, training: Array | None = None) -> Eigenbasis:
    """Centre on the training rows and rotate.

    Parameters
    ----------
    X : (k, n) float array
        Feature-major values of n rows.
    train : (n,) bool array
        Which rows may be learned from.
    xp : array namespace
    training : (m,) int array, optional
        Their numbers, where they are known: a GPU that has to count them is waited for.
    """
    w = xp.astype(train, X.dtype)
    # The intercept is free, so centring changes nothing but the condition of the problem.
    centre = (X @ w) / xp.sum(w)
    X = X - centre[:, None]
    training = xp.nonzero(train)[0] if training is None else training
    if X.shape[0] <= training.shape[0]:
        features = xp.take(X, training, axis=1)
        values, vectors = _falling(features @ xp.matrix_transpose(features), xp)
        return Eigenbasis(xp.matrix_transpose(X) @ vectors, values, centre, lambda theta: vectors @ theta)
    gram = xp.take(xp.matrix_transpose(X) @ X, training, axis=1)  # the whole product is symmetric: half the work
    values, vectors = _falling(xp.take(gram, training, axis=0), xp)
    vectors = vectors / xp.sqrt(xp.where(values > 0, values, xp.ones_like(values)))
    return Eigenbasis(gram @ vectors, values, centre, lambda theta: xp.take(X, training, axis=1) @ (vectors @ theta))


def basis_at_once(X: Array, trains: Array, rows: Array, real: Array, xp: Any) -> Basis:
    """Do for several folds what `eigenbasis` and `stack` do, in the few calls that a GPU likes.

    Parameters
    ----------
    X : (folds, k, n) float array
        Feature-major values of n rows; of each fold other features, or scaled otherwise.
    trains : (folds, n) bool array
        Which rows may be learned from.
    rows, real : (folds, m) arrays
        The same as numbers of rows, and where they are no filling: see `Labels.training`.
    xp : array namespace
    """
    folds, k, n = X.shape
    w = xp.astype(trains, X.dtype)[:, :, None]
    X = X - (X @ w) / xp.sum(w, axis=1, keepdims=True)
    X_T = xp.matrix_transpose(X)
    if k <= rows.shape[1]:
        values, vectors = _falling_each((X * xp.matrix_transpose(w)) @ X_T, xp)
        return Basis(X_T @ vectors, w[:, :, 0], values)
    where = xp.reshape(rows + n * xp.arange(folds, device=X.device)[:, None], (-1,))

    def training(a: Array) -> Array:
        """Return the training rows of (folds, n, r), zeros where they are filled up."""
        taken = xp.take(xp.reshape(a, (folds * n, -1)), where, axis=0)
        return xp.reshape(taken, (folds, -1, a.shape[2])) * real[:, :, None]

    gram = transposed(training(X_T @ X), xp)  # (folds, n, m)
    values, vectors = _falling_each(training(gram), xp)
    vectors = vectors / xp.sqrt(xp.where(values > 0, values, 1.0))[:, None, :]
    return Basis(gram @ vectors, w[:, :, 0], values)


def _falling_each(grams: Array, xp: Any) -> tuple[Array, Array]:
    """Decompose the matrix of each fold; see `_falling`.

    What is numerically zero is made zero: how many these are, the host would have to wait for.
    """
    decomposed = [eigh(grams[k, ...], xp) for k in range(grams.shape[0])]  # (CuPy's of several takes longer)
    values, vectors = (_concatenated([a[None, ...] for a in of_each], xp) for of_each in zip(*decomposed, strict=True))
    values = xp.flip(values, axis=1)
    kept = xp.astype(values > values[:, :1] * (10 * xp.finfo(grams.dtype).eps), grams.dtype)
    return values * kept, xp.flip(vectors, axis=2) * kept[:, None, :]


def _falling(gram: Array, xp: Any) -> tuple[Array, Array]:
    """Eigenvalues (r,), the largest first, as far as they are numerically not zero; and their eigenvectors (m, r).

    On a GPU r is m, and what is numerically zero is made zero.
    """
    if array_api_compat.is_cupy_namespace(xp):
        values, vectors = _falling_each(gram[None, ...], xp)
        return values[0, ...], vectors[0, ...]
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
    coordinates = _padded([part.coordinates[None, ...] for part in parts], 1, xp)
    weights = xp.stack([xp.astype(train, coordinates.dtype) for train in trains])
    return Basis(coordinates, weights, _padded([part.eigenvalues[None, ...] for part in parts], 1, xp))


def joined(bases: Sequence[Basis], xp: Any) -> Basis:
    """Put the folds of several bases of the same n rows one after the other, padded to one rank."""
    return Basis(
        _padded([basis.coordinates for basis in bases], ALIGNED, xp),
        _concatenated([basis.weights for basis in bases], xp),
        _padded([basis.eigenvalues for basis in bases], ALIGNED, xp),
    )


def _padded(parts: Sequence[Array], aligned: int, xp: Any) -> Array:
    """Put arrays (folds, ..., r) one after the other, with zeros after each r numbers, as far as the largest r.

    That, and the intercept which comes behind it, are then a multiple of `aligned` numbers.
    """
    rank = max(part.shape[-1] for part in parts)
    rank += -(rank + 1) % aligned
    if all(part.shape[-1] == rank for part in parts):
        return _concatenated(parts, xp)
    shape = (sum(part.shape[0] for part in parts), *parts[0].shape[1:-1], rank)
    out = xp.zeros(shape, dtype=parts[0].dtype, device=parts[0].device)
    first = 0
    for part in parts:
        out[first : first + part.shape[0], ..., : part.shape[-1]] = part
        first += part.shape[0]
    return out


def _concatenated(parts: Sequence[Array], xp: Any) -> Array:
    """Put arrays one after the other; a single one is returned as it is, for a GPU would copy it."""
    return parts[0] if len(parts) == 1 else xp.concat(parts)


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
    def of(cls, values: Array, train: Array, Y: Array, arrays: Arrays, training: Array | None = None) -> "RotatedRows":
        """Rotate the training rows (n,) bool of scaled values (k, n), labelled by one-hot rows Y (n, classes)."""
        xp = arrays.xp
        eigen = eigenbasis(xp.astype(values, xp.float64), train, xp, training)
        return cls(eigen, stack([eigen], [train], xp), xp.astype(Y, xp.float64), xp)

    def lifted(self, theta: Array, scale: float) -> tuple[Array, Array]:
        """Turn a head in the eigenbasis, the last row its intercept, into coef (k, classes) and intercept, scaled.

        Rows of zeros may stand before the intercept, as padding.
        """
        coef = scale * self.eigen.lift(theta[: self.eigen.eigenvalues.shape[0], :])
        return coef, scale * theta[-1, :] - self.eigen.centre @ coef


def solved_each(
    rows: Sequence[RotatedRows],
    strengths: Sequence[float],
    solve: Callable[[Basis, Array, Sequence[float], Any], Array],
) -> list[Array]:
    """Solve for a head of each rows: on a GPU side by side, on a processor one by one, whose ranks need no padding.

    Parameters
    ----------
    rows : sequence of RotatedRows
        All of the same images and labels.
    strengths : sequence of float
        C of each head.
    solve : callable
        (basis, Y, strengths, xp) to a head for each problem of the basis, (problems, r + 1, classes).
    """
    if not rows:
        return []
    Y, xp = rows[0].Y, rows[0].xp
    if array_api_compat.is_numpy_namespace(xp):
        return [solve(one.basis, Y, [C], xp)[0, ...] for one, C in zip(rows, strengths, strict=True)]
    together = solve(joined([one.basis for one in rows], xp), Y, strengths, xp)
    return [together[k, ...] for k in range(len(rows))]
