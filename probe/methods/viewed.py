"""Heads on several views of every image: trained on all of them, judged by the mean of what they predict.

Whether views help is for the folds to say (a flip harms directions, a crop harms locations): each of the candidates
that do best without them stands in the grid with them, too. Where heads are averaged, every head on columns stands
there once more, on the mean of each image's views.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from head2toe.probe.heads.crossval import Labels, cross_validate
from head2toe.probe.heads.kinds import STRENGTHS, ExactHeads, Logistic
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.probe.heads.refit import Refit, refit
from head2toe.probe.heads.scaling import Columns, unit_rows
from head2toe.probe.methods.candidates import Candidate, Choice, HeadOnColumns
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.store.reading.design_matrix import Design
from head2toe.store.reading.row_stack import RowStack
from scipy.special import log_softmax

MOST_CANDIDATES = 2
"""How many of a method's candidates are tried with all views, too, the best first: K views of an image cost K to K²
times what one does."""

AS_PUBLISHED = ("all-l1", "all-l21", "head2toe-paper")
"""The methods that stay what the paper describes, which knows no views."""

MEAN_OF_VIEWS = "mean_of_views"
"""The setting that names the views whose mean a head reads."""

MOST_COLUMNS = 10_000
"""Heads on more columns are not tried with views."""


@dataclass(frozen=True, eq=False)
class HeadOnViews:
    """A head on chosen columns of several views of every image.

    It is trained on all views of the training rows, each of the K with the weight 1 / K, and predicts the mean of the
    log-probabilities over the views of an image, normalised. As log-probabilities are linear in the features but for a
    term that all classes share, that is what the same linear model predicts for the mean of the views' scaled features:
    what is trained remains one linear model, and predicts single views as well.

    Attributes
    ----------
    base : HeadOnColumns
        The same head on the whole images alone.
    views : tuple of str
        The views' names, without `plain`.
    strength : float, optional
        The C that suits the head without views: with them a logistic head has that, or the next larger one. Without
        it, all are tried, as of the other kinds of heads.
    """

    base: HeadOnColumns
    views: tuple[str, ...]
    strength: float | None = None

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings of the head without views, and the views."""
        return {**self.base.settings, "views": "+".join(self.views)}

    @property
    def target_sizes(self) -> tuple[int, ...]:
        """The one target size of the designs that it reads."""
        return self.base.target_sizes

    @property
    def columns(self) -> Columns:
        """Columns that the refit reads, (k,) int64, ascending."""
        return self.base.columns

    @property
    def n_views(self) -> int:
        """Number of views of an image, the plain one included (K)."""
        return 1 + len(self.views)

    def cross_validate(self, data: ProbeData) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """Train heads of every setting on every fold, which holds an image out with all its views; see `Candidate`."""
        design = RowStack([part.take(np.arange(data.n_train)) for part in self._designs(data)])
        kind, args = self.base.kind_of(data), (self._labels(data), self.base.scaling, data.arrays)
        tried: Iterator[tuple[Mapping[str, Any], np.ndarray]]
        if isinstance(kind, (Logistic, ExactHeads)) and self.strength is not None:
            wanted = from_here(self.strength)
            # At the tolerance of the folds a head is as good as its way over weaker ones, as it is without views.
            path = [C for C in sorted(STRENGTHS) if wanted[0] > C] + wanted
            labels, scaling, arrays = args
            of_rows = [C / self.n_views for C in path]
            heads = cross_validate(design, self.base.fold_columns, labels, of_rows, scaling, arrays)
            tried = (({"C": C}, logp) for C, (_, logp) in zip(path, heads, strict=True) if C in wanted)
        else:
            tried = kind.cross_validate(design, self.base.fold_columns, *args)
            tried = ((_times(head, self.n_views), logp) for head, logp in tried)
        for head, logp in tried:
            yield dict(head), mean_over_views(logp, self.n_views)

    def refit(self, data: ProbeData, head: Mapping[str, Any]) -> tuple[np.ndarray, LinearModel | None]:
        """Train the head on all views of the training rows; see `Choice`."""
        trained = self.trained(data, head)
        return trained.log_probabilities, trained.model

    def trained(self, data: ProbeData, head: Mapping[str, Any]) -> Refit:
        """Do the same; the weights are those of the scaled features of single views."""
        design = self.all_rows(data)
        fit = self.base.kind_of(data).fit(_times(head, 1 / self.n_views))
        scaling, sizes = self.base.scaling, self.target_sizes
        trained = refit(design, self.columns, self._labels(data), fit, scaling, data.arrays, sizes)
        logp = mean_over_views(trained.log_probabilities, self.n_views)
        return replace(trained, log_probabilities=logp).on_views(self.views)

    def all_rows(self, data: ProbeData) -> RowStack:
        """Put the training rows in every view, view after view, before the test rows in every view."""
        designs, n = self._designs(data), data.n_train
        rows = [np.arange(n), np.arange(n, len(data.labels))]
        return RowStack([part.take(of_split) for of_split in rows for part in designs])

    def _designs(self, data: ProbeData) -> list[Design]:
        """The designs of all rows, of the whole images and of each view."""
        size = self.base.target_size
        return [data.designs[size], *(data.views[view][size] for view in self.views)]

    def _labels(self, data: ProbeData) -> Labels:
        """Labels and folds of the training rows in every view, view after view."""
        labels, folds = (np.tile(values, self.n_views) for values in (data.train_labels, data.folds))
        return Labels.of(labels, folds, data.n_classes, data.arrays, data.left_out)


