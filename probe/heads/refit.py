"""The refit of a head on all training rows, with what its settings were chosen to be."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import array_api_compat
import numpy as np
from head2toe.probe.heads.crossval import Labels, Weights
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.probe.heads.scaling import Columns, Scaled, Scaling
from head2toe.select.compute.arrays import Array, Arrays, to_numpy_at_once
from head2toe.store.reading.design_matrix import Design
from scipy.special import log_softmax

Fit = Callable[[Array, Array, Array, Arrays], Weights]
"""(values (k, n), train (n,) bool, Y (n, classes) one-hot, arrays) to a head trained on the training rows alone."""
FitAll = Callable[[Array, Array, Array, Arrays], Sequence[Weights]]
"""The same to several heads, of different settings."""


@dataclass(frozen=True, eq=False)
class Refit:
    """A head trained on all training rows.

    Attributes
    ----------
    log_probabilities : (m, classes) float64 array
        Of the m rows that did not train it.
    model : LinearModel
    weights : Weights
        What was trained, on the host and as exactly as it was: the model has it in float32.
    """

    log_probabilities: np.ndarray
    model: LinearModel
    weights: Weights

    def on_views(self, views: tuple[str, ...]) -> "Refit":
        """Return the same head with a model that says on which views it was trained."""
        return replace(self, model=replace(self.model, views=views))


def refit(
    design: Design,
    columns: Columns,
    labels: Labels,
    fit: Fit,
    scaling: Scaling,
    arrays: Arrays,
    target_sizes: tuple[int, ...] = (),
) -> Refit:
    """Train a head on the first n rows of the design, those of `labels`; predict the m others. See `refit_all`."""
    (trained,) = refit_all(design, columns, labels, lambda *rows: [fit(*rows)], scaling, arrays, target_sizes)
    return trained


def refit_all(
    design: Design,
    columns: Columns,
    labels: Labels,
    fit_all: FitAll,
    scaling: Scaling,
    arrays: Arrays,
    target_sizes: tuple[int, ...] = (),
) -> list[Refit]:
    """Train several heads on the first n rows of the design, those of `labels`; predict the m others.

    Parameters
    ----------
    fit_all : callable
        How the heads are trained: see `FitAll`.
    design, columns, labels, scaling, arrays, target_sizes
        As of `RefitRows.read`.
    """
    rows = RefitRows.read(design, columns, labels, scaling, arrays, target_sizes)
    return refits([(rows, head) for head in fit_all(rows.scaled.values, rows.train, rows.Y, arrays)])


@dataclass(frozen=True, eq=False)
class RefitRows:
    """All rows of a design, as heads that are trained on the first n and predict the m others read them.

    Attributes
    ----------
    scaled : Scaled
        The columns of all rows; what is fitted is fitted on the n.
    train : (n + m,) bool array
    Y : (n + m, classes) array
        One-hot labels, of the n alone.
    n_train : int
        n.
    columns, target_sizes
        As of `read`.
    """

    scaled: Scaled
    train: Array
    Y: Array
    n_train: int
    columns: Columns
    target_sizes: tuple[int, ...]

    @classmethod
    def read(
        cls,
        design: Design,
        columns: Columns,
        labels: Labels,
        scaling: Scaling,
        arrays: Arrays,
        target_sizes: tuple[int, ...] = (),
    ) -> "RefitRows":
        """Read what the heads read.

        Parameters
        ----------
        design : Design
            n + m rows.
        columns : (k,) int array
            What the heads read.
        labels : Labels
            Of the n training rows.
        scaling : callable
            How columns are read: see `Scaling`.
        arrays : Arrays
            Where to compute.
        target_sizes : tuple of int
            For the models: which stores the columns count through.
        """
        xp = arrays.xp
        n_train, n_classes = labels.onehot.shape
        train = xp.arange(design.shape[0], device=arrays.device) < n_train
        scaled = scaling(design, columns, train, arrays)
        unlabelled = xp.zeros((design.shape[0] - n_train, n_classes), dtype=labels.onehot.dtype, device=arrays.device)
        return cls(scaled, train, xp.concat((labels.onehot, unlabelled)), n_train, columns, target_sizes)

    def scores(self, heads: Iterable[Weights]) -> list[Array]:
        """What each of several heads says of the m other rows, (m, classes) float64."""
        xp = array_api_compat.array_namespace(self.scaled.values)
        held_out = xp.matrix_transpose(xp.astype(self.scaled.values[:, self.n_train :], xp.float64))
        return [held_out @ head.coef + head.intercept for head in heads]

    def model(self, coef: np.ndarray, intercept: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> LinearModel:
        """Make the model of a head (k, classes) and (classes,), by which mean and scale (k, 1) columns were scaled."""
        return LinearModel(
            target_sizes=self.target_sizes,
            columns=self.columns,
            unit=self.scaled.unit,
            mean=mean[:, 0].astype(np.float32),
            scale=scale[:, 0].astype(np.float32),
            coef=coef.astype(np.float32),
            intercept=intercept.astype(np.float32),
        )


def refits(trained: Sequence[tuple[RefitRows, Weights]]) -> list[Refit]:
    """Make the models of heads that were trained, and their predictions of the rows that did not train them.

    A GPU is waited for twice, however many heads there are: for all weights and scores, and for how rows were scaled.
    """
    scores: list[Array] = []
    for _, same in groupby(trained, lambda pair: id(pair[0])):  # together: in float64, rows take much memory
        pairs = list(same)
        scores += pairs[0][0].scores(head for _, head in pairs)
    heads = [head for _, head in trained]
    parts = [part for head, own in zip(heads, scores, strict=True) for part in (head.coef, head.intercept, own)]
    on_host = to_numpy_at_once(parts)
    several = {id(rows): rows.scaled for rows, _ in trained}
    means_and_scales = to_numpy_at_once([part for scaled in several.values() for part in (scaled.mean, scaled.scale)])
    scalings = dict(zip(several, zip(means_and_scales[::2], means_and_scales[1::2], strict=True), strict=True))
    return [
        Refit(log_softmax(own, axis=1), rows.model(coef, intercept, *scalings[id(rows)]), Weights(coef, intercept))
        for (rows, _), coef, intercept, own in zip(trained, *(on_host[k::3] for k in range(3)), strict=True)
    ]
