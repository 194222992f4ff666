"""scikit-learn estimators on the path: `GroupLassoSelector` keeps features, `GroupLassoClassifier` classifies.

Wherever they take an array X (n, d) they take a feature store or a design matrix as well, which is then read in blocks
and never held in memory. (`GridSearchCV` indexes X by rows, which designs do not support: give it arrays.)
"""

# mypy: disallow-subclassing-any=False
# (scikit-learn has no types)

from typing import Any

import numpy as np
from head2toe.select.compute.arrays import namespace
from head2toe.select.ranking.weight_scores import rank
from head2toe.select.solver.path import PathPoint, path
from head2toe.store.common.errors import BadRequest, DataError
from head2toe.store.reading.design_matrix import ArrayDesign, Design, DesignMatrix
from head2toe.store.reading.feature_store import FeatureStore
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d, validate_data


def _as_design(X: Any) -> Design | None:
    """Return X as a design, if it is one or a store (with all its rows); None for what may become an array."""
    if isinstance(X, FeatureStore):
        return DesignMatrix.of([X], X.images)
    return X if all(hasattr(X, name) for name in ("shape", "layers", "stream", "columns")) else None


class _GroupLasso(BaseEstimator):
    """What both estimators share: the path up to `alpha` on all rows, see `GroupLassoClassifier`."""

    def __init__(
        self,
        alpha: float = 0.1,
        *,
        n_alphas: int = 8,
        standardize: bool = True,
        tol: float = 1e-3,
        device: str = "cpu",
    ) -> None:
        self.alpha = alpha
        self.n_alphas = n_alphas
        self.standardize = standardize
        self.tol = tol
        self.device = device

    def _fit_path(self, X: Any, y: Any) -> None:
        """Check the data and solve. Errors of the library become ValueError, which scikit-learn expects."""
        design, y = self._checked(X, y)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"{type(self).__name__} can't be fitted: y has only one class, {self.classes_[0]!r}")
        if not 0 < self.alpha <= 1:
            raise ValueError(f"alpha is a share of λ_max, above 0 and at most 1, not {self.alpha}")
        ratios = np.geomspace(1.0, self.alpha, max(2, self.n_alphas)) if self.alpha < 1 else np.ones(1)
        try:
            points = path(
                design,
                labels,
                np.ones((1, len(labels)), bool),
                n_classes=len(self.classes_),
                ratios=ratios,
                standardize=self.standardize,
                tol=self.tol,
                arrays=namespace(self.device),
            )
            self.path_: list[PathPoint] = list(points)
        except (BadRequest, DataError) as error:
            raise ValueError(str(error)) from error
        self._keep_last(design.shape[1])

    def _checked(self, X: Any, y: Any) -> tuple[Design, np.ndarray]:
        """Return X as a design and y as an array of as many rows."""
        design = _as_design(X)
        if design is None:
            X, y = validate_data(self, X, y, dtype=np.float32, ensure_min_samples=2)
            return ArrayDesign(X), y
        y = column_or_1d(y, warn=True)
        check_consistent_length(np.empty(design.shape[0]), y)
        self.n_features_in_ = design.shape[1]
        return design, y

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

    def _columns(self, X: Any, columns: np.ndarray) -> np.ndarray:
        """Return some columns (n, m) float32 of X (n, d), an array or a design of as many features as were fitted."""
        check_is_fitted(self)
        design = _as_design(X)
        if design is None:
            return np.asarray(validate_data(self, X, dtype=np.float32, reset=False)[:, columns])
        if design.shape[1] != self.n_features_in_:
            expected = f"{type(self).__name__} is expecting {self.n_features_in_} features as input"
            raise ValueError(f"X has {design.shape[1]} features, but {expected}")
        return np.asarray(design.columns(columns).T)


class GroupLassoClassifier(ClassifierMixin, _GroupLasso):
    """Multinomial logistic regression with a group lasso on features, solved to a duality gap.

    The penalty is that of Evci et al. (2022, section 3.2), and `path` solves it.

    Parameters
    ----------
    alpha : float
        λ as a share of λ_max, the smallest λ at which no feature is left. The path ends earlier where classes separate.
    n_alphas : int
        Number of λ from λ_max down to there.
    standardize : bool
        Scale features to unit variance (undone in `coef_`).
    tol : float
        Relative duality gap.
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

    def fit(self, X: Any, y: Any) -> "GroupLassoClassifier":
        """Solve the path on X (n, d), an array, a store or a design, with labels y (n,).

        Raises
        ------
        ValueError
            X or y is not what a classifier can be fitted on, or `alpha` is out of its range.
        """
        self._fit_path(X, y)
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
    alpha, n_alphas, standardize, tol, device
        See `GroupLassoClassifier`.
    n_features_to_select : int, float or None
        How many, or which share; None keeps those with nonzero weights.

    Attributes
    ----------
    scores_ : ndarray of float32 (d,)
        Relevance: 1 + ||W_j|| where not zero, else how near the feature is to entering.
    classes_, coef_, intercept_, alphas_, path_, dual_gap_, n_iter_, n_features_in_
        See `GroupLassoClassifier`.
    """

    def __init__(
        self,
        alpha: float = 0.1,
        *,
        n_features_to_select: int | float | None = None,
        n_alphas: int = 8,
        standardize: bool = True,
        tol: float = 1e-3,
        device: str = "cpu",
    ) -> None:
        super().__init__(alpha, n_alphas=n_alphas, standardize=standardize, tol=tol, device=device)
        self.n_features_to_select = n_features_to_select

    def __sklearn_tags__(self) -> Any:
        """Return the tags of scikit-learn: labels are required."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def fit(self, X: Any, y: Any) -> "GroupLassoSelector":
        """Solve the path on X (n, d), an array, a store or a design, with labels y (n,).

        Raises
        ------
        ValueError
            X or y is not what a classifier can be fitted on, or `alpha` is out of its range.
        """
        self._fit_path(X, y)
        return self

    def transform(self, X: Any) -> Any:
        """Return the kept columns (n, k) of X (n, d), an array, a store or a design."""
        check_is_fitted(self)
        return super().transform(X) if _as_design(X) is None else self._columns(X, self.get_support(indices=True))

    def _get_support_mask(self) -> np.ndarray:
        check_is_fitted(self)
        k = self.n_features_to_select
        if k is None:
            return np.asarray(np.any(self.coef_ != 0, axis=0))
        mask = np.zeros(len(self.scores_), bool)
        mask[rank(self.scores_, max(1, int(k * len(mask))) if isinstance(k, float) else k)] = True
        return mask
