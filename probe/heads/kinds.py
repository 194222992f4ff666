"""The kinds of linear heads: how each is cross-validated over its settings, and refitted at the chosen ones.

Scores of least squares and of class means rank classes; probabilities they become through one scale, which is chosen by
the folds, as every setting is: the one at which the out-of-fold predictions have the least log-loss.

A further kind is a class with the methods of `Kind`, its constructor in `KINDS` and its name in `HEADS` of options.py.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from head2toe.probe import options
from head2toe.probe.heads.crossval import (
    Labels,
    Weights,
    cross_validated,
    fold_bases,
    fold_scores,
    out_of_folds,
)
from head2toe.probe.heads.eigenbasis import Basis, RotatedRows
from head2toe.probe.heads.logistic import logistic_refits
from head2toe.probe.heads.refit import Fit, FitAll
from head2toe.probe.heads.ridge import ridge_path, ridge_refits
from head2toe.probe.heads.scaling import Columns, Scaling
from head2toe.probe.metrics import calibration
from head2toe.select.compute.arrays import Array, Arrays, to_numpy
from head2toe.select.solver import paper_recipe
from head2toe.select.solver.paper_recipe import RECIPE_STEPS, RecipeSetting
from head2toe.store.reading.design_matrix import Design
from scipy.special import log_softmax

STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)
"""C of the L2 heads, scikit-learn's."""
LEARNING_RATES = (0.1, 0.01)
"""The paper's."""
SCALES = (0.05, 1e4)
"""The least and the largest factor that scores may be scaled by."""

Settings = Mapping[str, Any]
Tried = tuple[dict[str, Any], np.ndarray]
"""Settings of a head, and log-probabilities (n, classes) of every row by the head of the fold that held it out."""


class Kind(Protocol):
    """A kind of head, such as `Logistic`."""

    def cross_validate(
        self, design: Design, columns: Sequence[Columns], labels: Labels, scaling: Scaling, arrays: Arrays
    ) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """Train heads of every setting on every fold; parameters as of `crossval.cross_validate`.

        Yields
        ------
        settings : dict
            What `fit` takes.
        log_probabilities : (n, classes) float array
            Of every row by the head of the fold that held it out, in nats; NaN for a row that always trains.
        """

    def fit(self, settings: Settings) -> Fit:
        """Make the function that trains a head with these settings."""

    def flops(self, k: int, n: int, classes: int) -> float:
        """Estimate the floating-point operations of training on n rows of k features, all settings."""


class KindOnBases(ABC):
    """A kind of head that is trained in an eigenbasis: several candidates of it can be cross-validated side by side."""

    def cross_validate(
        self, design: Design, columns: Sequence[Columns], labels: Labels, scaling: Scaling, arrays: Arrays
    ) -> Iterator[Tried]:
        """Train a head of every setting on every fold; see `Kind`."""
        for (tried,) in self.on_bases(fold_bases(design, columns, labels, scaling, arrays), labels, arrays):
            yield tried

    @abstractmethod
    def on_bases(self, basis: Basis, labels: Labels, arrays: Arrays) -> Iterator[list[Tried]]:
        """Train heads of every setting on rows that are in the eigenbasis of each fold already.

        Parameters
        ----------
        basis : Basis
            All folds of the first candidate, then all of the next.
        labels : Labels
        arrays : Arrays

        Yields
        ------
        list of (settings, log_probabilities)
            For each candidate what `cross_validate` yields.
        """


@dataclass(frozen=True)
class Logistic(KindOnBases):
    """L2-penalised logistic regression, exact (see `logistic`); its setting is C."""

    def on_bases(self, basis: Basis, labels: Labels, arrays: Arrays) -> Iterator[list[Tried]]:
        """Train heads on the rows of every fold; see `KindOnBases`."""
        for C, by_candidate in cross_validated(basis, labels, STRENGTHS, arrays):
            yield [({"C": C}, logp) for logp in by_candidate]

    def fit(self, settings: Settings) -> Fit:
        """Make the function that trains a head of strength `settings["C"]`, in float64."""
        return lambda *rows: Weights(*logistic_refits([RotatedRows.of(*rows)], [settings])[0])

    def flops(self, k: int, n: int, classes: int) -> float:  # noqa: ARG002
        """Count the Gram matrix and its eigendecomposition, which dominate."""
        return 2.0 * k * n * min(n, k) + 9.0 * min(n, k) ** 3


