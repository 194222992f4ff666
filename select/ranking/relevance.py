"""Every score of a feature's relevance behind one function, for all row sets at once."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from head2toe.select.compute.arrays import Arrays
from head2toe.select.options import BY_CHANCE, OF_WEIGHTS, RECIPES, SCORES
from head2toe.select.ranking.feature_scores import filter_scores
from head2toe.select.ranking.weight_scores import NORMS, rank, toward_layer_mean, weight_scores
from head2toe.select.solver.paper_recipe import RecipeSetting, train
from head2toe.select.solver.path import PathPoint, path
from head2toe.store.common.errors import BadRequest
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design_matrix import Design


@dataclass(frozen=True)
class Score:
    """A score of relevance, with all that its computation depends on.

    Attributes
    ----------
    name : {"l21", "l1", "linf", "layer", "variance", "f_classif", "mutual_info", "random", "trees"}
        The first four score the weights of a head, the others features by themselves (see `filter_scores`).
    recipe : {"exact", "paper"}
        Where weights come from: `path`, on standardised features, or `paper_recipe.train`, on features as they are.
    ratio, n_ratios, tol : float, int, float
        For exact weights: λ / λ_max, the number of λ on the way there, and the relative duality gap.
    lam, learning_rate, steps, optimizer : float, float, int, str
        For the weights of the paper's recipe.
    runs : int
        Number of runs with different seeds of whose scores the mean is taken. (Exact weights are not random: one run.)
    layer_share : float
        Interpolation toward the mean of each feature's layer, 0 to 1.
    offset : int
        How many of the best features a ranking leaves out.
    seed : int
        Seed of the first run.

    Raises
    ------
    BadRequest
        There is no such score or recipe, or a number is out of its range.
    """

    name: str = "l21"
    recipe: str = "exact"
    ratio: float = 0.05
    n_ratios: int = 8
    tol: float = 1e-2
    lam: float = 1e-3
    learning_rate: float = 0.01
    steps: int = 500
    optimizer: str = "adam"
    runs: int = 1
    layer_share: float = 0.0
    offset: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.name not in SCORES:
            raise BadRequest(f"no score {self.name!r}: there are {', '.join(SCORES)}")
        if self.recipe not in RECIPES:
            raise BadRequest(f"no recipe {self.recipe!r} for weights: there are {', '.join(RECIPES)}")
        if self.runs < 1 or self.n_ratios < 1:
            raise BadRequest(f"a score takes at least one run and one λ, not {self.runs} and {self.n_ratios}")
        if not 0 < self.ratio <= 1:
            raise BadRequest(f"λ / λ_max is above 0 and at most 1, not {self.ratio}")

    @property
    def of_weights(self) -> bool:
        """Whether it scores the weights of a head, which depend on λ."""
        return self.name in OF_WEIGHTS

    def description(self) -> dict[str, Any]:
        """Return all of it that a ranking of given weights or features depends on, as JSON."""
        by_chance = self.name in BY_CHANCE or (self.recipe == "paper" and self.of_weights)
        chance = {"runs": self.runs, "seed": self.seed} if by_chance else {}
        return {"name": self.name, "layer_share": self.layer_share, "offset": self.offset, **chance}

    def rank(self, scores: np.ndarray, k: int) -> np.ndarray:
        """Return the k best columns after the offset, best first (int64), of the scores (d,) of one row set."""
        return rank(scores, k, offset=self.offset)


L21 = Score()
"""The paper's score, ||W_j||₂ of the exact solution."""


def feature_scores(
    score: Score, design: Design, y: np.ndarray, masks: np.ndarray, *, n_classes: int, arrays: Arrays
) -> np.ndarray:
    """Score every feature on every row set; larger is better.

    Parameters
    ----------
    score : Score
        What to compute.
    design : Design
        n rows, d features, normalised as wanted. The paper's recipe and "trees" hold it in memory.
    y : ndarray of int (n,)
        Classes 0 .. n_classes - 1.
    masks : ndarray of bool (K, n)
        The training rows of every set: nothing else is looked at.
    n_classes : int
        C.
    arrays : Arrays
        Where to compute heads.

    Returns
    -------
    ndarray of float32 (K, d)

    Raises
    ------
    BadRequest, DataError
        See `path`, `paper_recipe.train` and `filter_scores`.
    """
    if not score.of_weights:
        return _scores_of_features(score, design, y, masks)
    if score.recipe == "paper":
        return _scores_of_recipe(score, design, y, masks, n_classes, arrays)
    return _scores_of_path(score, design, y, masks, n_classes, arrays)


