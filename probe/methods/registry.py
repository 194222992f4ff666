"""The methods side by side: what each may choose from. How the choice is made is the same for all: see `sweep`.

A further method is a function from `ProbeData` to its candidates, an entry in `METHODS`, and its name in `METHODS` of
options.py.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from head2toe.probe import options
from head2toe.probe.heads.kinds import ExactHeads, NearestMean, RecipeHead
from head2toe.probe.heads.scaling import Columns, Scaling, scaled_rows, standardized_rows, unit_rows
from head2toe.probe.methods.candidates import Candidate, HeadOnColumns, NearestNeighbours, PenalisedModel
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.probe.metrics.two_sample import sides
from head2toe.select.ranking.selection import Selection
from head2toe.store.common.errors import DataError
from head2toe.store.format.layer_index import LAST_LAYER
from head2toe.store.reading.design_matrix import Design

MOST_COLUMNS = 256
"""Of the last layer, every so many-th: enough to tell whether training and test images are drawn alike."""

KEPT = (100, 300, 1000, 3000, 10_000)
"""How many features a selection keeps: sizes that serve a thousand rows, whatever the backbone has to offer."""
RATIOS_TO_REFIT = (1.0, 0.3981, 0.1585, 0.0398)
"""The λ / λ_max whose rankings are refitted; neighbours on the path rank much alike."""
FRACTIONS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
"""The paper's F, thinned out."""
NEIGHBOURS = (1, 3, 5, 10, 20)
"""How many neighbours have a vote."""
LAMBDAS = (1e-3, 1e-4, 1e-5)
"""Strengths of the penalty under which the paper's optimiser trains all features: its two, and one between them."""
SCALINGS: dict[str, Scaling] = {"unit": unit_rows, "scale": scaled_rows, "feature": standardized_rows}
"""The setting `normalize` to how columns are read."""


@dataclass(frozen=True)
class Method:
    """A method, such as `head2toe`.

    Attributes
    ----------
    candidates : callable
        The data to the candidates that it chooses from.
    needs : tuple of str
        Which selections these read: `exact`, `paper` or none.
    averages : bool
        Whether heads of several candidates are averaged.
    """

    candidates: Callable[[ProbeData], Iterator[Candidate]]
    needs: tuple[str, ...] = ()
    averages: bool = False


def linear(data: ProbeData) -> Iterator[Candidate]:
    """Try all features of the last layer, normalised in the way that the folds prefer: the linear probe."""
    size, columns = last_layer(data)
    for name, scaling in SCALINGS.items():
        yield head_on(data, size, columns, scaling, {"normalize": name})


def layerwise(data: ProbeData) -> Iterator[Candidate]:
    """Try every layer alone."""
    for size, design in data.designs.items():
        for name in design.layers.names:
            span = design.layers.columns(name)
            columns = np.arange(span.start, span.stop)
            yield head_on(data, size, columns, standardized_rows, {"target_size": size, "layer": name})


def all_l2(data: ProbeData) -> Iterator[Candidate]:
    """Try all features of all layers, without a selection."""
    for size, design in data.designs.items():
        yield head_on(data, size, np.arange(design.shape[1]), standardized_rows, {"target_size": size})


def all_l1(data: ProbeData) -> Iterator[Candidate]:
    """Try all features of all layers under an l1 penalty, by the paper's optimiser."""
    yield from all_by_recipe(data, "l1")


def all_l21(data: ProbeData) -> Iterator[Candidate]:
    """Try the same with the group penalty: the model by whose weights the paper selects, as the classifier itself."""
    yield from all_by_recipe(data, "l21")


def random(data: ProbeData) -> Iterator[Candidate]:
    """Try columns drawn at random: what a selection must beat."""
    for size, design in data.designs.items():
        order = np.random.default_rng(data.seed).permutation(design.shape[1])
        for kept in KEPT:
            columns = np.sort(order[:kept])
            yield head_on(data, size, columns, standardized_rows, {"target_size": size, "features": len(columns)})


def l21(data: ProbeData) -> Iterator[Candidate]:
    """Try the exact group lasso as the classifier itself, at every λ of the path."""
    for size, selection in data.exact.items():
        for ratio in selection.ratios:
            settings = {"target_size": size, "lambda_ratio": ratio}
            yield PenalisedModel(settings, size, ratio, selection, data.standardize)


def head2toe(data: ProbeData) -> Iterator[Candidate]:
    """Select by the exact group lasso on standardised features, then refit; the folds say how much of it helps.

    Rankings near λ_max judge every feature for itself, those further down drop what is redundant. The penalised model
    as it is and the last layer alone are candidates, too, and every other layer alone where heads are averaged: next to
    others, a layer that is not the best by itself may have its say. There, logistic and ridge heads are trained.
    """
    averaging = data.members > 1
    for candidate in selections(data, averaging):
        kind = ExactHeads() if averaging and data.head == "logistic" else None
        yield replace(candidate, kind=kind) if isinstance(candidate, HeadOnColumns) else candidate