@dataclass(frozen=True)
class Ridge(KindOnBases):
    """Least squares on one-hot labels with a penalty of 10 / C * ||W||², exact; its settings are C and the scale."""

    def on_bases(self, basis: Basis, labels: Labels, arrays: Arrays) -> Iterator[list[Tried]]:
        """Train heads on the rows of every fold; see `KindOnBases`."""
        for heads in ridge_path(basis, labels.onehot, STRENGTHS, arrays.xp):
            by_candidate = out_of_folds(heads.scores, labels.folds)
            scales = [best_scale(scores, labels) for scores in by_candidate]
            yield [
                ({"head": "ridge", "C": heads.C, "scale": scale}, log_softmax(scale * scores, axis=1))
                for scores, scale in zip(by_candidate, scales, strict=True)
            ]

    def fit(self, settings: Settings) -> Fit:
        """Make the function that trains a head of strength `settings["C"]`, scores scaled by `settings["scale"]`."""
        return lambda *rows: Weights(*ridge_refits([RotatedRows.of(*rows)], [settings])[0])

    def flops(self, k: int, n: int, classes: int) -> float:
        """Count as many as for the logistic head, whose basis it shares."""
        return Logistic().flops(k, n, classes)


@dataclass(frozen=True)
class ExactHeads(KindOnBases):
    """Logistic and ridge heads side by side: the basis, which is most of the work, serves both, and they err apart."""

    def on_bases(self, basis: Basis, labels: Labels, arrays: Arrays) -> Iterator[list[Tried]]:
        """Train heads on the rows of every fold; see `KindOnBases`."""
        yield from Logistic().on_bases(basis, labels, arrays)
        yield from Ridge().on_bases(basis, labels, arrays)

    def fit(self, settings: Settings) -> Fit:
        """Make the function that trains a head of the kind that the settings name."""
        return lambda *rows: self.fit_all([settings])(*rows)[0]

    def fit_all(self, settings: Sequence[Settings]) -> FitAll:
        """Make the function that trains a head of each of these settings, in one basis."""

        def fitted(values: Array, train: Array, Y: Array, arrays: Arrays) -> list[Weights]:
            return self.trained([RotatedRows.of(values, train, Y, arrays)] * len(settings), settings)

        return fitted

    def trained(self, rows: Sequence[RotatedRows], settings: Sequence[Settings]) -> list[Weights]:
        """Train a head of each of these settings on its own rows; on a GPU those of a kind side by side."""
        heads: dict[int, Weights] = {}
        for kind, refits in (("ridge", ridge_refits), (None, logistic_refits)):
            of_kind = [k for k, one in enumerate(settings) if one.get("head") == kind]
            trained = refits([rows[k] for k in of_kind], [settings[k] for k in of_kind])
            heads.update((k, Weights(*head)) for k, head in zip(of_kind, trained, strict=True))
        return [heads[k] for k in range(len(settings))]

    def flops(self, k: int, n: int, classes: int) -> float:
        """Count as many as for the logistic head, whose basis both share."""
        return Logistic().flops(k, n, classes)


@dataclass(frozen=True)
class NearestMean:
    """The class whose mean is nearest; its setting is the scale of the scores.

    Minus half the squared distance to a mean is linear in the features, but for a term that all classes share.
    """

    def cross_validate(
        self, design: Design, columns: Sequence[Columns], labels: Labels, scaling: Scaling, arrays: Arrays
    ) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """Compute each fold's class means, and the scale that suits all folds; see `Kind`."""
        fit = self.fit({"scale": 1.0})

        def fit_heads(values: Array, train: Array) -> list[Weights]:
            return [fit(values, train, labels.onehot, arrays)]

        (scores,) = fold_scores(design, columns, labels, fit_heads, scaling, arrays)
        scale = best_scale(scores, labels)
        yield {"head": "ncm", "scale": scale}, log_softmax(scale * scores, axis=1)

    def fit(self, settings: Settings) -> Fit:
        """Make the function that computes the class means, scores scaled by `settings["scale"]`."""

        def fitted(values: Array, train: Array, Y: Array, arrays: Arrays) -> Weights:
            xp = arrays.xp
            Y = Y * xp.astype(train, Y.dtype)[:, None]
            counts = xp.sum(Y, axis=0)
            means = (values @ Y) / xp.where(counts > 0, counts, xp.ones_like(counts))
            intercept = -0.5 * xp.sum(means * means, axis=0)
            # A class without a training row comes last: twice as far as any is from a training row.
            farthest = xp.max(xp.abs(xp.take(values, xp.nonzero(train)[0], axis=1).T @ means))
            intercept = xp.where(counts > 0, intercept, xp.min(intercept) - 2 * farthest)
            return Weights(settings["scale"] * means, settings["scale"] * intercept)

        return fitted

    def flops(self, k: int, n: int, classes: int) -> float:
        """Count the sums over the rows of each class."""
        return 2.0 * k * n * classes


