"""The kinds of linear heads: how each is cross-validated over its settings, and refitted at the chosen ones.

Scores of least squares and of class means rank classes; probabilities they become through one scale, which is chosen by
the folds, as every setting is: the one at which the out-of-fold predictions have the least log-loss.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from head2toe.probe.heads.crossval import (
    Fit,
    Labels,
    Weights,
    cross_validate,
    fold_bases,
    log_softmax,
    of_each_fold,
    out_of_fold,
)
from head2toe.probe.heads.eigenbasis import eigenbasis, stack
from head2toe.probe.heads.logistic import logistic_path
from head2toe.probe.heads.ridge import least_squares_path
from head2toe.probe.heads.scaling import Columns, Rows
from head2toe.probe.metrics import calibration
from head2toe.select.compute.arrays import Array, Arrays, to_numpy
from head2toe.select.solver.paper_recipe import BATCH, RECIPE_STEPS, RecipeSetting, train
from head2toe.store.reading.design_matrix import Design

STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)
"""C of the L2 heads, scikit-learn's."""
LEARNING_RATES = (0.1, 0.01)
"""The paper's."""
SCALES = (0.05, 1e4)
"""From where to where scores may be scaled."""

Settings = Mapping[str, Any]


class Kind(Protocol):
    """A kind of head."""

    def cross_validate(
        self, design: Design, columns: Sequence[Columns], labels: Labels, rows: Rows, arrays: Arrays
    ) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """For each setting: the setting, and out-of-fold log-probabilities (n, classes)."""

    def fit(self, settings: Settings) -> Fit:
        """How a head with these settings is trained."""

    def flops(self, k: int, n: int, classes: int) -> float:
        """Of training on n rows of k features, all settings, about."""


@dataclass(frozen=True)
class Logistic:
    """L2-penalised logistic regression, exact."""

    def cross_validate(
        self, design: Design, columns: Sequence[Columns], labels: Labels, rows: Rows, arrays: Arrays
    ) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """Heads of every strength."""
        for C, logp in cross_validate(design, columns, labels, STRENGTHS, rows, arrays):
            yield {"C": C}, logp

    def fit(self, settings: Settings) -> Fit:
        """At C."""

        def fitted(values: Array, known: Array, Y: Array, arrays: Arrays) -> Weights:
            xp = arrays.xp
            eigen = eigenbasis(xp.astype(values, xp.float64), known, xp)
            basis, Y = stack([eigen], [known], xp), xp.astype(Y, xp.float64)
            (heads,) = logistic_path(basis, Y, [settings["C"]], xp, tol=1e-6)
            coef = eigen.lift(heads.theta[0, :-1, :])
            return Weights(coef, heads.theta[0, -1, :] - eigen.centre @ coef)

        return fitted

    def flops(self, k: int, n: int, classes: int) -> float:  # noqa: ARG002
        """Of the Gram matrix and its eigendecomposition, which dominate."""
        return 2.0 * k * n * min(n, k) + 9.0 * min(n, k) ** 3


@dataclass(frozen=True)
class Ridge:
    """Least squares on one-hot labels, with an L2 penalty of 10 / C; exact."""

    def cross_validate(
        self, design: Design, columns: Sequence[Columns], labels: Labels, rows: Rows, arrays: Arrays
    ) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """Heads of every strength."""
        basis = fold_bases(design, columns, labels, rows, arrays)
        for heads in least_squares_path(basis, labels.onehot, STRENGTHS, arrays.xp):
            C, scores = heads.C, out_of_fold(heads.scores, labels.folds)
            scale = best_scale(scores, labels)
            yield {"head": "ridge", "C": C, "scale": scale}, log_softmax(scale * scores)

    def fit(self, settings: Settings) -> Fit:
        """At C."""

        def fitted(values: Array, known: Array, Y: Array, arrays: Arrays) -> Weights:
            xp = arrays.xp
            eigen = eigenbasis(xp.astype(values, xp.float64), known, xp)
            basis, Y = stack([eigen], [known], xp), xp.astype(Y, xp.float64)
            (heads,) = least_squares_path(basis, Y, [settings["C"]], xp)
            coef = settings["scale"] * eigen.lift(heads.theta[0, :-1, :])
            return Weights(coef, settings["scale"] * heads.theta[0, -1, :] - eigen.centre @ coef)

        return fitted

    def flops(self, k: int, n: int, classes: int) -> float:
        """As the logistic head's, whose basis it shares."""
        return Logistic().flops(k, n, classes)


