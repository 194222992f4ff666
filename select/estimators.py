"""scikit-learn estimators on the path: `GroupLassoSelector` keeps features, `GroupLassoClassifier` classifies.

Wherever they take an array X (n, d) they take a feature store or a design matrix as well, which is then read in blocks
and never held in memory. (`GridSearchCV` indexes X by rows, which designs do not support: give it arrays.)
"""

# mypy: disallow-subclassing-any=False
# (scikit-learn has no types)

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from head2toe.select.estimator_base import GroupLasso, as_design
from head2toe.select.ranking.weight_scores import rank
from scipy.special import softmax
from sklearn.base import ClassifierMixin
from sklearn.feature_selection import SelectorMixin
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted


class GroupLassoClassifier(ClassifierMixin, GroupLasso):
    """Multinomial logistic regression with a group lasso on features, solved to a duality gap.

    The objective is that of Evci et al. (2022, section 3.2), a mean over the rows as in scikit-learn's `Lasso` and in
    skglm, no sum: with cross-entropy losses of the n rows,

    ``sum_i w_i loss_i / sum_i w_i + alpha * sum_j ||W_j||_2``

    over W (d, C) and an intercept that is not penalised. w_i is what a row counts (1 without weights), and W_j are the
    weights of feature j, of the feature divided by its standard deviation if `standardize`. With two classes it is
    l1-penalised logistic regression with the strength alpha / √2: ``LogisticRegression(l1_ratio=1, C=√2 / (alpha n))``.

    Parameters
    ----------
    alpha : float, optional
        The strength of the penalty itself, above 0. From `alpha_max_` on no feature is left.
    alpha_ratio : float, optional
        The same as a share of `alpha_max_`; above 0, at most 1. With neither of the two it is 0.1; both are an error.
    n_alphas : int
        Number of strengths from `alpha_max_` down to there. More of them change the way, not the model at its end.
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
    alpha_ : float
        The strength of the penalty in this model.
    alpha_max_ : float
        The smallest strength that leaves no feature (λ_max): the largest norm of the features' gradients in the null
        model.
    alphas_ : ndarray of float64 (n_alphas,)
        Every strength of the path, falling to `alpha_`.
    path_ : list of PathPoint
        The solutions at all these λ.
    dual_gap_ : float
        The relative duality gap of the last one.
    n_iter_ : int
        Steps of the inner solver on the whole path.
    n_features_in_ : int
        d.
    """

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


class GroupLassoSelector(SelectorMixin, GroupLasso):
    """Keep the features that the group lasso ranks highest.

    Parameters
    ----------
    alpha, alpha_ratio, n_alphas, standardize, tol, class_weight, device
        See `GroupLassoClassifier`.
    n_features_to_select : int, float or None
        How many, from 1 to d, or which share, above 0 and at most 1, of which at least one is kept; None keeps those
        with nonzero weights.

    Attributes
    ----------
    scores_ : ndarray of float32 (d,)
        Relevance: 1 + ||W_j|| where not zero, else how near the feature is to entering.
    classes_, coef_, intercept_, alpha_, alpha_max_, alphas_, path_, dual_gap_, n_iter_, n_features_in_
        See `GroupLassoClassifier`.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **GroupLasso._parameter_constraints,
        "n_features_to_select": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, 1, closed="right"),
            None,
        ],
    }

    def __init__(
        self,
        alpha: float | None = None,
        *,
        alpha_ratio: float | None = None,
        n_features_to_select: int | float | None = None,
        n_alphas: int = 8,
        standardize: bool = True,
        tol: float = 1e-3,
        class_weight: Mapping[Any, float] | str | None = None,
        device: str = "cpu",
    ) -> None:
        super().__init__(
            alpha,
            alpha_ratio=alpha_ratio,
            n_alphas=n_alphas,
            standardize=standardize,
            tol=tol,
            class_weight=class_weight,
            device=device,
        )
        self.n_features_to_select = n_features_to_select

    def __sklearn_tags__(self) -> Any:
        """Return the tags of scikit-learn: labels are required."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def transform(self, X: Any) -> Any:
        """Return the kept columns (n, k) of X (n, d), an array, a store or a design."""
        check_is_fitted(self)
        return super().transform(X) if as_design(X) is None else self._columns(X, self.get_support(indices=True))

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
