"""What both estimators share: data, weights and parameters checked, the path solved, its end kept."""

# mypy: disallow-subclassing-any=False
# (scikit-learn has no types)

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from head2toe.select.compute.arrays import namespace
from head2toe.select.solver.path import PathPoint, path
from head2toe.store.common.errors import BadRequest, DataError
from head2toe.store.reading.design_matrix import ArrayDesign, Design, DesignMatrix
from head2toe.store.reading.feature_store import FeatureStore
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

FLOATS = (np.float64, np.float32)
"""The precisions that arrays are taken in."""
ROWS = 256
"""How many rows are centred at a time."""
SMALL, LARGE = 1e-12, 1e12
"""Between these, float32 holds a feature, its squares and their sums."""
ALPHA_RATIO = 0.1
"""The share of λ_max where neither `alpha` nor `alpha_ratio` is given."""
LEAST_SHARE = 1e-12
"""A class with less of the weight of all rows counts as none."""
TINIEST = 1e-30
"""Strengths below it and above its inverse, and such shares of λ_max, are none in float32."""


def as_design(X: Any) -> Design | None:
    """Return X as a design, if it is one or a store (with all its rows); None for what may become an array."""
    if isinstance(X, FeatureStore):
        return DesignMatrix.of([X], X.images)
    return X if all(hasattr(X, name) for name in ("shape", "layers", "stream", "columns")) else None


