"""The record of a run, made of its methods' outcomes: the document of `result.json` (docs/results-format.md)."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from head2toe.probe.methods.outcome import Outcome
from head2toe.probe.metrics import calibration, classification
from head2toe.probe.metrics.uncertainty import (
    Interval,
    McNemar,
    Mean,
    accuracy_interval,
    balanced_accuracy_interval,
    mean_interval,
    paired_difference,
)
from head2toe.store.common.errors import DataError
from head2toe.store.common.labelled import Labelled

SCHEMA_VERSION = 1


@dataclass(frozen=True, eq=False)
class Run(Labelled):
    """What is known of a run before any method has begun.

    Attributes
    ----------
    task : str
        The task's name.
    argument : str
        What was typed to name the task: `load_task(argument)` finds its images again.
    group : str, optional
        The task's group in VTAB: natural, specialised or structured.
    source : str
        Where images and labels come from, in words.
    classes : tuple of str
        The classes' names in label order.
    ids : (n,) sequence of str
        The images' names, training rows first, test rows after them.
    labels : (n,) int array
        The class of each image, in the same order.
    folds : (n_train,) int array
        The fold each training row is held out in; -1 for a row that always trains.
    backbones : sequence of dict
        For each: `name`, `weights`, `weights_sha256`, `preprocessing`, and `stores`, target size to store key.
    options : dict
        The resolved configuration.
    command : str
        The command line that runs it again.
    versions : dict
        Package name to version, of the packages that numbers depend on.
    seed : int
        The seed of everything that is drawn at random.
    metric : str
        The metric that settings were chosen by, one of `classification.METRICS`.
    key : str
        A fingerprint of everything the result depends on.
    notes : dict
        Anything else to be recorded, as further entries of the document.
    """

    task: str
    argument: str
    group: str | None
    source: str
    classes: tuple[str, ...]
    ids: Sequence[str]
    labels: np.ndarray
    folds: np.ndarray
    backbones: Sequence[Mapping[str, Any]]
    options: Mapping[str, Any]
    command: str
    versions: Mapping[str, str]
    seed: int
    metric: str = "accuracy"
    key: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def held_out(self) -> np.ndarray:
        """(n_train,) bool array: whether a fold holds the training row out, and so predicts it."""
        return np.asarray(self.folds >= 0)


def document(run: Run, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Make the record of a run, as JSON can hold it: None for NaN, and numbers of six significant digits.

    Parameters
    ----------
    run : Run
    outcomes : sequence of Outcome
        One for each method, in the order of the tables.

    Raises
    ------
    DataError
        A method predicted NaN, or not for the rows of the run.
    """
    n_classes = len(run.classes)
    for outcome in outcomes:
        _check_shapes(run, outcome)
    return {
        "schema_version": SCHEMA_VERSION,
        "key": run.key,
        "task": run.task,
        "argument": run.argument,
        "group": run.group,
        "source": run.source,
        "classes": list(run.classes),
        "counts": {
            "train": run.n_train,
            "test": len(run.test_labels),
            "train_by_class": np.bincount(run.train_labels, minlength=n_classes).tolist(),
            "test_by_class": np.bincount(run.test_labels, minlength=n_classes).tolist(),
        },
        "folds": np.bincount(run.folds[run.held_out]).tolist(),
        "backbones": [dict(backbone) for backbone in run.backbones],
        "metric": run.metric,
        "methods": [_method(run, outcome) for outcome in outcomes],
        "comparisons": _comparisons(run, outcomes),
        "options": dict(run.options),
        "command": run.command,
        "versions": dict(run.versions),
        "seed": run.seed,
        **run.notes,
    }


def _check_shapes(run: Run, outcome: Outcome) -> None:
    expected = {"folds": (run.n_train, len(run.classes)), "test": (len(run.test_labels), len(run.classes))}
    shapes = {"folds": outcome.fold_log_probabilities.shape, "test": outcome.test_log_probabilities.shape}
    if shapes != expected:
        raise DataError(f"method {outcome.name}: predictions of shape {shapes}, not {expected}")


def _method(run: Run, outcome: Outcome) -> dict[str, Any]:
    """An entry of `methods`."""
    held = run.held_out
    folded, labels = classification.normalized(outcome.fold_log_probabilities[held]), run.train_labels[held]
    tested = classification.normalized(outcome.test_log_probabilities)
    nested = outcome.nested_log_probabilities
    has_test = len(run.test_labels) > 0
    return {
        "name": outcome.name,
        "settings": _settings(outcome.settings),
        "cv": _over_folds(folded, run),
        "corrected": {
            name: {"value": _number(estimate.value), "interval": _ends(estimate.interval)}
            for name, estimate in outcome.corrected.items()
        },
        "nested": None if nested is None else _over_folds(classification.normalized(nested[held]), run),
        "nested_settings": [_settings(chosen) for chosen in outcome.nested_settings],
        "test": _on_test(tested, run.test_labels, run.seed) if has_test else None,
        "members": [
            {"settings": _settings(one["settings"]), "weight": _number(one["weight"]), "features": one["features"]}
            for one in outcome.members
        ],
        "calibration": _calibration(outcome, folded, labels, tested, run.test_labels),
        "features": {"kept": outcome.features_kept, "total": outcome.features_total},
        "layers": _layers(outcome),
        "sweep": [
            {
                "settings": _settings(point.settings),
                "accuracies": [_number(a) for a in point.accuracies],
                "log_losses": [_number(a) for a in point.log_losses],
            }
            for point in outcome.sweep
        ],
        "cost": {
            "seconds": _number(outcome.seconds),
            "flops": _number(outcome.flops),
            "extraction_flops": _number(outcome.extraction_flops),
            "bytes": int(outcome.bytes_stored),
        },
    }


