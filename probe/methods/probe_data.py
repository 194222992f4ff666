"""What methods are tried on: designs, labels, folds, and the selections that features were ranked by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from head2toe.probe.heads.crossval import Labels
from head2toe.probe.options import MEMBERS
from head2toe.select.compute.arrays import Arrays
from head2toe.select.compute.normalize import UnitRows
from head2toe.select.ranking.selection import Selection
from head2toe.store.common.labelled import Labelled
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design_matrix import Design
from head2toe.store.reading.row_mean import RowMean


@dataclass(frozen=True, eq=False)
class ProbeData(Labelled):
    """The features and labels that a method is given, and how its heads are to be trained on them.

    Attributes
    ----------
    designs : dict
        Target size to the design whose first `n_train` rows train and whose others test.
    labels : (n,) int array
        Of all rows.
    folds : (n_train,) int array
        The fold that holds each training row out; -1 for a row that always trains.
    n_classes : int
    arrays : Arrays
        Where to compute.
    exact, by_recipe : dict
        Target size to the selection by the exact path and by the paper's recipe; empty where no method needs them.
    standardize : str
        How features were normalised before the exact path.
    seed : int
        Of random columns, and of heads that start at random.
    head : str
        What is trained on chosen columns: one of `KINDS`.
    members : int
        How many heads `head2toe` averages at most.
    further : dict
        For other normalisations, by name: their exact selections, as `exact`.
    left_out : int
        How many folds train no head of a fold: the fold itself and, to see what fewer rows do, those after it.
    views : dict
        For views of the images beside the whole, by name: their designs, as `designs`. Selections see none of them.
    """

    designs: Mapping[int, Design]
    labels: np.ndarray
    folds: np.ndarray
    n_classes: int
    arrays: Arrays
    exact: Mapping[int, Selection]
    by_recipe: Mapping[int, Selection]
    standardize: str = "feature"
    seed: int = 0
    head: str = "logistic"
    members: int = MEMBERS
    further: Mapping[str, Mapping[int, Selection]] = field(default_factory=dict)
    left_out: int = 1
    views: Mapping[str, Mapping[int, Design]] = field(default_factory=dict)

    @cached_property
    def training(self) -> dict[int, Design]:
        """The designs of the training rows alone."""
        return {size: design.take(np.arange(self.n_train)) for size, design in self.designs.items()}

    def leaving_out(self, n_folds: int) -> "ProbeData":
        """Return these data with so many folds left out of the training of each fold's heads; see `left_out`."""
        others = replace(self, left_out=n_folds)
        vars(others)["training"] = self.training  # the same designs: a GPU holds them once
        if self.views:
            vars(others)["on_means"] = self.on_means.leaving_out(n_folds)
        return others

    @cached_property
    def on_means(self) -> "ProbeData":
        """These data with the mean of each image's views, the whole image among them, in place of the whole image."""
        views = self.views.values()
        means = {size: RowMean([design, *(of[size] for of in views)]) for size, design in self.designs.items()}
        return replace(self, designs=means, views={})

    def layers(self, target_sizes: Sequence[int]) -> LayerIndex:
        """Return the layers of the designs of some target sizes side by side; of several, names begin with the size."""
        parts = [self.designs[size].layers for size in target_sizes]
        return LayerIndex.concat(parts, [f"{size}/" if len(parts) > 1 else "" for size in target_sizes])

    @property
    def variants(self) -> "tuple[ProbeData, ...]":
        """These data as they are, and with each further normalisation in place of their own."""
        others = (replace(self, standardize=name, exact=exact, further={}) for name, exact in self.further.items())
        return (self, *others)

    @cached_property
    def unit_designs(self) -> dict[int, Design]:
        """The designs with every layer of every row at unit norm."""
        return {size: UnitRows.of(design) for size, design in self.designs.items()}

    def as_selected(self, size: int, standardize: str) -> Design:
        """Return a design as the exact path saw it; what is per feature is part of the path's models."""
        return (self.unit_designs if standardize.startswith("unit") else self.designs)[size]

    @cached_property
    def on_device(self) -> Labels:
        """Labels and folds of the training rows, on the device."""
        return Labels.of(self.train_labels, self.folds, self.n_classes, self.arrays, self.left_out)
