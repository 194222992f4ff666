"""What follows from the labels and folds of rows of which the first are learned from and the others tested."""

import numpy as np


class Labelled:
    """A base for records that have these two fields.

    Attributes
    ----------
    labels : (n,) int array
        Of all rows: training rows first, test rows after them.
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
        """(n_train,) labels of the training rows."""
        return self.labels[: self.n_train]

    @property
    def test_labels(self) -> np.ndarray:
        """Labels of the test rows; there may be none."""
        return self.labels[self.n_train :]