@dataclass(frozen=True)
class NearestMean:
    """The class whose mean is nearest: minus half the squared distance is linear, but for what classes share."""

    def cross_validate(
        self, design: Design, columns: Sequence[Columns], labels: Labels, rows: Rows, arrays: Arrays
    ) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """One head."""
        fit = self.fit({"scale": 1.0})

        def means(values: Array, known: Array) -> list[Weights]:
            return [fit(values, known, labels.onehot, arrays)]

        (scores,) = of_each_fold(design, columns, labels, means, rows, arrays)
        scale = best_scale(scores, labels)
        yield {"head": "ncm", "scale": scale}, log_softmax(scale * scores)

    def fit(self, settings: Settings) -> Fit:
        """The means."""

        def fitted(values: Array, known: Array, Y: Array, arrays: Arrays) -> Weights:
            xp = arrays.xp
            Y = Y * xp.astype(known, Y.dtype)[:, None]
            counts = xp.sum(Y, axis=0)
            means = (values @ Y) / xp.where(counts > 0, counts, xp.ones_like(counts))
            near = -0.5 * xp.sum(means * means, axis=0)
            # A class without a training row comes last: twice as far as any is from a training row.
            similar = xp.max(xp.abs(xp.take(values, xp.nonzero(known)[0], axis=1).T @ means))
            near = xp.where(counts > 0, near, xp.min(near) - 2 * similar)
            return Weights(settings["scale"] * means, settings["scale"] * near)

        return fitted

    def flops(self, k: int, n: int, classes: int) -> float:
        """Of the sums."""
        return 2.0 * k * n * classes


@dataclass(frozen=True)
class Trained:
    """The paper's head: Adam or SGD from a random start, cosine decay, 500 steps; with a penalty or without.

    Attributes
    ----------
    optimizer : {"adam", "sgd"}
    penalty : {"l21", "l1", "l2"}
    lambdas : tuple of float
        Of the penalty, beside the mean cross-entropy; 0 alone is the paper's head on what was selected.
    """

    optimizer: str = "adam"
    penalty: str = "l21"
    lambdas: tuple[float, ...] = (0.0,)
    learning_rates: tuple[float, ...] = LEARNING_RATES
    seed: int = 0

    def cross_validate(
        self, design: Design, columns: Sequence[Columns], labels: Labels, rows: Rows, arrays: Arrays
    ) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """All settings train side by side."""
        settings = [RecipeSetting(lam, rate) for lam in self.lambdas for rate in self.learning_rates]

        def trained(values: Array, known: Array) -> list[Weights]:
            return self._train(values, known, labels.onehot, settings, arrays)

        by_setting = of_each_fold(design, columns, labels, trained, rows, arrays)
        for setting, scores in zip(settings, by_setting, strict=True):
            named = {"lambda": setting.lam} if self.lambdas != (0.0,) else {}
            yield {"head": self.optimizer, **named, "learning_rate": setting.learning_rate}, log_softmax(scores)

    def fit(self, settings: Settings) -> Fit:
        """With one setting."""
        setting = RecipeSetting(settings.get("lambda", 0.0), settings["learning_rate"])
        return lambda values, known, Y, arrays: self._train(values, known, Y, [setting], arrays)[0]

    def _train(
        self, values: Array, known: Array, Y: Array, settings: Sequence[RecipeSetting], arrays: Arrays
    ) -> list[Weights]:
        onehot = to_numpy(Y)
        heads = train(
            to_numpy(values).T,
            onehot.argmax(axis=1),
            [np.flatnonzero(to_numpy(known))],
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
        """Of forward, backward and update, every step."""
        weights = k * classes * len(self.lambdas) * len(self.learning_rates)
        return float(RECIPE_STEPS) * (4.0 * min(BATCH, n) + 10.0) * weights


KINDS: dict[str, Callable[[int], Kind]] = {
    "logistic": lambda seed: Logistic(),  # noqa: ARG005
    "ridge": lambda seed: Ridge(),  # noqa: ARG005
    "adam": lambda seed: Trained("adam", seed=seed),
    "sgd": lambda seed: Trained("sgd", seed=seed),
}
"""Name to the kind of head, given a seed: what `--head` offers."""


def best_scale(scores: np.ndarray, labels: Labels) -> float:
    """What to multiply out-of-fold scores (n, classes) by before the softmax."""
    y, held = to_numpy(labels.onehot).argmax(axis=1), labels.folds >= 0  # others have no prediction
    low, high = SCALES
    return 1 / calibration.fit_temperature(log_softmax(scores[held]), y[held], bounds=(1 / high, 1 / low))