@dataclass(frozen=True)
class RecipeHead:
    """The paper's head: Adam or SGD from a random start, cosine decay, 500 steps; with a penalty or without.

    It is trained by `select.solver.paper_recipe` (Evci et al. 2022).

    Attributes
    ----------
    optimizer : {"adam", "sgd"}
    penalty : {"l21", "l1", "l2"}
    lambdas : tuple of float
        Of the penalty, beside the mean cross-entropy; 0 alone is the paper's head on what was selected.
    learning_rates : tuple of float
    seed : int
        Of start and batches.
    """

    optimizer: str = "adam"
    penalty: str = "l21"
    lambdas: tuple[float, ...] = (0.0,)
    learning_rates: tuple[float, ...] = LEARNING_RATES
    seed: int = 0

    def cross_validate(
        self, design: Design, columns: Sequence[Columns], labels: Labels, scaling: Scaling, arrays: Arrays
    ) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """Train heads of all settings side by side, on one fold after the other; see `Kind`."""
        settings = [RecipeSetting(lam, rate) for lam in self.lambdas for rate in self.learning_rates]

        def fit_heads(values: Array, train: Array) -> list[Weights]:
            return self._train(values, train, labels.onehot, settings, arrays)

        by_setting = fold_scores(design, columns, labels, fit_heads, scaling, arrays)
        for setting, scores in zip(settings, by_setting, strict=True):
            penalty = {"lambda": setting.lam} if self.lambdas != (0.0,) else {}
            chosen = {"head": self.optimizer, **penalty, "learning_rate": setting.learning_rate}
            yield chosen, log_softmax(scores, axis=1)

    def fit(self, settings: Settings) -> Fit:
        """Make the function that trains a head with `settings["learning_rate"]` and, if there is one, `"lambda"`."""
        setting = RecipeSetting(settings.get("lambda", 0.0), settings["learning_rate"])
        return lambda values, train, Y, arrays: self._train(values, train, Y, [setting], arrays)[0]

    def _train(
        self, values: Array, train: Array, Y: Array, settings: Sequence[RecipeSetting], arrays: Arrays
    ) -> list[Weights]:
        onehot = to_numpy(Y)
        heads = paper_recipe.train(
            to_numpy(values).T,
            onehot.argmax(axis=1),
            [np.flatnonzero(to_numpy(train))],
            settings,
            n_classes=onehot.shape[1],
            steps=RECIPE_STEPS,
            seed=self.seed,
            arrays=arrays,
            optimizer=self.optimizer,
            penalty=self.penalty,
        )
        return [Weights(arrays.put(W), arrays.put(b)) for W, b in zip(heads.W[0], heads.b[0], strict=True)]

    def flops(self, k: int, n: int, classes: int) -> float:
        """Count the products forward and back and the update, of every step."""
        weights = k * classes * len(self.lambdas) * len(self.learning_rates)
        return float(RECIPE_STEPS) * (4.0 * min(paper_recipe.BATCH, n) + 10.0) * weights


KINDS: dict[str, Callable[[int], Kind]] = {
    "logistic": lambda seed: Logistic(),  # noqa: ARG005
    "ridge": lambda seed: Ridge(),  # noqa: ARG005
    "adam": lambda seed: RecipeHead("adam", seed=seed),
    "sgd": lambda seed: RecipeHead("sgd", seed=seed),
}
"""Name to the kind of head, given a seed: what `--head` offers."""

options.require_same_names("head", options.HEADS, KINDS, "KINDS of probe/heads/kinds.py")


def checked_kind(kind: Kind) -> Kind:
    """Return the kind if it has all methods of the Protocol.

    Raises
    ------
    TypeError
        It lacks one. It is an error of who extends this package, not of a user.
    """
    for name in vars(Kind):
        if not name.startswith("_") and not callable(getattr(kind, name, None)):
            raise TypeError(f"the head {type(kind).__name__} has no method {name}(): see Kind of probe/heads/kinds.py")
    return kind


def best_scale(scores: np.ndarray, labels: Labels) -> float:
    """Find the factor in `SCALES` at which the softmax of out-of-fold scores (n, classes) has the least log-loss."""
    y, held = labels.classes, labels.folds >= 0  # others have no prediction
    low, high = SCALES
    bounds = (1 / high, 1 / low)
    return 1 / calibration.fit_temperature(log_softmax(scores[held], axis=1), y[held], bounds=bounds)
