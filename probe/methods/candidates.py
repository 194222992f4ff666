"""What a method chooses from: points of its grid, each of which can be cross-validated, and refitted if it wins."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from head2toe.probe.heads.crossval import out_of_fold
from head2toe.probe.heads.kinds import KINDS, ExactHeads, Kind, checked_kind
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.probe.heads.refit import Refit, refit_all
from head2toe.probe.heads.scaling import Columns, Scaling, unit_rows
from head2toe.probe.many_rows import heads as many_rows
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.select.compute.arrays import Array, to_numpy
from head2toe.select.ranking.selection import Selection, Sparse
from head2toe.store.reading.design_matrix import Design
from scipy.special import log_softmax

AT_ONCE = 8192
"""Rows that are brought to float64 at once."""

Settings = Mapping[str, Any]


class Choice(Protocol):
    """What can be chosen: it says what it reads, and is refitted if it wins."""

    @property
    def settings(self) -> Settings:
        """Settings that tell this choice from the method's others, but for those of the head."""

    @property
    def target_sizes(self) -> tuple[int, ...]:
        """Target sizes of the designs that it reads; there may be none."""

    @property
    def columns(self) -> Columns:
        """Columns that the refit reads, (k,) int64, ascending; they count through the designs side by side."""

    def refit(self, data: ProbeData, head: Settings) -> tuple[np.ndarray, LinearModel | None]:
        """Train on all training rows, with these settings of the head.

        Returns
        -------
        log_probabilities : (m, classes) float array
            Of the test rows, in nats.
        model : LinearModel, optional
            What was trained, if it is a linear model.
        """


class Candidate(Choice, Protocol):
    """One point of a grid, up to the head's settings."""

    def cross_validate(self, data: ProbeData) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """Train heads of every setting on every fold.

        Yields
        ------
        settings : dict
            Settings of the head.
        log_probabilities : (n_train, classes) float32 array
            Of every training row by the head of the fold that held it out; NaN for a row that always trains.
        """


@dataclass(frozen=True, eq=False)
class HeadOnColumns:
    """A linear head on chosen columns.

    Attributes
    ----------
    settings : dict
    target_size : int
    fold_columns : sequence of (k,) int64 arrays
        What each fold's head reads.
    columns : (k,) int64 array
        What the refit reads.
    scaling : callable
        How columns are read: see `Scaling`.
    kind : Kind, optional
        Which head; of the run's kind unless the method says.
    views : tuple of str
        The data's views where the mean of each image's is read; without them it is the whole image alone.
    """

    settings: Settings
    target_size: int
    fold_columns: Sequence[Columns]
    columns: Columns
    scaling: Scaling
    kind: Kind | None = None
    views: tuple[str, ...] = ()

    @property
    def target_sizes(self) -> tuple[int, ...]:
        """The one target size; see `Choice`."""
        return (self.target_size,)

    def kind_of(self, data: ProbeData) -> Kind:
        """Return the kind of head that is trained. Raises TypeError for one that lacks a method of `Kind`."""
        return checked_kind(self.kind or KINDS[data.head](data.seed))

    def design(self, data: ProbeData) -> Design:
        """Return the design of all rows that the head reads: of the whole images, or of the means of their views."""
        return (data.on_means if self.views else data).designs[self.target_size]

    def training(self, data: ProbeData) -> Design:
        """Return the same of the training rows alone."""
        return (data.on_means if self.views else data).training[self.target_size]

    def cross_validate(self, data: ProbeData) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """Train heads of every setting on every fold; see `Candidate`."""
        design, kind = self.training(data), self.kind_of(data)
        of_columns = design, self.fold_columns, data.on_device, self.scaling, data.arrays
        if many_rows.suits(kind, self.fold_columns, self.scaling, data.n_train, data.arrays):
            yield from many_rows.cross_validate(kind, *of_columns)
        else:
            yield from kind.cross_validate(*of_columns)

    def refit(self, data: ProbeData, head: Settings) -> tuple[np.ndarray, LinearModel | None]:
        """Train the head on all training rows; see `Choice`."""
        (trained,) = self.refit_all(data, [head])
        return trained

    def refit_all(self, data: ProbeData, heads: Sequence[Settings]) -> list[tuple[np.ndarray, LinearModel | None]]:
        """Train a head of each of these settings on all training rows. See `Choice`."""
        return [(one.log_probabilities, one.model) for one in self.trained(data, heads)]

    def trained(self, data: ProbeData, heads: Sequence[Settings]) -> list[Refit]:
        """Do the same: the columns are read once for all heads."""
        kind, of_columns = self.kind_of(data), (self.design(data), self.columns, data.on_device)
        how = self.scaling, data.arrays, self.target_sizes
        if many_rows.suits(kind, [self.columns], self.scaling, data.n_train, data.arrays):
            refits = many_rows.refit_all(kind, *of_columns, heads, *how)
        elif isinstance(kind, ExactHeads):
            refits = refit_all(*of_columns, kind.fit_all(heads), *how)
        else:
            fits = [kind.fit(head) for head in heads]
            refits = refit_all(*of_columns, lambda *rows: [fit(*rows) for fit in fits], *how)
        return [one.on_views(self.views) for one in refits]


