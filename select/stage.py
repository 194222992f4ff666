"""Stage two, first half, as a whole: a selection for each target size, computed or recalled."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from head2toe.select.compute.arrays import Arrays
from head2toe.select.options import SelectOptions
from head2toe.select.ranking.rank import rank_features, rank_features_by_recipe
from head2toe.select.ranking.relevance import Score
from head2toe.select.ranking.selection import Certificate, Selection
from head2toe.select.solver.paper_recipe import BATCH, RECIPE_LAMBDAS, RECIPE_STEPS
from head2toe.store.common.errors import DataError
from head2toe.store.common.fingerprint import code_fingerprint, fingerprint
from head2toe.store.console.progress import Progress, progress
from head2toe.store.reading.design_matrix import Design

LAMBDA_RATIOS = tuple(round(10 ** (-i / 5), 4) for i in range(11))
"""λ / λ_max of the exact path, from 1 to .01. Near λ_max the ranking is one by relevance of each feature alone, further
down features compete and redundant ones drop out: which of the two a task needs is for its folds to say."""
TOLERANCE = 1e-2
"""Relative duality gap; a ranking hardly changes below it, nor do the folds' accuracies."""
TOP = 10_000
"""How many features a ranking holds; no head is trained on more."""


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """The labelled images that features are selected on, with their folds.

    Attributes
    ----------
    name : str
        The task's, for the names of files.
    images : sequence of str (n,)
        Content hashes.
    labels : ndarray of int (n,)
        Classes 0 .. n_classes - 1.
    folds : ndarray of int (n,)
        The fold that holds out each image; -1 for an image that always trains.
    n_classes : int
        Number of classes of the task, whether these images have them all or not.
    """

    name: str
    images: Sequence[str]
    labels: np.ndarray
    folds: np.ndarray
    n_classes: int

    def fingerprint(self) -> str:
        """Return a hash of images, labels and folds."""
        return fingerprint([list(self.images), self.labels.tolist(), self.folds.tolist()])


@dataclass(frozen=True, eq=False)
class Selected:
    """A selection for each target size, and the file that each is kept in.

    Attributes
    ----------
    standardize : str
        How features were normalised: see `rank_features`.
    selections : mapping of int to Selection
        By target size.
    files : mapping of int to Path
        By target size.
    recalled : bool
        Whether all of them were read from their files.
    seconds : float
        Wall time of computing or recalling them.
    runs : int
        How often the paper's recipe trained a head for each λ and row set: not at all for a score that does not look at
        weights.
    """

    standardize: str
    selections: Mapping[int, Selection]
    files: Mapping[int, Path]
    recalled: bool
    seconds: float
    runs: int = 1

    @property
    def cost(self) -> float:
        """Seconds that the selections took when they were computed."""
        return sum(selection.seconds for selection in self.selections.values())

    def flops(self, n: int, n_classes: int) -> float:
        """Floating-point operations of the products with all features, for n rows.

        The exact path makes one product for every λ and row set, and one for λ_max; each step of the paper's recipe
        makes two, forward and back. What the inner solver does with a few hundred features is not counted.
        """
        total = 0.0
        for selection in self.selections.values():
            ratios, row_sets, _ = selection.rankings.shape
            rows = (ratios + 1) * n if selection.models else ratios * self.runs * RECIPE_STEPS * 2 * min(BATCH, n)
            total += 2.0 * rows * row_sets * selection.n_features * n_classes
        return total

    def document(self) -> list[dict[str, Any]]:
        """Return it as JSON: an entry for each target size."""
        return [
            {
                "target_size": size,
                "standardize": self.standardize,
                "file": str(self.files[size]),
                "features": selection.n_features,
                "seconds": selection.seconds,
                "path": [_document(certificate) for certificate in selection.certificates],
            }
            for size, selection in self.selections.items()
        ]


def _document(certificate: Certificate) -> dict[str, Any]:
    """Return a certificate as JSON, which knows no infinity: an unknown gap is null."""
    return asdict(certificate) | {"gap": certificate.gap if certificate.gap < float("inf") else None}


