"""The methods side by side: what each may choose from. How the choice is made is the same for all: see `sweep`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from head2toe.probe.heads.kinds import NearestMean, Trained
from head2toe.probe.heads.scaling import Rows, scaled_rows, standardized_rows, unit_rows
from head2toe.probe.methods.candidates import Candidate, HeadOn, Neighbours, Penalised, Problem
from head2toe.store.common.errors import DataError
from head2toe.store.format.layer_index import LAST_LAYER

KEPT = (100, 300, 1000, 3000, 10_000)
"""How many features a selection keeps: sizes that serve a thousand rows, whatever the backbone has to offer."""
RATIOS_TO_REFIT = (1.0, 0.3981, 0.1585, 0.0398)
"""The λ / λ_max whose rankings are refitted; neighbours on the path rank much alike."""
FRACTIONS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
"""The paper's F, thinned out."""
NEIGHBOURS = (1, 3, 5, 10, 20)
LAMBDAS = (1e-3, 1e-4, 1e-5)
"""Of the penalties that the paper's optimiser trains all features under: its two, and what is between them."""
NORMALIZED: dict[str, Rows] = {"unit": unit_rows, "scale": scaled_rows, "feature": standardized_rows}


@dataclass(frozen=True)
class Method:
    """A method: its candidates, which selections they need (`exact`, `paper`), and whether the best are averaged."""

    candidates: Callable[[Problem], Iterator[Candidate]]
    needs: tuple[str, ...] = field(default=())
    averages: bool = False


def linear(problem: Problem) -> Iterator[Candidate]:
    """The linear probe: all features of the last layer, normalised in the way that the folds prefer."""
    size, columns = last_layer(problem)
    for normalize, rows in NORMALIZED.items():
        yield head_on_all(problem, size, columns, rows, {"normalize": normalize})


def layerwise(problem: Problem) -> Iterator[Candidate]:
    """The best single layer."""
    for size, design in problem.designs.items():
        for name in design.layers.names:
            span = design.layers.columns(name)
            columns = np.arange(span.start, span.stop)
            yield head_on_all(problem, size, columns, standardized_rows, {"target_size": size, "layer": name})


def all_l2(problem: Problem) -> Iterator[Candidate]:
    """All features of all layers, no selection."""
    for size, design in problem.designs.items():
        yield head_on_all(problem, size, np.arange(design.shape[1]), standardized_rows, {"target_size": size})


def all_l1(problem: Problem) -> Iterator[Candidate]:
    """All features of all layers under an l1 penalty, by the paper's optimiser."""
    yield from all_by_recipe(problem, "l1")


def all_l21(problem: Problem) -> Iterator[Candidate]:
    """The same with the group penalty: the model by whose weights the paper selects, as the classifier itself."""
    yield from all_by_recipe(problem, "l21")


def random(problem: Problem) -> Iterator[Candidate]:
    """Columns drawn at random: what a selection must beat."""
    for size, design in problem.designs.items():
        order = np.random.default_rng(problem.seed).permutation(design.shape[1])
        for kept in KEPT:
            columns = np.sort(order[:kept])
            settings = {"target_size": size, "features": len(columns)}
            yield head_on_all(problem, size, columns, standardized_rows, settings)


def l21(problem: Problem) -> Iterator[Candidate]:
    """The exact group lasso as the classifier itself; λ by the folds."""
    for size, selection in problem.exact.items():
        for ratio in selection.ratios:
            yield Penalised({"target_size": size, "lambda_ratio": ratio}, size, ratio, selection, problem.standardize)


def head2toe(problem: Problem) -> Iterator[Candidate]:
    """Select by the exact group lasso on standardised features, then refit; the folds say how much of it helps.

    Rankings near λ_max judge every feature for itself, those further down drop what is redundant. The penalised model
    as it is and the last layer alone are candidates, too, and so is the average of the best two to four of them all.
    """
    rows = unit_rows if problem.standardize == "unit" else standardized_rows
    for size, selection in problem.exact.items():
        for ratio in selection.ranked_among(RATIOS_TO_REFIT):
            for kept in KEPT:
                if kept == KEPT[0] or kept <= selection.n_features:
                    settings = {"target_size": size, "lambda_ratio": ratio, "features": kept}
                    yield head_on_top(problem, selection, size, ratio, kept, rows, settings)
    yield from l21(problem)
    size, columns = last_layer(problem)
    yield head_on_all(problem, size, columns, standardized_rows, {"layer": LAST_LAYER})