def _centred(X: np.ndarray, weights: np.ndarray | None, *, alone: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Subtract the mean of every feature in float64; float32 would lose a small spread beside a large mean.

    The mean is the weighted one: rows that are there twice and rows that count twice leave the same numbers.

    Parameters
    ----------
    X : ndarray (n, d)
    weights : ndarray (n,) or None
    alone : bool
        Whether features too small or too large for float32 are each divided by a power of two of their own, as
        standardised ones may be; or else all of them by the same one where the largest is such, which leaves their
        sizes as they are to each other.

    Returns
    -------
    centred : ndarray of float32 (n, d)
        Features that are constant up to the rounding of X are 0.
    mean : ndarray of float64 (d,)
    exponents : ndarray of int (d,)
        Which power of two it is: 0 where a feature stayed as it is.

    Raises
    ------
    ValueError
        The differences of a feature's values overflow float64.
    """
    starts = range(0, len(X), ROWS)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = X.mean(axis=0, dtype=np.float64) if weights is None else weights @ X / weights.sum()
        largest = np.max([np.abs(X[start : start + ROWS] - mean).max(axis=0) for start in starts], axis=0)
    if not np.isfinite(largest).all():
        raise ValueError("X holds numbers so large that their sums or differences overflow float64: divide it")
    size = largest if alone else np.full_like(largest, largest.max())
    strange = (size > 0) & ~((size > SMALL) & (size < LARGE))
    exponents = np.where(strange, np.frexp(size)[1], 0)
    centred = np.empty(X.shape, np.float32)
    with np.errstate(under="ignore"):  # beside the largest it is nothing
        for start in starts:
            centred[start : start + ROWS] = np.ldexp(X[start : start + ROWS] - mean, -exponents)
    centred[:, largest <= 8 * np.finfo(X.dtype).eps * np.abs(mean)] = 0
    return centred, mean, exponents


def _labels(y: Any) -> Any:
    """Return pandas' integers and booleans as NumPy's, not as scikit-learn's floats; ValueError if any is missing."""
    if not (hasattr(y, "isna") and getattr(y, "ndim", 0) == 1):
        return y
    if y.isna().any():
        raise ValueError("Input y contains NaN.")
    dtype = getattr(y.dtype, "numpy_dtype", None)
    return y if dtype is None or dtype.kind not in "biu" else y.to_numpy(dtype=dtype)


class GroupLasso(BaseEstimator):
    """The path down to `alpha` on all rows; see `GroupLassoClassifier`, which derives from it."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "alpha": [Interval(Real, 0, np.inf, closed="neither"), None],
        "alpha_ratio": [Interval(Real, 0, 1, closed="right"), None],
        "n_alphas": [Interval(Integral, 1, None, closed="left")],
        "standardize": ["boolean"],
        "tol": [Interval(Real, 0, 1, closed="neither")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "device": [str],
    }

    def __init__(
        self,
        alpha: float | None = None,
        *,
        alpha_ratio: float | None = None,
        n_alphas: int = 8,
        standardize: bool = True,
        tol: float = 1e-3,
        class_weight: Mapping[Any, float] | str | None = None,
        device: str = "cpu",
    ) -> None:
        self.alpha = alpha
        self.alpha_ratio = alpha_ratio
        self.n_alphas = n_alphas
        self.standardize = standardize
        self.tol = tol
        self.class_weight = class_weight
        self.device = device

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Solve the path.

        Arrays are centred in float64, so that large offsets change nothing.

        Parameters
        ----------
        X : array, FeatureStore or Design
            n rows, d features.
        y : array (n,)
            Labels.
        sample_weight : array of float (n,), optional
            What each row counts, in the loss and in the standardisation: 2 is the row twice, 0 is no row.

        Raises
        ------
        ValueError
            X, y or the weights are not what a classifier can be fitted on, a parameter is out of its range, or both
            `alpha` and `alpha_ratio` are given.

        Warns
        -----
        ConvergenceWarning
            The duality gap is above `tol` somewhere on the path.
        """
        self._fit_path(X, y, sample_weight)
        return self

    def _fit_path(self, X: Any, y: Any, sample_weight: Any) -> None:
        """Check the data and solve. Errors of the library become ValueError, which scikit-learn expects."""
        self._validate_params()
        if self.alpha is not None and self.alpha_ratio is not None:
            raise ValueError(
                "give alpha (the strength itself) or alpha_ratio (its share of alpha_max_), not both: "
                f"alpha={self.alpha}, alpha_ratio={self.alpha_ratio}"
            )
        X, y = self._checked(X, _labels(y))
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"{type(self).__name__} can't be fitted: y has only one class, {self.classes_[0]!r}")
        weights = self._weights(sample_weight, labels)
        moved, unit = None, 0
        if isinstance(X, np.ndarray):
            X, *moved = _centred(X, weights, alone=self.standardize)
            X, unit = ArrayDesign(X), 0 if self.standardize else int(moved[1][0])
        try:
            points = path(
                X,
                labels,
                np.ones((1, len(labels)), bool),
                n_classes=len(self.classes_),
                ratios=lambda lam_max: self._ratios(lam_max, unit),
                standardize=self.standardize,
                tol=self.tol,
                arrays=namespace(self.device),
                weights=weights,
                until=1.0,  # where classes separate there is a model at `alpha` all the same
            )
            self.path_: list[PathPoint] = [_as_given(point, moved, unit) for point in points]
        except (BadRequest, DataError) as error:
            raise ValueError(str(error)) from error
        self._keep_last(self.n_features_in_)
        self._warn_of_gaps()

    def _ratios(self, lam_max: np.ndarray, unit: int) -> np.ndarray:
        """Return the path's λ as shares (n_alphas,) of λ_max (1,), which is kept; `unit`: see `_as_given`."""
        self.alpha_max_ = float(np.ldexp(lam_max[0], unit))
        if self.alpha is None:
            last = ALPHA_RATIO if self.alpha_ratio is None else float(self.alpha_ratio)
        else:
            last = float(self.alpha) / self.alpha_max_
        if not (TINIEST < last < 1 / TINIEST and TINIEST < last * lam_max[0] < 1 / TINIEST):
            raise ValueError(
                f"alpha={last * self.alpha_max_:g}, which is {last:g} of alpha_max_, is beyond single precision, in "
                "which the path is solved: give a strength nearer to alpha_max_"
            )
        if last >= 1 or self.n_alphas == 1:  # from λ_max on there is no way down: all models are the null model
            return np.full(int(self.n_alphas), last)
        return np.geomspace(1.0, last, int(self.n_alphas))

    def _checked(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:
        """Return X as a design or an array of floating-point numbers, and y as an array of as many rows."""
        design = as_design(X)
        if design is None:
            X, y = validate_data(self, X, y, dtype=FLOATS, ensure_min_samples=2)
            return X, y
        y = column_or_1d(y, warn=True)
        check_consistent_length(np.empty(design.shape[0]), y)
        self.n_features_in_ = design.shape[1]
        return design, y

    def _weights(self, sample_weight: Any, labels: np.ndarray) -> np.ndarray | None:
        """Return what each row counts (n,) by `sample_weight` and `class_weight`; None if all count alike."""
        if sample_weight is None and self.class_weight is None:
            return None
        rows = np.empty((len(labels), 1))
        weights = np.asarray(_check_sample_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True))
        if not weights.any():
            raise ValueError("all rows have the sample_weight 0")
        if self.class_weight == "balanced":
            counts = np.bincount(labels, weights)
            by_class = np.divide(weights.sum(), np.count_nonzero(counts) * counts, where=counts > 0, out=0 * counts)
        else:
            y = self.classes_[labels]
            by_class = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
        if not (np.isfinite(by_class).all() and (by_class >= 0).all()):
            raise ValueError(f"class_weight={self.class_weight!r}: weights are finite, and none of them is negative")
        weights = np.asarray(weights * by_class[labels])
        shares = np.bincount(labels, weights / weights.max(initial=TINIEST))
        if len(left := np.flatnonzero(shares > LEAST_SHARE * shares.sum())) < 2:
            names = [str(self.classes_[label]) for label in left]
            raise ValueError(f"the weights leave rows of one class only ({', '.join(names) or 'of none'})")
        return weights

    def _keep_last(self, n_features: int) -> None:
        """Set the fitted attributes from the last point of the path."""
        last = self.path_[-1]
        solution = last.solutions[0]
        self.alphas_ = np.array([point.lambdas[0] for point in self.path_])
        self.alpha_ = float(self.alphas_[-1] if self.alpha is None else self.alpha)
        self.coef_ = np.zeros((len(self.classes_), n_features))
        self.coef_[:, solution.columns] = solution.coef.T
        self.intercept_ = solution.intercept
        self.dual_gap_ = solution.gap
        self.n_iter_ = max(1, sum(point.solutions[0].iterations for point in self.path_))
        self.scores_ = last.scores[0]

    def _warn_of_gaps(self) -> None:
        """Warn where the path did not reach the tolerance."""
        gaps = [point.solutions[0].gap for point in self.path_ if not point.solutions[0].converged]
        if gaps:
            warnings.warn(
                f"the relative duality gap is above tol={self.tol:g} at {len(gaps)} of the {len(self.path_)} λ of the "
                f"path (largest: {max(gaps):.1e}; at alpha: {self.dual_gap_:.1e}): raise tol or alpha, or standardize "
                "the features",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _columns(self, X: Any, columns: np.ndarray) -> np.ndarray:
        """Return some columns (n, m) of X (n, d), an array or a design of as many features as were fitted."""
        check_is_fitted(self)
        design = as_design(X)
        if design is None:
            return np.asarray(validate_data(self, X, dtype=FLOATS, reset=False)[:, columns])
        if design.shape[1] != self.n_features_in_:
            expected = f"{type(self).__name__} is expecting {self.n_features_in_} features as input"
            raise ValueError(f"X has {design.shape[1]} features, but {expected}")
        return np.asarray(design.columns(columns).T)


def _as_given(point: PathPoint, moved: Sequence[np.ndarray] | None, unit: int) -> PathPoint:
    """Return a point of the path on centred features as one on the features as given.

    Parameters
    ----------
    point : PathPoint
    moved : sequence of ndarray or None
        Means and exponents, see `_centred`.
    unit : int
        The exponent that all features share: λ grows with them.

    Raises
    ------
    ValueError
        A feature is so small that its coefficient overflows float64.
    """
    if moved is None:
        return point
    mean, exponents = moved
    solutions = []
    for one in point.solutions:
        with np.errstate(over="ignore"):
            coef = np.ldexp(one.coef.astype(np.float64), -exponents[one.columns][:, None])
        if not np.isfinite(coef).all():
            raise ValueError("X holds features so small that their coefficients overflow float64: multiply it")
        solutions.append(replace(one, coef=coef, intercept=one.intercept - mean[one.columns] @ coef))
    return replace(point, solutions=tuple(solutions), lambdas=np.ldexp(point.lambdas, unit))
