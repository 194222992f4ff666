"""The heads that a method tried, as what they predict of the rows that the folds held out: what choices are made on."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from head2toe.probe.metrics.classification import FLOOR, normalized


@dataclass(frozen=True, eq=False)
class Library:
    """Heads to choose from, and what they predict of rows that did not train them.

    Attributes
    ----------
    log_probabilities : (heads, n, classes) float32 array
        In nats, of every row that a fold holds out; none is below `FLOOR`.
    labels : (n,) int array
    folds : (n,) int array
        The fold that holds each row out.
    sizes : (heads,) int array
        How many features each head reads: of level heads, the one that reads fewer is the simpler.
    """

    log_probabilities: np.ndarray
    labels: np.ndarray
    folds: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of(
        cls, log_probabilities: Sequence[np.ndarray], labels: np.ndarray, folds: np.ndarray, sizes: Sequence[int]
    ) -> "Library":
        """Gather the predictions of heads, each (n_train, classes); a row of fold -1 always trains and is left out.

        Raises
        ------
        DataError
            A prediction is NaN or plus infinity.
        """
        held = folds >= 0
        predictions = np.empty((len(sizes), int(held.sum()), log_probabilities[0].shape[1]), np.float32)
        for k, logp in enumerate(log_probabilities):
            predictions[k] = np.maximum(normalized(logp[held]), FLOOR)
        return cls(predictions, labels[held], folds[held], np.asarray(sizes, np.int64))

    @property
    def n_folds(self) -> int:
        """How many folds there are."""
        return int(self.folds.max()) + 1

    @cached_property
    def losses(self) -> np.ndarray:
        """The log-loss of every head in every row, (heads, n) float32, in nats."""
        return -np.take_along_axis(self.log_probabilities, self.labels[None, :, None], axis=2)[:, :, 0]

    @cached_property
    def hits(self) -> np.ndarray:
        """Whether every head is right in every row, (heads, n) float32 of 0 and 1."""
        return np.asarray(self.log_probabilities.argmax(axis=2) == self.labels, np.float32)
