"""Rows with labels and folds: training rows come first, test rows after them."""

import numpy as np


class Labelled:
    """A base for records that have these two fields.

    Attributes
    ----------
    labels : (n,) int array
        The class of every row: training rows first, test rows after them.
    folds : (n_train,) int array
        The fold (0, 1, …) that holds each training row out; -1 for a row that always trains.
    """

    labels: np.ndarray
    folds: np.ndarray

    @property
    def n_train(self) -> int:
        """Number of training rows."""
        return len(self.folds)

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return int(self.folds.max()) + 1

    @property
    def train_labels(self) -> np.ndarray:
        """Labels of the training rows, (n_train,) int."""
        return self.labels[: self.n_train]

    @property
    def test_labels(self) -> np.ndarray:
        """Labels of the test rows, (n - n_train,) int; there may be none."""
        return self.labels[self.n_train :]


def numbered(folds: np.ndarray) -> np.ndarray:
    """Return folds of any numbering as 0, 1, 2, … in the same order, none of them empty; -1, which is none, stays."""
    held = folds >= 0
    consecutive = np.full(len(folds), -1, dtype=np.int64)
    consecutive[held] = np.unique(folds[held], return_inverse=True)[1]
    return consecutive