def select_features(
    training: TrainingSet,
    designs: Mapping[int, Design],
    stores: Mapping[int, Sequence[str]],
    options: SelectOptions,
    *,
    recipe: str,
    standardize: str,
    seed: int,
    arrays: Arrays,
    where: str = "",
) -> Selected:
    """Rank all features of each design by relevance, for every fold and λ; see `rank_features`.

    Selections are kept in the folder `selections` of `options.output`, under names made of all that they depend on, and
    recalled from there; with `options.fresh` they are computed again all the same.

    Parameters
    ----------
    training : TrainingSet
        The n training images.
    designs : mapping of int to Design
        By target size: their features (n, d).
    stores : mapping of int to sequence of str
        By target size: the keys of the stores that the features come from.
    options : SelectOptions
        By what score features are ranked, and the folder.
    recipe : {"exact", "paper"}
        The path with its certificates, or heads that the paper's optimiser trained.
    standardize : {"none", "unit", "feature", "unit+feature"}
        See `rank_features`; the paper's recipe always takes `unit`.
    seed : int
        Seed of the paper's recipe, and of scores that are random.
    arrays : Arrays
        Where to compute.
    where : str
        Which part of the work this is, for the progress on stderr.

    Returns
    -------
    Selected

    Raises
    ------
    BadRequest, DataError
        See `path`, `train` and `filter_scores`.
    """
    start = time.perf_counter()
    ranking = _Ranking.of(options, recipe, standardize, seed)
    selections, files, recalled = {}, {}, True
    for size, design in designs.items():
        settings = ranking.dependencies(training, stores[size]) | arrays.identity
        files[size] = options.output / "selections" / f"{training.name}-{fingerprint(settings)[:16]}.npz"
        if files[size].is_file() and not options.fresh:
            selections[size] = Selection.load(files[size])
            continue
        recalled = False
        with progress(f"selecting from target size {size}{where}", "λ" if recipe == "exact" else "row set") as report:
            try:
                selections[size] = ranking.compute(design, training, arrays, report)
            except DataError as error:
                raise DataError(f"task {training.name}, target size {size}{where}: {error}") from error
        selections[size].save(files[size], settings)
    used = standardize if recipe == "exact" else "unit"
    runs = ranking.score.runs if ranking.score.of_weights else 0
    return Selected(used, selections, files, recalled, time.perf_counter() - start, runs)


@dataclass(frozen=True)
class _Ranking:
    """How features are ranked: by a function of `rank`, its settings, and a score."""

    function: Callable[..., Selection]
    settings: Mapping[str, Any]
    score: Score

    @classmethod
    def of(cls, options: SelectOptions, recipe: str, standardize: str, seed: int) -> "_Ranking":
        score = Score(
            options.score,
            recipe,
            runs=options.score_runs,
            layer_share=options.score_layer_share,
            offset=options.score_offset,
            seed=seed,
        )
        if recipe == "exact":
            exact = {"ratios": LAMBDA_RATIOS, "tol": TOLERANCE, "standardize": standardize}
            return cls(rank_features, exact, score)
        return cls(rank_features_by_recipe, {"lambdas": RECIPE_LAMBDAS, "steps": RECIPE_STEPS, "seed": seed}, score)

    def dependencies(self, training: TrainingSet, stores: Sequence[str]) -> dict[str, Any]:
        """Return all that a selection depends on, as JSON."""
        return {
            "stores": list(stores),
            "rows": training.fingerprint(),
            "classes": training.n_classes,
            "top": TOP,
            "code": code_fingerprint("select"),
            "score": self.score.description(),
            **self.settings,
        }

    def compute(self, design: Design, training: TrainingSet, arrays: Arrays, report: Progress) -> Selection:
        """Rank the features of a design; the selection says how many seconds that took."""
        start = time.perf_counter()
        selection = self.function(
            design,
            training.labels,
            training.folds,
            training.n_classes,
            **self.settings,
            top=TOP,
            arrays=arrays,
            score=self.score,
            progress=report,
        )
        return replace(selection, seconds=time.perf_counter() - start)
