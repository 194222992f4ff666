"""Scores of single features, without any weights, to compare with: those of scikit-learn, one pass over the design."""

import warnings
from collections.abc import Callable

import numpy as np
from head2toe.store.common.errors import BadRequest
from head2toe.store.reading.design_matrix import Design
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.feature_selection import f_classif, mutual_info_classif

LARGEST = np.finfo(np.float32).max  # the F statistic of a feature that tells classes apart without error is infinite


def filter_scores(name: str, design: Design, y: np.ndarray, rows: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Score every feature by itself on some rows; larger is better.

    Parameters
    ----------
    name : {"variance", "f_classif", "mutual_info", "random", "trees"}
        "trees" is the importance in 500 extremely randomised trees, and holds the features of the rows in memory.
    design : Design
        n rows, d features.
    y : ndarray of int (n,)
        Classes.
    rows : ndarray of int
        Training rows: nothing else is looked at.
    seed : int
        Seed of "random" and "trees".

    Returns
    -------
    ndarray of float32 (d,)

    Raises
    ------
    BadRequest
        There is no such score.
    """
    if name == "random":
        return np.random.default_rng(seed).random(design.shape[1], dtype=np.float32)
    if name == "trees":
        X = design.take(rows).columns(np.arange(design.shape[1])).T
        forest = ExtraTreesClassifier(500, random_state=seed).fit(X, y[rows])
        return np.asarray(forest.feature_importances_, np.float32)
    if name not in FILTERS:
        raise BadRequest(f"no score {name!r}: there are {', '.join([*FILTERS, 'random', 'trees'])}")
    score = FILTERS[name]
    out = np.empty(design.shape[1], np.float32)
    for block in design.take(rows).stream():
        out[block.start : block.stop] = np.clip(score(np.asarray(block.values, np.float64).T, y[rows]), 0, LARGEST)
    return out


def _variance(X: np.ndarray, y: np.ndarray) -> np.ndarray:  # noqa: ARG001
    return np.asarray(X.var(axis=0))


def _f_classif(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the F statistic (d,); 0 where it is undefined: for constant features, or where every class has one row."""
    alive = np.ptp(X, axis=0) > 0
    out = np.zeros(X.shape[1])
    if alive.any():
        with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Features .* are constant")  # within classes, that is
            statistic = f_classif(X[:, alive], y)[0]
        out[alive] = np.where(np.isnan(statistic), 0.0, statistic)
    return out


def _mutual_info(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return mutual information (d,) in nats; 0 where every class has one row, which has no neighbours in its class."""
    if np.bincount(y).max() < 2:
        return np.zeros(X.shape[1])
    return np.asarray(mutual_info_classif(X, y, random_state=0))


FILTERS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "variance": _variance,
    "f_classif": _f_classif,
    "mutual_info": _mutual_info,
}