def head2toe_paper(problem: Problem) -> Iterator[Candidate]:
    """The paper's method: scores by its optimiser, the top fraction F of all features at unit norm, a fresh head.

    The largest fraction is as much as a ranking holds, if that is less.
    """
    for size, selection in problem.by_recipe.items():
        ranked = selection.rankings.shape[-1]
        most = ranked / selection.n_features
        for lam in selection.ranked_ratios:
            for fraction in dict.fromkeys(min(fraction, most) for fraction in FRACTIONS):
                kept = ranked if fraction == most else max(1, int(fraction * selection.n_features))
                settings = {"target_size": size, "lambda": lam, "fraction": fraction}
                yield head_on_top(problem, selection, size, lam, kept, unit_rows, settings)


def knn(problem: Problem) -> Iterator[Candidate]:
    """The nearest training rows in the last layer, by cosine; no training at all."""
    size, columns = last_layer(problem)
    for neighbours in NEIGHBOURS:
        yield Neighbours({"neighbours": neighbours}, size, columns, neighbours)


def ncm(problem: Problem) -> Iterator[Candidate]:
    """The nearest class mean in the last layer, normalised in the way that the folds prefer."""
    size, columns = last_layer(problem)
    for normalize, rows in NORMALIZED.items():
        yield replace(head_on_all(problem, size, columns, rows, {"normalize": normalize}), kind=NearestMean())


METHODS: dict[str, Method] = {
    "linear": Method(linear),
    "knn": Method(knn),
    "ncm": Method(ncm),
    "layerwise": Method(layerwise),
    "random": Method(random),
    "all-l2": Method(all_l2),
    "all-l1": Method(all_l1),
    "all-l21": Method(all_l21),
    "l21": Method(l21, ("exact",)),
    "head2toe": Method(head2toe, ("exact",), averages=True),
    "head2toe-paper": Method(head2toe_paper, ("paper",)),
}


def last_layer(problem: Problem) -> tuple[int, np.ndarray]:
    """The first target size, and the columns of the last layer of every backbone there."""
    size, design = next(iter(problem.designs.items()))
    names = [name for name in design.layers.names if name.rpartition("/")[2] == LAST_LAYER]
    if not names:
        raise DataError(f"the store has no layer {LAST_LAYER!r}, which the linear probe reads: add it to --taps")
    spans = [design.layers.columns(name) for name in names]
    return size, np.concatenate([np.arange(span.start, span.stop) for span in spans])


def head_on_all(problem: Problem, size: int, columns: np.ndarray, rows: Rows, settings: Mapping[str, Any]) -> HeadOn:
    """A head on the same columns in every fold."""
    return HeadOn(settings, size, [columns] * problem.n_folds, columns, rows)


def all_by_recipe(problem: Problem, penalty: str) -> Iterator[HeadOn]:
    """All features at unit norm, the weights trained by the paper's recipe; λ by the folds."""
    kind = Trained("adam", penalty, LAMBDAS, learning_rates=(0.01,), seed=problem.seed)
    for size, design in problem.designs.items():
        yield replace(
            head_on_all(problem, size, np.arange(design.shape[1]), unit_rows, {"target_size": size}), kind=kind
        )


def head_on_top(
    problem: Problem, selection: Any, size: int, ratio: float, kept: int, rows: Rows, settings: Mapping[str, Any]
) -> HeadOn:
    """A head on the top columns of a ranking, each fold's by its own."""
    of_folds: Sequence[np.ndarray] = [selection.top(ratio, fold, kept) for fold in range(problem.n_folds)]
    return HeadOn(settings, size, of_folds, selection.top(ratio, problem.n_folds, kept), rows)
