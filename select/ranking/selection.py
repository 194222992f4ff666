"""What selection leaves behind: for every λ and row set, the best columns in order of relevance. Saved as one file."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from head2toe.select.compute.arrays import Arrays
from head2toe.select.compute.normalize import UnitRows
from head2toe.select.ranking.relevance import Score, feature_scores, point_scores, trained_scores
from head2toe.select.solver.paper_recipe import Setting, train
from head2toe.select.solver.path import path
from head2toe.store.common.cache import read_arrays, write_arrays
from head2toe.store.common.errors import BadRequest
from head2toe.store.common.progress import Progress
from head2toe.store.reading.design_matrix import Design

L21 = Score()


@dataclass(frozen=True)
class Certificate:
    """How exactly one λ was solved: the worst over the row sets.

    Attributes
    ----------
    ratio : float
        λ / λ_max.
    gap : float
        Relative duality gap, an upper bound on the relative suboptimality.
    converged : bool
        Whether the gap came below the tolerance everywhere.
    active : tuple of int
        Number of features with W_j ≠ 0, for each row set.
    stopped : str
        Why the path ended here, if it ended before the last λ asked for (classes that separate, say).
    note : str
        What a user should hear about this λ: see `PathPoint.note`.
    """

    ratio: float
    gap: float
    converged: bool
    active: tuple[int, ...]
    stopped: str = ""
    note: str = ""


@dataclass(frozen=True, eq=False)
class Sparse:
    """A penalised model: the few features with W_j ≠ 0, in the units of the design.

    Attributes
    ----------
    columns : (m,) int64 array, ascending
    coef : (m, classes) float32 array
    intercept : (classes,) float64 array
    """

    columns: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray


@dataclass(frozen=True, eq=False)
class Selection:
    """Features ranked by relevance, for each fold's training rows and, last, for all training rows.

    Attributes
    ----------
    rankings : (λ, row sets, top) int32 array
        The most relevant columns, best first.
    certificates : tuple of Certificate
        One for each λ; those of the paper's recipe say that nothing is certain.
    models : tuple of tuple of Sparse
        The penalised model of every λ and row set; none of the paper's recipe, whose weights are not sparse.
    n_features : int
        Number of columns that were ranked (`rankings` holds the top of them).
    seconds : float
        Wall time that it took when it was made.
    """

    rankings: np.ndarray
    certificates: tuple[Certificate, ...]
    models: tuple[tuple[Sparse, ...], ...]
    n_features: int
    seconds: float = 0.0

    @property
    def ratios(self) -> tuple[float, ...]:
        """λ / λ_max of every ranking."""
        return tuple(c.ratio for c in self.certificates)

    @property
    def ranked_ratios(self) -> tuple[float, ...]:
        """Those with a ranking of their own."""
        return self.ranked_among(self.ratios)

    def ranked_among(self, ratios: Collection[float]) -> tuple[float, ...]:
        """Those of some λ / λ_max that rank unlike each other: scores that don't look at weights rank alike at all."""
        own: dict[bytes, float] = {}
        for ratio, ranking in zip(self.ratios, self.rankings, strict=True):
            if ratio in ratios:
                own.setdefault(ranking.tobytes(), ratio)
        return tuple(own.values())

    def top(self, ratio: float, row_set: int, k: int) -> np.ndarray:
        """The k most relevant columns, ascending; as many as were ranked, if k is more."""
        return np.sort(self.rankings[self.ratios.index(ratio), row_set, :k]).astype(np.int64)

    def save(self, file: Path, settings: dict[str, Any]) -> None:
        """Write the selection and the settings that made it; whole or not at all."""
        header = {
            "settings": settings,
            "n_features": self.n_features,
            "seconds": self.seconds,
            "certificates": [*map(asdict, self.certificates)],
        }
        flat = [model for models in self.models for model in models]
        arrays = {f"{name}_{i}": array for i, model in enumerate(flat) for name, array in vars(model).items()}
        write_arrays(file, header, rankings=self.rankings, **arrays)

    @classmethod
    def load(cls, file: Path) -> "Selection":
        """Read what `save` wrote. Raises DataError for anything else."""
        with read_arrays(file, "a selection", "remove it and select again") as (header, arrays):
            certificates = tuple(Certificate(**c | {"active": tuple(c["active"])}) for c in header["certificates"])
            rankings = arrays.pop("rankings")
            n_sets = rankings.shape[1]
            models = tuple(
                tuple(
                    Sparse(*(arrays[f"{name}_{i * n_sets + k}"] for name in ("columns", "coef", "intercept")))
                    for k in range(n_sets)
                )
                for i in range(len(certificates) if arrays else 0)
            )
            return cls(rankings, certificates, models, header["n_features"], header["seconds"])


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
    labels, folds : (n,) int arrays
        Labels, and the fold each row is held out in.
    ratios : sequence of float
        λ / λ_max, falling.
    top : int
        How many features to keep in the rankings.
    tol : float
        Relative duality gap to reach.
    standardize : {"none", "unit", "feature", "unit+feature"}
        `feature` brings every feature to unit variance over the training rows of the fold; `unit` every layer of every
        example to unit norm (the paper's normalisation).
    score : Score
        By what features are ranked; models are those of the path, whatever it is.

    Raises
    ------
    BadRequest
        The score's offset leaves no feature.
    """
    masks, k = row_sets(folds), _room(design, top, score)
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
    )
    for done, point in enumerate(points, start=1):
        scores = point_scores(score, point, design.layers) if alike is None else alike
        rankings.append(np.stack([score.rank(s, k) for s in scores]).astype(np.int32))
        models.append(tuple(Sparse(s.columns, s.coef.astype(np.float32), s.intercept) for s in point.solutions))
        certificates.append(
            Certificate(
                ratio=point.ratio,
                gap=max(s.gap for s in point.solutions),
                converged=all(s.converged for s in point.solutions),
                active=tuple(len(s.columns) for s in point.solutions),
                stopped=point.stopped,
                note=point.note,
            )
        )
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
    """Rank features by the row norms of heads that the paper's recipe trained (see `recipe`), on unit rows.

    Its λ are absolute, and stand where the exact path has λ / λ_max. The features are held in memory: batches take
    whole rows at random. Row sets train one after the other, so that memory does not grow with their number. A `score`
    that doesn't look at weights needs no heads, and none are trained.
    """
    unit, masks, k = UnitRows.of(design), row_sets(folds), _room(design, top, score)
    rankings = np.empty((len(lambdas), len(masks), k), np.int32)
    X = unit.columns(np.arange(design.shape[1])).T if score.of_weights else None
    for row_set, mask in enumerate(masks):
        if X is None:
            alike = feature_scores(score, unit, labels, mask[None], n_classes=n_classes, arrays=arrays)
            rankings[:, row_set] = score.rank(alike[0], k)
        else:
            runs = [
                train(
                    X,
                    labels,
                    [np.flatnonzero(mask)],
                    [Setting(lam) for lam in lambdas],
                    n_classes=n_classes,
                    steps=steps,
                    seed=run,
                    arrays=arrays,
                ).W[0]
                for run in range(seed, seed + score.runs)
            ]
            rankings[:, row_set] = [score.rank(s, k) for s in trained_scores(score, runs, design.layers)]
        if progress:
            progress(row_set + 1, len(masks))
    every = design.shape[1]
    certificates = tuple(Certificate(lam, float("inf"), False, (every,) * len(masks)) for lam in lambdas)
    return Selection(rankings, certificates, (), every)


def _room(design: Design, top: int, score: Score) -> int:
    """How many features a ranking holds."""
    d = design.shape[1]
    if score.offset >= d:
        raise BadRequest(f"a score's offset of {score.offset} leaves none of {d} features")
    return min(top, d - score.offset)


def row_sets(folds: np.ndarray) -> np.ndarray:
    """(folds + 1, n) masks: the training rows of each fold and, last, all rows."""
    return np.stack([folds != fold for fold in range(int(folds.max()) + 1)] + [np.ones(len(folds), dtype=bool)])
