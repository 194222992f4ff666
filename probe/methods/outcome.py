"""What a method leaves: its predictions, its settings and how it found them, and the model that can be used again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from head2toe.probe.heads.linear_model import LinearModel


@dataclass(frozen=True)
class SweepPoint:
    """One setting that was tried.

    Attributes
    ----------
    settings : dict
        What was set, such as `{"target_size": 512, "lambda_ratio": 0.03, "C": 10.0}`.
    accuracies, log_losses : tuple of float
        On the held-out rows, an entry for each fold.
    """

    settings: Mapping[str, Any]
    accuracies: tuple[float, ...]
    log_losses: tuple[float, ...]

    @property
    def accuracy(self) -> float:
        """Mean over the folds."""
        return sum(self.accuracies) / len(self.accuracies)

    @property
    def log_loss(self) -> float:
        """Mean over the folds."""
        return sum(self.log_losses) / len(self.log_losses)

    @property
    def standard_error(self) -> float | None:
        """Of the mean accuracy over the folds; None for one fold, whose spread nobody knows."""
        k, mean = len(self.accuracies), self.accuracy
        if k < 2:
            return None
        return float((sum((a - mean) ** 2 for a in self.accuracies) / (k - 1) / k) ** 0.5)


@dataclass(frozen=True, eq=False)
class Outcome:
    """A method on a task: everything that its numbers, tables and pictures are made of.

    Attributes
    ----------
    name : str
        Of the method.
    settings : dict
        The chosen ones.
    sweep : tuple of SweepPoint
        All that were tried; the chosen one is among them.
    fold_log_probabilities : (n_train, classes) float32 array
        Of every training row, by the head of the fold that held it out, at the chosen settings; NaN for rows that
        always train.
    test_log_probabilities : (n_test, classes) float32 array
        By the refit on all training rows.
    kept_by_layer : dict
        Layer to number of its features that are read; layers with none are left out.
    features_total : int
        Of the design that was chosen from.
    model : LinearModel, optional
        The refit, for methods that are one.
    seconds : float
        Wall time of search, refit and prediction; reading the store is part of it.
    flops : float
        Floating-point operations of search and training, estimated (0 where a method does not say); extraction's are
        not in it.
    extraction_flops : float
        Of the frozen backbone's pass over the training images, which features come from.
    bytes_stored : int
        What has to be kept for this task to predict: column numbers, scales, weights.
    layers : dict
        Every layer of the design that was chosen from, first to last, to its number of features; what shares are
        drawn of. Empty for a method that does not choose from layers.
    nested_log_probabilities : (n_train, classes) float32 array, optional
        Of every training row by a head whose settings, too, were chosen without its fold (nested cross-validation).
    nested_settings : tuple of dict
        What was chosen for each of those folds.
    """

    name: str
    settings: Mapping[str, Any]
    sweep: tuple[SweepPoint, ...]
    fold_log_probabilities: np.ndarray
    test_log_probabilities: np.ndarray
    kept_by_layer: Mapping[str, int]
    features_total: int
    seconds: float
    flops: float = 0.0
    extraction_flops: float = 0.0
    bytes_stored: int = 0
    model: LinearModel | None = field(default=None, repr=False)
    layers: Mapping[str, int] = field(default_factory=dict)
    nested_log_probabilities: np.ndarray | None = None
    nested_settings: tuple[Mapping[str, Any], ...] = ()

    @property
    def chosen(self) -> SweepPoint:
        """What the chosen settings did on the folds."""
        return next(point for point in self.sweep if point.settings == self.settings)

    @property
    def features_kept(self) -> int:
        """How many features are read."""
        return sum(self.kept_by_layer.values())
