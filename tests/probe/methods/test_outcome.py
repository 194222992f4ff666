"""An outcome is read as it was written, bit for bit, and a damaged file is named."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head2toe.probe.choice.sweep import evaluate
from head2toe.probe.methods.outcome import Outcome
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.store.common.errors import DataError

Posed = Callable[[np.ndarray], ProbeData]
FOLDS = np.arange(100) * 3 // 100


def same(a: Any, b: Any) -> bool:
    """Bit for bit, all the way down; tuples and lists are both sequences."""
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(same, a, b))
    if hasattr(a, "__dataclass_fields__"):
        return type(a) is type(b) and all(same(getattr(a, name), getattr(b, name)) for name in a.__dataclass_fields__)
    return bool(a == b)


@pytest.mark.parametrize("method", ["linear", "knn", "l21", "head2toe"])
def test_a_round_trip(method: str, posed: Posed, tmp_path: Path) -> None:
    outcome = evaluate(method, posed(FOLDS))
    outcome.save(tmp_path / "new" / "o.npz")
    assert same(outcome, Outcome.load(tmp_path / "new" / "o.npz"))


def test_a_damaged_file_is_named(posed: Posed, tmp_path: Path) -> None:
    file = tmp_path / "o.npz"
    evaluate("knn", posed(FOLDS)).save(file)
    whole = file.read_bytes()
    for content in (b"", b"no zip", whole[: len(whole) // 2]):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"o\.npz is not an outcome \(.*\): remove it and run again") as error:
            Outcome.load(file)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "l21"}, "of the method 'l21'"),
        ({"settings": {"C": 7}}, "settings that were not tried"),
        ({"sweep": ()}, "settings that were not tried"),
        ({"seconds": None}, "seconds is None"),
        ({"flops": float("nan")}, "flops is nan"),
        ({"temperature": "1"}, "temperature is '1'"),
        ({"fold_temperature": 0}, "a temperature is 0"),
        ({"kept_by_layer": {"x": -1}}, "kept_by_layer"),
        ({"fold_log_probabilities": np.full((100, 3), 0.5, np.float32)}, "fold_log_probabilities are none"),
        ({"fold_log_probabilities": np.zeros(3, np.float32)}, "log_probabilities are none"),
        ({"test_log_probabilities": np.full((4, 3), np.nan, np.float32)}, "hold NaN"),
        ({"test_log_probabilities": np.zeros((4, 3))}, "dtype float64"),
        ({"coef": np.float32(np.nan)}, "coef of its model holds NaN"),
        ({"mean": np.zeros(1, np.float32)}, "mean of its model has the shape"),
        ({"columns": "descending"}, "columns of its model"),
    ],
)
def test_values_that_no_outcome_has_are_refused_whatever_checksum_they_have(
    changes: dict[str, Any], says: str, posed: Posed, tmp_path: Path
) -> None:
    outcome, file = evaluate("linear", posed(FOLDS)), tmp_path / "o.npz"
    assert outcome.model is not None
    (name, value), *_ = changes.items()
    if name in ("coef", "mean", "columns"):
        value = outcome.model.coef * value if name == "coef" else value
        value = outcome.model.columns[::-1] if name == "columns" else value
        forged = replace(outcome, model=replace(outcome.model, **{name: value}))
    else:
        forged = replace(outcome, **changes)
    outcome.save(file)
    assert same(Outcome.load(file, "linear"), outcome)
    forged.save(file)
    with pytest.raises(DataError, match=says) as error:
        Outcome.load(file, "linear")
    assert "\n" not in str(error.value)
    assert "remove it and run again" in str(error.value)