def point_scores(score: Score, point: PathPoint, layers: LayerIndex) -> np.ndarray:
    """Return scores (K, d) float32 of the weights of all K row sets at one λ of the exact path."""
    scores = np.stack([_solution_scores(score.name, point, k, layers) for k in range(len(point.solutions))])
    return _interpolated(score, scores, layers)


def trained_scores(score: Score, runs: Sequence[np.ndarray], layers: LayerIndex) -> np.ndarray:
    """Return scores (K, d) float32: the mean over runs of the paper's recipe, each with weights (K, d, C)."""
    mean = np.mean([[weight_scores(score.name, W, layers) for W in run] for run in runs], axis=0, dtype=np.float64)
    return _interpolated(score, np.asarray(mean), layers)


def _interpolated(score: Score, scores: np.ndarray, layers: LayerIndex) -> np.ndarray:
    """Return scores (K, d) as float32, moved toward the means of their layers by `layer_share`."""
    if score.layer_share:
        scores = np.stack([toward_layer_mean(s, layers, score.layer_share) for s in scores])
    return scores.astype(np.float32, copy=False)


def _scores_of_features(score: Score, design: Design, y: np.ndarray, masks: np.ndarray) -> np.ndarray:
    seeds = range(score.seed, score.seed + (score.runs if score.name in BY_CHANCE else 1))
    runs = [[filter_scores(score.name, design, y, np.flatnonzero(mask), seed=seed) for mask in masks] for seed in seeds]
    return _interpolated(score, np.asarray(np.mean(runs, axis=0, dtype=np.float64)), design.layers)


def _scores_of_recipe(
    score: Score, design: Design, y: np.ndarray, masks: np.ndarray, n_classes: int, arrays: Arrays
) -> np.ndarray:
    X = design.columns(np.arange(design.shape[1])).T
    runs = [
        train(
            X,
            y,
            [np.flatnonzero(mask) for mask in masks],
            [RecipeSetting(score.lam, score.learning_rate)],
            n_classes=n_classes,
            steps=score.steps,
            seed=seed,
            arrays=arrays,
            optimizer=score.optimizer,
        ).W[:, 0]
        for seed in range(score.seed, score.seed + score.runs)
    ]
    return trained_scores(score, runs, design.layers)


def _scores_of_path(
    score: Score, design: Design, y: np.ndarray, masks: np.ndarray, n_classes: int, arrays: Arrays
) -> np.ndarray:
    ratios = np.geomspace(1.0, score.ratio, score.n_ratios) if score.n_ratios > 1 else np.array([score.ratio])
    points = path(design, y, masks, n_classes=n_classes, ratios=ratios, standardize=True, tol=score.tol, arrays=arrays)
    return point_scores(score, deque(points, maxlen=1).pop(), design.layers)


def _solution_scores(name: str, point: PathPoint, k: int, layers: LayerIndex) -> np.ndarray:
    """Scores (d,) of the exact weights of row set k in standardised units; features without weight follow by dual norm.

    The mean of a layer counts weights alone.
    """
    if name == "l21":
        return np.asarray(point.scores[k])
    scores, solution = np.asarray(point.scores[k], np.float64), point.solutions[k]
    length = scores[solution.columns] - 1  # ||W_j||₂ standardised; `coef` has the units of the design
    if name == "layer":
        scores[:] = 0
        scores[solution.columns] = length
        return toward_layer_mean(scores, layers, 1.0)
    relative = NORMS[name](solution.coef) / np.maximum(NORMS["l21"](solution.coef), 1e-300)
    scores[solution.columns] = 1 + length * relative
    return scores
