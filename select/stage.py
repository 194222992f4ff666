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
from head2toe.store.common.fingerprint import code_fingerprint, fingerprint
from head2toe.store.common.progress import progress
from head2toe.store.reading.design_matrix import DesignMatrix

LAMBDA_RATIOS = tuple(round(10 ** (-i / 5), 4) for i in range(11))
"""λ / λ_max of the exact path, from 1 to .01. Near λ_max the ranking is one by relevance of each feature alone, further
down features compete and redundant ones drop out: which of the two a task needs is for its folds to say."""
TOLERANCE = 1e-2
"""Relative duality gap; a ranking hardly changes below it, nor do the folds' accuracies."""
TOP = 10_000
"""How many features a ranking holds; no head is trained on more."""
RECIPES = ("exact", "paper")


@dataclass(frozen=True, eq=False)
class Selected:
    """A selection for each target size, and the file each is kept in; `standardize` says of which features.

    `runs` is how often the paper's recipe trained a head for each λ and row set: not at all for a score that doesn't
    look at weights.
    """

    standardize: str
    selections: Mapping[int, Selection]
    files: Mapping[int, Path]
    recalled: bool
    seconds: float
    runs: int = 1

    @property
    def cost(self) -> float:
        """Seconds that the selections took when they were made."""
        return sum(selection.seconds for selection in self.selections.values())

    def flops(self, n: int, n_classes: int) -> float:
        """Floating-point operations of the products with all features, for n rows.

        One for every λ and row set and one for λ_max, or forward and back in each step of the paper's recipe. What the
        exact path's inner solves do with a few hundred features is not counted.
        """
        total = 0.0
        for selection in self.selections.values():
            ratios, row_sets, _ = selection.rankings.shape
            rows = (ratios + 1) * n if selection.models else ratios * self.runs * RECIPE_STEPS * 2 * min(BATCH, n)
            total += 2.0 * rows * row_sets * selection.n_features * n_classes
        return total

    def document(self) -> list[dict[str, Any]]:
        """As JSON: an entry for each target size."""
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
    """As JSON, which knows no infinity: no gap is null."""
    return asdict(certificate) | {"gap": certificate.gap if certificate.gap < float("inf") else None}


def select_features(
    name: str,
    designs: Mapping[int, DesignMatrix],
    stores: Mapping[int, Sequence[str]],
    images: Sequence[str],
    labels: np.ndarray,
    folds: np.ndarray,
    n_classes: int,
    *,
    recipe: str,
    standardize: str,
    seed: int,
    folder: Path,
    fresh: bool,
    arrays: Arrays,
    score: SelectOptions,
    where: str = "",
) -> Selected:
    """Rank all features of each design by relevance, for every fold and λ; see `rank_features`.

    Parameters
    ----------
    name : str
        The task's, for the files' names.
    designs : dict
        Target size to the design of the n training rows.
    stores : dict
        Target size to the keys of the design's stores.
    images : sequence of str
        Content hashes of the n training images.
    recipe : {"exact", "paper"}
        The path with its certificates, or heads that the paper's optimiser trained.
    standardize : str
        See `rank_features`; the paper's recipe knows `unit` alone.
    folder : Path
        Where selections are kept, under names made of all they depend on; `fresh` computes them again all the same.
    score : SelectOptions
        By what features are ranked.
    where : str
        Which part of the work this is, for the progress.
    """
    start = time.perf_counter()
    selections, files, recalled = {}, {}, True
    exact = {"ratios": LAMBDA_RATIOS, "tol": TOLERANCE, "standardize": standardize}
    by_recipe = {"lambdas": RECIPE_LAMBDAS, "steps": RECIPE_STEPS, "seed": seed}
    ranked: Callable[..., Selection] = rank_features if recipe == "exact" else rank_features_by_recipe
    how: Mapping[str, Any] = exact if recipe == "exact" else by_recipe
    by = Score(
        score.score,
        recipe,
        runs=score.score_runs,
        layer_share=score.score_layer_share,
        offset=score.score_offset,
        seed=seed,
    )
    for size, design in designs.items():
        settings = {
            "stores": list(stores[size]),
            "rows": fingerprint([list(images), labels.tolist(), folds.tolist()]),
            "classes": n_classes,
            "top": TOP,
            "code": code_fingerprint("select"),
            "score": by.told(),
            **how,
        }
        files[size] = folder / f"{name}-{fingerprint(settings)[:16]}.npz"
        if files[size].is_file() and not fresh:
            selections[size] = Selection.load(files[size])
            continue
        recalled, began = False, time.perf_counter()
        unit = "λ" if recipe == "exact" else "row set"
        with progress(f"selecting from target size {size}{where}", unit) as report:
            selections[size] = ranked(
                design, labels, folds, n_classes, **how, top=TOP, arrays=arrays, score=by, progress=report
            )
        selections[size] = replace(selections[size], seconds=time.perf_counter() - began)
        selections[size].save(files[size], settings)
    return Selected(
        standardize if recipe == "exact" else "unit",
        selections,
        files,
        recalled,
        time.perf_counter() - start,
        runs=by.runs if by.of_weights else 0,
    )
