"""An outcome as one file: what a method left is recalled bit for bit, by a run that was interrupted or a later one."""

import io
import json
import zipfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from head2toe.probe.outcome import LinearModel, Outcome, SweepPoint
from head2toe.store.errors import DataError
from head2toe.store.files import write_bytes


def save(outcome: Outcome, file: Path) -> None:
    """Write an outcome; whole or not at all."""
    plain, arrays = _parted(outcome)
    plain["sweep"] = [asdict(point) for point in outcome.sweep]
    plain["model"] = None
    if outcome.model is not None:
        plain["model"], of_model = _parted(outcome.model)
        arrays |= {f"model.{name}": array for name, array in of_model.items()}
    header = json.dumps(plain, default=lambda scalar: scalar.item())  # JSON knows no NumPy scalar
    content = io.BytesIO()
    np.savez(content, header=np.array(header), **arrays)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(file, content.getvalue())


def load(file: Path) -> Outcome:
    """Read what `save` wrote. Raises DataError for anything else."""
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as data:
            plain = json.loads(str(data["header"]))
            arrays = {name: data[name] for name in data.files if name != "header"}
        of_model = {name.removeprefix("model."): arrays.pop(name) for name in list(arrays) if name.startswith("model.")}
        model = plain.pop("model")
        if model is not None:
            model = LinearModel(**model | of_model | {"target_sizes": tuple(model["target_sizes"])})
        sweep = tuple(
            SweepPoint(point["settings"], tuple(point["accuracies"]), tuple(point["log_losses"]))
            for point in plain.pop("sweep")
        )
        return Outcome(**plain, **arrays, sweep=sweep, model=model)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{file} is not an outcome ({error}): remove it and run again") from error


def _parted(record: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of a dataclass: what JSON can hold, and arrays."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    return {name: value for name, value in values.items() if name not in arrays}, arrays