def selections(data: ProbeData, with_layers: bool) -> Iterator[Candidate]:
    """List the candidates of `head2toe` as they are, every layer alone among them or the last layer only."""
    scaling = unit_rows if data.standardize == "unit" else standardized_rows
    for size, selection in data.exact.items():
        for ratio in selection.ranked_among(RATIOS_TO_REFIT):
            for kept in KEPT:
                if kept == KEPT[0] or kept <= selection.n_features:
                    settings = {"target_size": size, "lambda_ratio": ratio, "features": kept}
                    yield head_on_top(data, selection, size, ratio, kept, scaling, settings)
    yield from l21(data)
    if with_layers:
        yield from layerwise(data)
    else:
        size, columns = last_layer(data)
        yield head_on(data, size, columns, standardized_rows, {"layer": LAST_LAYER})


def head2toe_paper(data: ProbeData) -> Iterator[Candidate]:
    """Select the top fraction F of all features by the paper's optimiser, at unit norm, then train a fresh head.

    This is the method of Evci et al. (2022). The largest fraction is as much as a ranking holds, if that is less.
    """
    for size, selection in data.by_recipe.items():
        ranked = selection.rankings.shape[-1]
        most = ranked / selection.n_features
        for lam in selection.ranked_ratios:
            for fraction in dict.fromkeys(min(fraction, most) for fraction in FRACTIONS):
                kept = ranked if fraction == most else max(1, int(fraction * selection.n_features))
                settings = {"target_size": size, "lambda": lam, "fraction": fraction}
                yield head_on_top(data, selection, size, lam, kept, unit_rows, settings)


def knn(data: ProbeData) -> Iterator[Candidate]:
    """Try the votes of the nearest training rows in the last layer, by cosine; nothing is trained."""
    size, columns = last_layer(data)
    for neighbours in NEIGHBOURS:
        yield NearestNeighbours({"neighbours": neighbours}, size, columns, neighbours)


def ncm(data: ProbeData) -> Iterator[Candidate]:
    """Try the nearest class mean in the last layer, normalised in the way that the folds prefer."""
    size, columns = last_layer(data)
    for name, scaling in SCALINGS.items():
        yield replace(head_on(data, size, columns, scaling, {"normalize": name}), kind=NearestMean())


def last_layer(data: ProbeData) -> tuple[int, Columns]:
    """Find the first target size, and the columns of the last layer of every backbone there.

    Raises
    ------
    DataError
        The store has no such layer.
    """
    size, design = next(iter(data.designs.items()))
    names = _last_layers(design)
    if not names:
        raise DataError(f"the store has no layer {LAST_LAYER!r}, which the linear probe reads: add it to --taps")
    spans = [design.layers.columns(name) for name in names]
    return size, np.concatenate([np.arange(span.start, span.stop) for span in spans])


def _last_layers(design: Design) -> list[str]:
    """List the last layer of every backbone whose features a design has."""
    return [name for name in design.layers.names if name.rpartition("/")[2] == LAST_LAYER]


def split_notes(data: ProbeData) -> list[str]:
    """Note that training and test images aren't drawn alike, where the last layer says so; see `sides`."""
    if not len(data.test_labels) or not _last_layers(next(iter(data.designs.values()))):
        return []
    size, columns = last_layer(data)
    columns = columns[:: -(-len(columns) // MOST_COLUMNS)]
    found = sides(data.designs[size].columns(columns).T, data.labels, data.n_train, data.seed)
    return [found.note] if found is not None and found.note else []


def head_on(
    data: ProbeData, size: int, columns: Columns, scaling: Scaling, settings: Mapping[str, Any]
) -> HeadOnColumns:
    """Make the candidate of a head on the same columns in every fold."""
    return HeadOnColumns(settings, size, [columns] * data.n_folds, columns, scaling)


def head_on_top(
    data: ProbeData,
    selection: Selection,
    size: int,
    ratio: float,
    kept: int,
    scaling: Scaling,
    settings: Mapping[str, Any],
) -> HeadOnColumns:
    """Make the candidate of a head on the top `kept` columns of a ranking, each fold's by its own."""
    fold_columns = [selection.top(ratio, fold, kept) for fold in range(data.n_folds)]
    return HeadOnColumns(settings, size, fold_columns, selection.top(ratio, data.n_folds, kept), scaling)


def all_by_recipe(data: ProbeData, penalty: str) -> Iterator[HeadOnColumns]:
    """Make the candidates of all features at unit norm, the weights trained by the paper's recipe; λ by the folds."""
    kind = RecipeHead("adam", penalty, LAMBDAS, learning_rates=(0.01,), seed=data.seed)
    for size, design in data.designs.items():
        candidate = head_on(data, size, np.arange(design.shape[1]), unit_rows, {"target_size": size})
        yield replace(candidate, kind=kind)


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
"""Name to method: what `--methods` offers, but for those that train the whole backbone."""

options.require_same_names("method", options.METHODS, METHODS, "METHODS of probe/methods/registry.py")