def mean_over_views(log_probabilities: np.ndarray, n_views: int) -> np.ndarray:
    """Average predictions over the views of every image.

    Parameters
    ----------
    log_probabilities : (n_views * n, classes) float array
        Of n images, view after view, in nats.
    n_views : int

    Returns
    -------
    (n, classes) array of the same dtype
        The mean of the log-probabilities, normalised: a geometric mean of the probabilities.
    """
    by_view = log_probabilities.reshape(n_views, -1, log_probabilities.shape[-1])
    return np.asarray(log_softmax(by_view.mean(axis=0), axis=1))


def from_here(strength: float) -> list[float]:
    """Return a C and the next larger one of `STRENGTHS`: with more views a head needs less of a penalty, not more."""
    return [strength, *[C for C in sorted(STRENGTHS) if strength < C][:1]]


def with_views(ranked: Iterable[tuple[Choice, Mapping[str, Any]]], data: ProbeData) -> list[HeadOnViews]:
    """Make the candidates with views: the best heads on all views, and the very best on each kind of views alone.

    Parameters
    ----------
    ranked : iterable of (Choice, dict)
        What was tried, the best first; a head on columns alone is tried with views, at its best settings.
    data : ProbeData
        With the views that there are.
    """
    usual: dict[int, tuple[HeadOnColumns, float | None]] = {}
    for choice, head in ranked:
        if not isinstance(choice, HeadOnColumns) or choice.views or len(choice.columns) > MOST_COLUMNS:
            continue
        if not (isinstance(choice.kind, ExactHeads) and "head" in head):  # of both kinds, the logistic heads
            usual.setdefault(id(choice), (choice, head.get("C")))
    heads = list(usual.values())[:MOST_CANDIDATES]
    every, *kinds = view_sets(tuple(data.views)) or [()]
    if not every or not heads:
        return []
    best, strength = heads[0]
    return [
        *(HeadOnViews(head, every, C) for head, C in heads),
        *(HeadOnViews(best, views, strength) for views in kinds),
    ]


def on_means(grid: Iterable[Candidate], data: ProbeData) -> list[HeadOnColumns]:
    """Make the same heads on the mean of each image's views, the whole image among them; none where there are no views.

    They cost what heads on the whole images do. For a linear head the mean of the views' features is worth the mean of
    its scores: what predicts one view after the other can use it. That isn't so at unit norm, where there are none.

    Parameters
    ----------
    grid : iterable of Candidate
        Those that are heads on columns have such a twin.
    data : ProbeData
        With the views that there are.
    """
    views = tuple(data.views)
    heads = [one for one in grid if isinstance(one, HeadOnColumns) and one.scaling is not unit_rows]
    named = {MEAN_OF_VIEWS: "+".join(views)}
    return [replace(head, settings={**head.settings, **named}, views=views) for head in heads] if views else []


def view_sets(views: Sequence[str]) -> list[tuple[str, ...]]:
    """List which views are tried together: all of them and, where there are several kinds, each kind alone."""
    kinds: dict[str, list[str]] = {}
    for view in views:
        kinds.setdefault(view.partition("#")[0], []).append(view)
    return list(dict.fromkeys(map(tuple, [views, *kinds.values()]))) if views else []


def _times(head: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Settings of a head with its C, if it has one, times a factor.

    C weighs the sum of the rows' losses against the penalty: rows of weight 1 at C are rows of weight 1 / K at K C.
    """
    return {**head, "C": head["C"] * factor} if "C" in head else dict(head)
