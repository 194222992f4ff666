"""An outcome is read as it was written, bit for bit, and a damaged file is named."""

from collections.abc import Callable
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
