"""What a method chooses from: points of its grid, each of which can be cross-validated, and refitted if it wins."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from head2toe.probe.heads.crossval import Labels, Refit, log_softmax, out_of_fold, refit
from head2toe.probe.heads.kinds import KINDS, Kind
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.probe.heads.scaling import Columns, Rows, unit_rows
from head2toe.select.compute.arrays import Arrays, to_numpy
from head2toe.select.compute.normalize import UnitRows
from head2toe.select.ranking.selection import Selection, Sparse
from head2toe.store.common.labelled import Labelled
from head2toe.store.reading.design_matrix import Design


@dataclass(frozen=True, eq=False)
class Problem(Labelled):
    """What a method is given.

    Attributes
    ----------
    designs : dict
        Target size to the design whose first `n_train` rows train and whose others test.
    labels : (n,) int array
    folds : (n_train,) int array
        The fold that holds each training row out; -1 for a row that always trains.
    exact, by_recipe : dict
        Target size to the selection by the exact path and by the paper's recipe; empty where no method needs them.
    standardize : str
        How features were normalised before the exact path.
    head : str
        What is trained on chosen columns: one of `KINDS`.
    further : dict
        Of other normalisations, by name: their exact selections, as `exact`.
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
    further: Mapping[str, Mapping[int, Selection]] = field(default_factory=dict)

    @cached_property
    def training(self) -> dict[int, Design]:
        """The designs of the training rows alone."""
        return {size: design.take(np.arange(self.n_train)) for size, design in self.designs.items()}

    @property
    def variants(self) -> "tuple[Problem, ...]":
        """The problem as it is, and with each further normalisation in place of its own."""
        others = (replace(self, standardize=how, exact=exact, further={}) for how, exact in self.further.items())
        return (self, *others)

    @cached_property
    def unit_designs(self) -> dict[int, Design]:
        """The designs with every layer of every row at unit norm."""
        return {size: UnitRows.of(design) for size, design in self.designs.items()}

    def as_selected(self, size: int, standardize: str) -> Design:
        """A design as the exact path saw it; what is per feature is part of its models."""
        return (self.unit_designs if standardize.startswith("unit") else self.designs)[size]

    @cached_property
    def on_device(self) -> Labels:
        """Labels and folds of the training rows, on the device."""
        return Labels.of(self.train_labels, self.folds, self.n_classes, self.arrays)


class Choice(Protocol):
    """What can be chosen: it says what it reads, and is refitted if it wins."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What is set here."""

    @property
    def target_size(self) -> int:
        """Whose design it reads."""

    @property
    def columns(self) -> Columns:
        """What the refit reads."""

    def refit(self, problem: Problem, head: Mapping[str, Any]) -> tuple[np.ndarray, LinearModel | None]:
        """Log-probabilities of the test rows (m, classes), and the model, if it is a linear one."""


class Candidate(Choice, Protocol):
    """One point of a grid, up to the head's strength."""

    def cross_validate(self, problem: Problem) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """Settings of the head and out-of-fold log-probabilities (n_train, classes), for each strength."""


@dataclass(frozen=True, eq=False)
class HeadOn:
    """A linear head on chosen columns, which may differ from fold to fold; of the run's kind unless the method says."""

    settings: Mapping[str, Any]
    target_size: int
    fold_columns: Sequence[Columns]
    columns: Columns
    rows: Rows
    kind: Kind | None = None

    def kind_of(self, problem: Problem) -> Kind:
        """What is trained."""
        return self.kind or KINDS[problem.head](problem.seed)

    def cross_validate(self, problem: Problem) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """Heads of every setting."""
        design, kind = problem.training[self.target_size], self.kind_of(problem)
        yield from kind.cross_validate(design, self.fold_columns, problem.on_device, self.rows, problem.arrays)

    def refit(self, problem: Problem, head: Mapping[str, Any]) -> tuple[np.ndarray, LinearModel | None]:
        """The head on all training rows."""
        design, sizes = problem.designs[self.target_size], (self.target_size,)
        fit = self.kind_of(problem).fit(head)
        done: Refit = refit(design, self.columns, problem.on_device, fit, self.rows, problem.arrays, sizes)
        return done.log_probabilities, done.model


@dataclass(frozen=True, eq=False)
class Penalised:
    """The l2,1-penalised model of one λ as it is, of features that were normalised as `standardize` says."""

    settings: Mapping[str, Any]
    target_size: int
    ratio: float
    selection: Selection
    standardize: str

    @property
    def columns(self) -> Columns:
        """The support on all training rows."""
        return self._models[-1].columns

    @property
    def _models(self) -> Sequence[Sparse]:
        return self.selection.models[self.selection.ratios.index(self.ratio)]

    def cross_validate(self, problem: Problem) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """Each fold's own penalised model; there is nothing more to set."""
        design = problem.as_selected(self.target_size, self.standardize).take(np.arange(problem.n_train))
        yield {}, out_of_fold(np.stack([log_probabilities(design, m) for m in self._models[:-1]]), problem.folds)

    def refit(self, problem: Problem, head: Mapping[str, Any]) -> tuple[np.ndarray, LinearModel | None]:  # noqa: ARG002
        """The penalised model of all training rows."""
        design, model = problem.designs[self.target_size], self._models[-1]
        logp = log_probabilities(problem.as_selected(self.target_size, self.standardize), model)[problem.n_train :]
        if self.standardize.startswith("unit"):
            return logp, None  # the norm of a whole layer is no function of the kept features
        return logp, _centred(design, model, problem.n_train, self.target_size)


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The classes of the nearest training rows by cosine, counted; one pseudo-count is spread over all classes."""

    settings: Mapping[str, Any]
    target_size: int
    columns: Columns
    neighbours: int

    def cross_validate(self, problem: Problem) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """Every fold looks among the training rows of the fold."""
        design = problem.training[self.target_size]
        trains = [~held for held in problem.on_device.held_out]
        votes = problem.arrays.xp.stack([self._votes(design, train, problem) for train in trains])
        yield {}, out_of_fold(votes, problem.folds)

    def refit(self, problem: Problem, head: Mapping[str, Any]) -> tuple[np.ndarray, LinearModel | None]:  # noqa: ARG002
        """All training rows are looked among."""
        design, xp = problem.designs[self.target_size], problem.arrays.xp
        train = xp.arange(design.shape[0], device=problem.arrays.device) < problem.n_train
        return to_numpy(self._votes(design, train, problem))[problem.n_train :], None

    def _votes(self, design: Design, train: Any, problem: Problem) -> Any:
        xp = problem.arrays.xp
        X = unit_rows(design, self.columns, train, problem.arrays).values
        known = xp.nonzero(train)[0]
        similarity = X.T @ xp.take(X, known, axis=1)
        nearest = xp.argsort(similarity, axis=1, descending=True)[:, : self.neighbours]
        onehot = xp.take(problem.on_device.onehot, known, axis=0)
        votes = sum(xp.take(onehot, nearest[:, i], axis=0) for i in range(nearest.shape[1]))
        return xp.log((votes + 1 / problem.n_classes) / (nearest.shape[1] + 1))


def log_probabilities(design: Design, model: Sparse) -> np.ndarray:
    """(n, classes) float64 of all rows of a design."""
    return log_softmax(design.columns(model.columns).T.astype(np.float64) @ model.coef + model.intercept)


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