def _over_folds(logp: np.ndarray, run: Run) -> dict[str, Any]:
    """Every metric on the held-out rows: of each fold, the mean and its standard error, an interval over all rows."""
    judged, labels, folds = {}, run.train_labels[run.held_out], run.folds[run.held_out]
    intervals = _intervals(logp, labels, run.seed)
    masks = [folds == fold for fold in range(int(folds.max()) + 1)]
    for name, metric in classification.METRICS.items():
        values = [metric(logp[held], labels[held]) if held.any() else math.nan for held in masks]
        over = Mean.of(values)
        judged[name] = {
            "mean": _number(over.mean),
            "stderr": _number(over.stderr),
            "interval": _ends(intervals.get(name)),
            "folds": [_number(value) for value in values],
        }
    return judged


def _on_test(logp: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, Any]:
    """Every metric on the test rows, with its interval."""
    intervals = _intervals(logp, labels, seed)
    return {
        name: {"value": _number(metric(logp, labels)), "interval": _ends(intervals.get(name))}
        for name, metric in classification.METRICS.items()
    }


def _intervals(logp: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, Interval]:
    """Bootstrap intervals over resamples of the images, for the metrics that have one."""
    right = classification.correct(logp, labels)
    return {
        "accuracy": accuracy_interval(right, seed),
        "balanced_accuracy": balanced_accuracy_interval(right, labels, seed),
        "log_loss": mean_interval(classification.losses(logp, labels), seed),
    }


def _calibration(
    outcome: Outcome, folded: np.ndarray, train: np.ndarray, tested: np.ndarray, test: np.ndarray
) -> dict[str, Any]:
    """The entry `calibration`: on the test rows, or on the folds where there are none."""
    logp, labels = (tested, test) if len(test) else (folded, train)
    before = classification.normalized(logp, 1 / (outcome.temperature if len(test) else outcome.fold_temperature))
    counts, confidence, right = calibration.reliability(logp, labels)
    return {
        "on": "test" if len(test) else "folds",
        "temperature": _number(outcome.temperature),
        "fold_temperature": _number(outcome.fold_temperature),
        "ece": _number(calibration.ece(logp, labels)),
        "ece_before": _number(calibration.ece(before, labels)),
        "log_loss_before": _number(classification.log_loss(before, labels)),
        "bins": {
            "counts": counts.tolist(),
            "confidence": [_number(value) for value in confidence],
            "accuracy": [_number(value) for value in right],
        },
    }


def _layers(outcome: Outcome) -> list[dict[str, Any]]:
    """Every layer from first to last with its width; where a method names no widths, the layers that it reads."""
    widths: Mapping[str, int | None] = outcome.layers or dict.fromkeys(outcome.kept_by_layer)
    return [
        {"name": name, "width": None if width is None else int(width), "kept": int(outcome.kept_by_layer.get(name, 0))}
        for name, width in widths.items()
    ]


def _comparisons(run: Run, outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Compare every two methods on the same rows: the test's or else the folds', the outer ones if they are nested."""
    held, labels = run.held_out, run.train_labels[run.held_out]
    if len(run.test_labels):
        on, labels, logps = "test", run.test_labels, [o.test_log_probabilities for o in outcomes]
    elif nested := [o.nested_log_probabilities[held] for o in outcomes if o.nested_log_probabilities is not None]:
        on, logps = "nested", nested
    else:
        on, logps = "folds", [o.fold_log_probabilities[held] for o in outcomes]
    right = {o.name: classification.correct(logp, labels) for o, logp in zip(outcomes, logps, strict=True)}
    comparisons = []
    for a, b in itertools.combinations(right, 2):
        test = McNemar.of(right[a], right[b])
        comparisons.append(
            {
                "a": a,
                "b": b,
                "on": on,
                "difference": _number(float(right[a].mean() - right[b].mean())),
                "interval": _ends(paired_difference(right[a], right[b], run.seed)),
                "a_only": test.a_only,
                "b_only": test.b_only,
                "p": _number(test.p),
            }
        )
    return comparisons


def _ends(interval: Interval | None) -> list[float | None] | None:
    return None if interval is None else [_number(interval.low), _number(interval.high)]


def _number(value: float) -> float | None:
    """A number of six significant digits; None for NaN, which JSON has not."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _settings(chosen: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _plain(value) for key, value in chosen.items()}


def _plain(value: Any) -> Any:
    """A setting as JSON: NumPy's scalars and tuples as Python's own."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return _number(value) if isinstance(value, float) else value