@dataclass(frozen=True, eq=False)
class PenalisedModel:
    """The l2,1-penalised model of one λ as it is.

    Attributes
    ----------
    settings : dict
    target_size : int
    ratio : float
        λ / λ_max.
    selection : Selection
        Whose models these are.
    standardize : str
        How features were normalised before.
    """

    settings: Settings
    target_size: int
    ratio: float
    selection: Selection
    standardize: str

    @property
    def target_sizes(self) -> tuple[int, ...]:
        """The one target size; see `Choice`."""
        return (self.target_size,)

    @property
    def columns(self) -> Columns:
        """The support on all training rows."""
        return self._models[-1].columns

    @property
    def fold_columns(self) -> list[Columns]:
        """The support of each fold's model."""
        return [model.columns for model in self._models[:-1]]

    @property
    def _models(self) -> Sequence[Sparse]:
        return self.selection.models[self.selection.ratios.index(self.ratio)]

    def cross_validate(self, data: ProbeData) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """Predict by each fold's own penalised model; there is nothing more to set."""
        design = data.as_selected(self.target_size, self.standardize).take(np.arange(data.n_train))
        predictions = np.stack([_log_probabilities(design, model) for model in self._models[:-1]])
        yield {}, out_of_fold(predictions, data.folds)

    def refit(self, data: ProbeData, head: Settings) -> tuple[np.ndarray, LinearModel | None]:  # noqa: ARG002
        """Predict by the penalised model of all training rows; see `Choice`."""
        design, model = data.designs[self.target_size], self._models[-1]
        logp = _log_probabilities(data.as_selected(self.target_size, self.standardize), model)[data.n_train :]
        if self.standardize.startswith("unit"):
            return logp, None  # the norm of a whole layer is no function of the kept features
        return logp, _centred(design, model, data.n_train, self.target_size)


@dataclass(frozen=True, eq=False)
class NearestNeighbours:
    """The classes of the nearest training rows by cosine, counted; one pseudo-count is spread over all classes.

    Attributes
    ----------
    settings : dict
    target_size : int
    columns : (k,) int64 array
    neighbours : int
        How many training rows have a vote.
    """

    settings: Settings
    target_size: int
    columns: Columns
    neighbours: int

    @property
    def target_sizes(self) -> tuple[int, ...]:
        """The one target size; see `Choice`."""
        return (self.target_size,)

    def cross_validate(self, data: ProbeData) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """Predict each fold from its training rows; there is nothing more to set."""
        design = data.training[self.target_size]
        trains = [~held for held in data.on_device.held_out]
        predictions = data.arrays.xp.stack([self._log_votes(design, train, data) for train in trains])
        yield {}, out_of_fold(predictions, data.folds)

    def refit(self, data: ProbeData, head: Settings) -> tuple[np.ndarray, LinearModel | None]:  # noqa: ARG002
        """Predict from all training rows; it is no linear model. See `Choice`."""
        design, xp = data.designs[self.target_size], data.arrays.xp
        train = xp.arange(design.shape[0], device=data.arrays.device) < data.n_train
        return to_numpy(self._log_votes(design, train, data))[data.n_train :], None

    def _log_votes(self, design: Design, train: Array, data: ProbeData) -> Array:
        """Logarithm of each class's share of the votes, (n, classes)."""
        xp = data.arrays.xp
        X = unit_rows(design, self.columns, train, data.arrays).values
        training = xp.nonzero(train)[0]
        similarity = X.T @ xp.take(X, training, axis=1)
        nearest = xp.argsort(similarity, axis=1, descending=True)[:, : self.neighbours]
        onehot = xp.take(data.on_device.onehot, training, axis=0)
        votes = sum(xp.take(onehot, nearest[:, i], axis=0) for i in range(nearest.shape[1]))
        return xp.log((votes + 1 / data.n_classes) / (nearest.shape[1] + 1))


def _log_probabilities(design: Design, model: Sparse) -> np.ndarray:
    """Predictions (n, classes) float64 of a penalised model for all rows of a design."""
    values = design.columns(model.columns)
    parts = [values[:, start : start + AT_ONCE] for start in range(0, values.shape[1], AT_ONCE)]
    scores = np.concatenate([part.T.astype(np.float64) @ model.coef for part in parts])
    return np.asarray(log_softmax(scores + model.intercept, axis=1))


def _centred(design: Design, model: Sparse, n_train: int, target_size: int) -> LinearModel:
    """The same model on centred features: an intercept that makes up for large means would not do in float32."""
    mean = design.columns(model.columns)[:, :n_train].mean(axis=1, dtype=np.float64)
    return LinearModel(
        target_sizes=(target_size,),
        columns=model.columns,
        unit=False,
        mean=mean.astype(np.float32),
        scale=np.ones(len(mean), np.float32),
        coef=model.coef,
        intercept=(model.intercept + mean.astype(np.float32).astype(np.float64) @ model.coef).astype(np.float32),
    )
