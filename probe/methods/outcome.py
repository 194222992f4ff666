"""What a method leaves: its predictions, its settings and how it found them, and the model that can be used again.

An outcome is kept as one file, from which it is recalled bit for bit.
"""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.probe.metrics.uncertainty import Estimate, Interval
from head2toe.store.common.arrays_file import read_arrays, write_arrays

_ROUNDING = 1e-3
"""So far above 0 a logarithm of a probability may be."""
_COSTS = ("seconds", "flops", "extraction_flops", "bytes_stored", "features_total")
_TEMPERATURES = ("temperature", "fold_temperature")


@dataclass(frozen=True)
class SweepPoint:
    """One setting that was tried.

    Attributes
    ----------
    settings : dict
        What was set, such as `{"target_size": 512, "lambda_ratio": 0.03, "C": 10.0}`.
    accuracies, log_losses : tuple of float
        On the held-out rows, an entry for each fold; log-losses in nats.
    """

    settings: Mapping[str, Any]
    accuracies: tuple[float, ...]
    log_losses: tuple[float, ...]

    @property
    def accuracy(self) -> float:
        """Mean accuracy over the folds."""
        return sum(self.accuracies) / len(self.accuracies)

    @property
    def log_loss(self) -> float:
        """Mean log-loss over the folds, in nats."""
        return sum(self.log_losses) / len(self.log_losses)

    @property
    def standard_error(self) -> float | None:
        """Standard error of the mean accuracy over the folds; None for one fold, whose spread nobody knows."""
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
        The method's.
    settings : dict
        The chosen ones.
    sweep : tuple of SweepPoint
        All settings that were tried; the chosen ones are among them.
    fold_log_probabilities : (n_train, classes) float32 array
        Of every training row, by the head of the fold that held it out, at the chosen settings, in nats; NaN for rows
        that always train.
    test_log_probabilities : (n_test, classes) float32 array
        Of every test row, by the refit on all training rows, in nats.
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
    members : tuple of dict
        Of a mean of several heads: for each its `settings`, its `weight` (they sum to 1) and how many `features` it
        reads, the largest weight first.
    temperature : float
        What the log-probabilities of the test rows, and the model's, were divided by: that of the folds, continued to
        the number of rows that trained the model (`probe/choice/more_rows.py`).
    fold_temperature : float
        What those of the training rows were divided by: where the predictions out of fold have the least log-loss.
    corrected : dict
        Metric to its value on rows that had no part in the choice (`probe/choice/bias_corrected.py`), by heads that see
        as many rows as the refit (`probe/choice/more_rows.py`).
    unchosen_log_probabilities : (n_train, classes) float32 array, optional
        Of every training row, as far as may be by what was chosen without it: what `fold_temperature` was fitted to,
        at that temperature. NaN for rows that always train, and for one that had a part in every choice.
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
    members: tuple[Mapping[str, Any], ...] = ()
    temperature: float = 1.0
    fold_temperature: float = 1.0
    corrected: Mapping[str, Estimate] = field(default_factory=dict)
    unchosen_log_probabilities: np.ndarray | None = None

    @property
    def chosen(self) -> SweepPoint:
        """The point of the sweep that the chosen settings are."""
        return next(point for point in self.sweep if point.settings == self.settings)

    @property
    def features_kept(self) -> int:
        """How many features are read."""
        return sum(self.kept_by_layer.values())

    def save(self, file: Path) -> None:
        """Write the outcome to a file, whole or not at all. Raises StoreError where it can't be written."""
        plain, arrays = _parted(self)
        plain["sweep"] = [asdict(point) for point in self.sweep]
        plain["corrected"] = {name: asdict(estimate) for name, estimate in self.corrected.items()}
        plain["model"] = None
        if self.model is not None:
            plain["model"], of_model = _parted(self.model)
            arrays |= {f"model.{name}": array for name, array in of_model.items()}
        write_arrays(file, plain, **arrays)

    @classmethod
    def load(cls, file: Path, method: str | None = None) -> "Outcome":
        """Read what `save` wrote. Raises DataError for anything else, among it the outcome of another method."""
        with read_arrays(file, "an outcome", "remove it and run again") as (plain, arrays):
            of_model = {
                name.removeprefix("model."): arrays.pop(name) for name in list(arrays) if name.startswith("model.")
            }
            model = plain.pop("model")
            if model is not None:
                tuples = {name: tuple(model[name]) for name in ("target_sizes", "views")}
                model = LinearModel(**model | of_model | tuples)
            sweep = tuple(
                SweepPoint(point["settings"], tuple(point["accuracies"]), tuple(point["log_losses"]))
                for point in plain.pop("sweep")
            )
            corrected = {name: _estimate(**estimate) for name, estimate in plain.pop("corrected").items()}
            members = tuple(plain.pop("members"))
            outcome = cls(**plain | arrays, sweep=sweep, members=members, corrected=corrected, model=model)
            outcome.check()
            if outcome.name != (method or outcome.name):
                raise ValueError(f"it is one of the method {outcome.name!r}")
            return outcome

    def check(self) -> None:
        """Check that its entries may be such, for they can come from a file; raises `ValueError`."""
        if not isinstance(self.name, str) or all(point.settings != self.settings for point in self.sweep):
            raise ValueError(f"the outcome of {self.name!r} with settings that were not tried")
        for name in (*_COSTS, *_TEMPERATURES):
            if type(value := getattr(self, name)) not in (int, float) or not 0 <= value <= sys.float_info.max:
                raise ValueError(f"{name} is {value!r}")
        if not all(getattr(self, name) > 0 for name in _TEMPERATURES):
            raise ValueError("a temperature is 0")
        if not all(type(count) is int and count >= 0 for count in self.kept_by_layer.values()):
            raise ValueError("kept_by_layer holds no numbers of features")
        classes = self.fold_log_probabilities.shape[-1]
        for name in ("fold", "test", "nested", "unchosen"):
            logp = getattr(self, f"{name}_log_probabilities")
            if logp is None and name in ("nested", "unchosen"):
                continue
            if logp.dtype != np.float32 or logp.ndim != 2 or logp.shape[1] != classes or (logp > _ROUNDING).any():
                raise ValueError(f"{name}_log_probabilities are none: shape {logp.shape}, dtype {logp.dtype}")
        if np.isnan(self.test_log_probabilities).any():
            raise ValueError("test_log_probabilities hold NaN")
        if self.model is not None and (fault := self.model.fault(classes)):
            raise ValueError(fault)


def _estimate(value: float, interval: dict[str, float] | None) -> Estimate:
    """An estimate that went through JSON."""
    return Estimate(value, None if interval is None else Interval(**interval))


def _parted(record: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of a dataclass: those that JSON can hold, and those that are arrays."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    return {name: value for name, value in values.items() if name not in arrays}, arrays
