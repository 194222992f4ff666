"""scikit-learn estimators on the path: `GroupLassoSelector` keeps features, `GroupLassoClassifier` classifies.

Wherever they take an array X (n, d) they take a feature store or a design matrix as well, which is then read in blocks
and never held in memory. (`GridSearchCV` indexes X by rows, which designs do not support: give it arrays.)
"""

# mypy: disallow-subclassing-any=False
# (scikit-learn has no types)

import warnings
from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from head2toe.select.compute.arrays import namespace
from head2toe.select.ranking.weight_scores import rank
from head2toe.select.solver.path import PathPoint, path
from head2toe.store.common.errors import BadRequest, DataError
from head2toe.store.reading.design_matrix import ArrayDesign, Design, DesignMatrix
from head2toe.store.reading.feature_store import FeatureStore
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectorMixin
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


def _as_design(X: Any) -> Design | None:
    """Return X as a design, if it is one or a store (with all its rows); None for what may become an array."""
    if isinstance(X, FeatureStore):
        return DesignMatrix.of([X], X.images)
    return X if all(hasattr(X, name) for name in ("shape", "layers", "stream", "columns")) else None


def _centred(X: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Subtract the mean of every feature in float64; float32 would lose a small spread beside a large mean.

    The mean is the weighted one: rows that are there twice and rows that count twice leave the same numbers.

    Returns
    -------
    centred : ndarray of float32 (n, d)
        Features that are constant up to the rounding of X are 0.
    mean : ndarray of float64 (d,)
    """
    mean = X.mean(axis=0, dtype=np.float64) if weights is None else weights @ X / weights.sum()
    centred = np.empty(X.shape, np.float32)
    with np.errstate(over="ignore"):  # what overflows float32 is refused by `path`, in words
        for start in range(0, len(X), ROWS):
            centred[start : start + ROWS] = X[start : start + ROWS] - mean
    centred[:, np.abs(centred).max(axis=0) <= 8 * np.finfo(X.dtype).eps * np.abs(mean)] = 0
    return centred, mean


class _GroupLasso(BaseEstimator):
    """What both estimators share: the path down to `alpha` on all rows, see `GroupLassoClassifier`."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "alpha": [Interval(Real, 0, 1, closed="right")],
        "n_alphas": [Interval(Integral, 1, None, closed="left")],
        "standardize": ["boolean"],
        "tol": [Interval(Real, 0, 1, closed="neither")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "device": [str],
    }

    def __init__(
        self,
        alpha: float = 0.1,
        *,
        n_alphas: int = 8,
        standardize: bool = True,
        tol: float = 1e-3,
        class_weight: Mapping[Any, float] | str | None = None,
        device: str = "cpu",
    ) -> None:
        self.alpha = alpha
        self.n_alphas = n_alphas
        self.standardize = standardize
        self.tol = tol
        self.class_weight = class_weight
        self.device = device

    def _fit_path(self, X: Any, y: Any, sample_weight: Any) -> None:
        """Check the data and solve. Errors of the library become ValueError, which scikit-learn expects."""
        self._validate_params()
        X, y = self._checked(X, y)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"{type(self).__name__} can't be fitted: y has only one class, {self.classes_[0]!r}")
        weights = self._weights(sample_weight, labels)
        mean = None
        if isinstance(X, np.ndarray):
            X, mean = _centred(X, weights)
            X = ArrayDesign(X)
        try:
            points = path(
                X,
                labels,
                np.ones((1, len(labels)), bool),
                n_classes=len(self.classes_),
                ratios=np.geomspace(1.0, self.alpha, self.n_alphas) if self.n_alphas > 1 else [self.alpha],
                standardize=self.standardize,
                tol=self.tol,
                arrays=namespace(self.device),
                weights=weights,
                until=1.0,  # where classes separate there is a model at `alpha` all the same
            )
            self.path_: list[PathPoint] = [_uncentred(point, mean) for point in points]
        except (BadRequest, DataError) as error:
            raise ValueError(str(error)) from error
        self._keep_last(self.n_features_in_)
        self._warn_of_gaps()

    def _checked(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:
        """Return X as a design or an array of floating-point numbers, and y as an array of as many rows."""
        design = _as_design(X)
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
        return np.asarray(weights * by_class[labels])

    def _keep_last(self, n_features: int) -> None:
        """Set the fitted attributes from the last point of the path."""
        last = self.path_[-1]
        solution = last.solutions[0]
        self.alphas_ = np.array([point.lambdas[0] for point in self.path_])
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
        design = _as_design(X)
        if design is None:
            return np.asarray(validate_data(self, X, dtype=FLOATS, reset=False)[:, columns])
        if design.shape[1] != self.n_features_in_:
            expected = f"{type(self).__name__} is expecting {self.n_features_in_} features as input"
            raise ValueError(f"X has {design.shape[1]} features, but {expected}")
        return np.asarray(design.columns(columns).T)


def _uncentred(point: PathPoint, mean: np.ndarray | None) -> PathPoint:
    """Return a point of the path on centred features as one on the features as given: the intercepts move."""
    if mean is None:
        return point
    moved = [replace(s, intercept=s.intercept - mean[s.columns] @ s.coef) for s in point.solutions]
    return replace(point, solutions=tuple(moved))


class GroupLassoClassifier(ClassifierMixin, _GroupLasso):
    """Multinomial logistic regression with a group lasso on features, solved to a duality gap.

    The penalty is that of Evci et al. (2022, section 3.2), and `path` solves it.

    Parameters
    ----------
    alpha : float
        λ as a share of λ_max, the smallest λ at which no feature is left; above 0, at most 1.
    n_alphas : int
        Number of λ from λ_max down to there. More of them change the way, not the model at its end.
    standardize : bool
        Scale features to unit variance (undone in `coef_`).
    tol : float
        Relative duality gap, between 0 and 1.
    class_weight : dict, "balanced" or None
        Label to what its rows count; "balanced" lets all classes count alike.
    device : str
        "cpu", "cuda", "cuda:N" or "auto".

    Attributes
    ----------
    classes_ : ndarray (C,)
        Labels, ascending.
    coef_ : ndarray of float64 (C, d)
    intercept_ : ndarray of float64 (C,)
    alphas_ : ndarray of float64 (n_alphas,)
        Every λ of the path.
    path_ : list of PathPoint
        The solutions at all these λ.
    dual_gap_ : float
        The relative duality gap of the last one.
    n_iter_ : int
        Steps of the inner solver on the whole path.
    n_features_in_ : int
        d.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "GroupLassoClassifier":
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
            X, y or the weights are not what a classifier can be fitted on, or a parameter is out of its range.

        Warns
        -----
        ConvergenceWarning
            The duality gap is above `tol` somewhere on the path.
        """
        self._fit_path(X, y, sample_weight)
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the logits (n, C) of X (n, d); with two classes their difference (n,), as scikit-learn has it."""
        check_is_fitted(self)
        chosen = np.flatnonzero(np.any(self.coef_ != 0, axis=0))
        Z = self._columns(X, chosen) @ self.coef_[:, chosen].T + self.intercept_
        return np.asarray(Z[:, 1] - Z[:, 0] if len(self.classes_) == 2 else Z)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probabilities of the classes (n, C) for X (n, d)."""
        Z = self.decision_function(X)
        Z = np.stack([np.zeros_like(Z), Z], axis=1) if Z.ndim == 1 else Z
        return np.asarray(softmax(Z, axis=1))

    def predict(self, X: Any) -> np.ndarray:
        """Return the likeliest class (n,) of every row of X (n, d)."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[likeliest])


class GroupLassoSelector(SelectorMixin, _GroupLasso):
    """Keep the features that the group lasso ranks highest.

    Parameters
    ----------
    alpha, n_alphas, standardize, tol, class_weight, device
        See `GroupLassoClassifier`.
    n_features_to_select : int, float or None
        How many, from 1 to d, or which share, above 0 and at most 1, of which at least one is kept; None keeps those
        with nonzero weights.

    Attributes
    ----------
    scores_ : ndarray of float32 (d,)
        Relevance: 1 + ||W_j|| where not zero, else how near the feature is to entering.
    classes_, coef_, intercept_, alphas_, path_, dual_gap_, n_iter_, n_features_in_
        See `GroupLassoClassifier`.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **_GroupLasso._parameter_constraints,
        "n_features_to_select": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, 1, closed="right"),
            None,
        ],
    }

    def __init__(
        self,
        alpha: float = 0.1,
        *,
        n_features_to_select: int | float | None = None,
        n_alphas: int = 8,
        standardize: bool = True,
        tol: float = 1e-3,
        class_weight: Mapping[Any, float] | str | None = None,
        device: str = "cpu",
    ) -> None:
        super().__init__(
            alpha, n_alphas=n_alphas, standardize=standardize, tol=tol, class_weight=class_weight, device=device
        )
        self.n_features_to_select = n_features_to_select

    def __sklearn_tags__(self) -> Any:
        """Return the tags of scikit-learn: labels are required."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "GroupLassoSelector":
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
            X, y or the weights are not what a classifier can be fitted on, or a parameter is out of its range.

        Warns
        -----
        ConvergenceWarning
            The duality gap is above `tol` somewhere on the path.
        """
        self._fit_path(X, y, sample_weight)
        return self

    def transform(self, X: Any) -> Any:
        """Return the kept columns (n, k) of X (n, d), an array, a store or a design."""
        check_is_fitted(self)
        return super().transform(X) if _as_design(X) is None else self._columns(X, self.get_support(indices=True))

    def _checked(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:
        checked = super()._checked(X, y)
        self._n_to_keep(self.n_features_in_)  # more than there are is refused before the path is solved
        return checked

    def _get_support_mask(self) -> np.ndarray:
        check_is_fitted(self)
        self._validate_params()  # it may have been set since `fit`
        if self.n_features_to_select is None:
            return np.asarray(np.any(self.coef_ != 0, axis=0))
        mask = np.zeros(len(self.scores_), bool)
        mask[rank(self.scores_, self._n_to_keep(len(mask)))] = True
        return mask

    def _n_to_keep(self, d: int) -> int:
        """Return how many of d features are to be kept. Raises ValueError if these are more than there are."""
        k = d if self.n_features_to_select is None else self.n_features_to_select
        if not isinstance(k, Integral):
            return max(1, int(k * d))
        if k > d:
            raise ValueError(f"n_features_to_select={k} is more than the {d} features that there are")
        return int(k)
