"""From a design to ranked features, for every fold and λ."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from head2toe.select.compute.arrays import Arrays
from head2toe.select.compute.normalize import UnitRows
from head2toe.select.ranking.relevance import L21, Score, feature_scores, point_scores, trained_scores
from head2toe.select.ranking.selection import Certificate, Selection, Sparse
from head2toe.select.solver.paper_recipe import RecipeSetting, train
from head2toe.select.solver.path import path
from head2toe.store.common.errors import BadRequest
from head2toe.store.console.progress import Progress
from head2toe.store.reading.design_matrix import Design


def rank_features(
    design: Design,
    labels: np.ndarray,
    folds: np.ndarray,
    n_classes: int,
    *,
    ratios: Sequence[float],
    top: int,
    tol: float,
    standardize: str,
    arrays: Arrays,
    score: Score = L21,
    progress: Progress | None = None,
) -> Selection:
    """Rank all features of the training rows by relevance, for every λ and fold; by default Evci et al. 2022, eq. 2.

    Parameters
    ----------
    design : Design
        (n, d).
    labels, folds : ndarray of int (n,)
        Labels 0 .. n_classes - 1, and the fold each row is held out in.
    n_classes : int
        C.
    ratios : sequence of float
        λ / λ_max, falling.
    top : int
        How many features to keep in the rankings.
    tol : float
        Relative duality gap to reach.
    standardize : {"none", "unit", "feature", "unit+feature"}
        `feature` brings every feature to unit variance over the training rows of the fold; `unit` every layer of every
        example to unit norm (the paper's normalisation).
    arrays : Arrays
        Where to compute.
    score : Score
        By what features are ranked; models are those of the path, whatever it is.
    progress : function, optional
        Called with (λ done, all λ).

    Returns
    -------
    Selection

    Raises
    ------
    BadRequest
        The score's offset leaves no feature.
    BadRequest, DataError
        See `path`.
    """
    masks, k = row_sets(folds), _ranking_length(design, top, score)
    rows = UnitRows.of(design) if standardize.startswith("unit") else design
    alike = None if score.of_weights else feature_scores(score, rows, labels, masks, n_classes=n_classes, arrays=arrays)
    rankings, certificates, models = [], [], []
    points = path(
        rows,
        labels,
        masks,
        n_classes=n_classes,
        ratios=tuple(ratios),
        standardize=standardize.endswith("feature"),
        tol=tol,
        arrays=arrays,
        names=_names_of_sets(len(masks) - 1, len(labels)),
    )
    for done, point in enumerate(points, start=1):
        scores = point_scores(score, point, design.layers) if alike is None else alike
        rankings.append(np.stack([score.rank(s, k) for s in scores]).astype(np.int32))
        models.append(tuple(map(Sparse.of, point.solutions)))
        certificates.append(Certificate.of(point))
        if progress:
            progress(done, len(ratios))
    return Selection(np.stack(rankings), tuple(certificates), tuple(models), design.shape[1])


def rank_features_by_recipe(
    design: Design,
    labels: np.ndarray,
    folds: np.ndarray,
    n_classes: int,
    *,
    lambdas: Sequence[float],
    top: int,
    steps: int,
    seed: int,
    arrays: Arrays,
    score: Score = L21,
    progress: Progress | None = None,
) -> Selection:
    """Rank features by the row norms of heads that the paper's recipe trained (see `paper_recipe`), on unit rows.

    The features are held in memory: batches take whole rows at random. Row sets train one after the other, so that
    memory does not grow with their number. A score that does not look at weights needs no heads, and none are trained.

    Parameters
    ----------
    design, labels, folds, n_classes, top, arrays, score
        See `rank_features`.
    lambdas : sequence of float
        Coefficients of the penalty: absolute, in the place of λ / λ_max.
    steps : int
        Number of updates.
    seed : int
        Seed of the first of `score.runs` runs.
    progress : function, optional
        Called with (row sets done, all row sets).

    Returns
    -------
    Selection
        Without models, and with certificates that say that nothing is certain.

    Raises
    ------
    BadRequest
        The score's offset leaves no feature; see also `train`.
    """
    unit, masks, k = UnitRows.of(design), row_sets(folds), _ranking_length(design, top, score)
    rankings = np.empty((len(lambdas), len(masks), k), np.int32)
    X = unit.columns(np.arange(design.shape[1])).T if score.of_weights else None
    settings = [RecipeSetting(lam) for lam in lambdas]
    for row_set, mask in enumerate(masks):
        if X is None:
            (alike,) = feature_scores(score, unit, labels, mask[None], n_classes=n_classes, arrays=arrays)
            rankings[:, row_set] = score.rank(alike, k)
        else:
            rows, seeds = [np.flatnonzero(mask)], range(seed, seed + score.runs)
            trained = partial(train, X, labels, rows, settings, n_classes=n_classes, steps=steps, arrays=arrays)
            runs = [trained(seed=run).W[0] for run in seeds]
            rankings[:, row_set] = [score.rank(s, k) for s in trained_scores(score, runs, design.layers)]
        if progress:
            progress(row_set + 1, len(masks))
    every = design.shape[1]
    certificates = tuple(Certificate(lam, float("inf"), False, (every,) * len(masks)) for lam in lambdas)
    return Selection(rankings, certificates, (), every)


def _ranking_length(design: Design, top: int, score: Score) -> int:
    """Return how many features a ranking holds. Raise BadRequest if that is none."""
    d = design.shape[1]
    if score.offset >= d:
        raise BadRequest(f"a score's offset of {score.offset} leaves none of {d} features")
    return min(top, d - score.offset)


def row_sets(folds: np.ndarray) -> np.ndarray:
    """Return masks (K + 1, n): the training rows of each fold and, last, all rows, given the fold of every row (n,)."""
    return np.stack([folds != fold for fold in range(int(folds.max()) + 1)] + [np.ones(len(folds), dtype=bool)])


def _names_of_sets(n_folds: int, n: int) -> list[str]:
    """What a message calls the rows of each mask of `row_sets`."""
    return [*(f"the images outside of fold {k} of {n_folds}" for k in range(1, n_folds + 1)), f"all {n} images"]
