"""An outcome as one file: what a method left is recalled bit for bit, by a run that was interrupted or a later one."""

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.probe.methods.outcome import Outcome, SweepPoint
from head2toe.store.common.arrays_file import read_arrays, write_arrays


def save(outcome: Outcome, file: Path) -> None:
    """Write an outcome; whole or not at all."""
    plain, arrays = _parted(outcome)
    plain["sweep"] = [asdict(point) for point in outcome.sweep]
    plain["model"] = None
    if outcome.model is not None:
        plain["model"], of_model = _parted(outcome.model)
        arrays |= {f"model.{name}": array for name, array in of_model.items()}
    write_arrays(file, plain, **arrays)


def load(file: Path) -> Outcome:
    """Read what `save` wrote. Raises DataError for anything else."""
    with read_arrays(file, "an outcome", "remove it and run again") as (plain, arrays):
        of_model = {name.removeprefix("model."): arrays.pop(name) for name in list(arrays) if name.startswith("model.")}
        model = plain.pop("model")
        if model is not None:
            model = LinearModel(**model | of_model | {"target_sizes": tuple(model["target_sizes"])})
        sweep = tuple(
            SweepPoint(point["settings"], tuple(point["accuracies"]), tuple(point["log_losses"]))
            for point in plain.pop("sweep")
        )
        plain |= arrays
        return Outcome(**plain, sweep=sweep, model=model)


def _parted(record: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of a dataclass: what JSON can hold, and arrays."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    return {name: value for name, value in values.items() if name not in arrays}, arrays
