"""What stage two asks of a GPU on the digits, as `make bench-gpu-model` counts it: within its budgets."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_digits_stay_within_their_budgets(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu" / "model.py"), "-o", str(tmp_path / "counts.json")]
    subprocess.run(command, check=True)
    counts = json.loads((tmp_path / "counts.json").read_text(encoding="utf-8"))
    selection, linear, head2toe = (counts[stage] for stage in ("selection", "heads of linear", "heads of head2toe"))
    assert 0 < selection["calls"] <= 400
    assert selection["waits"] <= 60
    assert selection["bytes up"] <= 130e6
    assert linear["calls"] <= 8_500
    assert linear["waits"] <= 320
    assert head2toe["calls"] <= 20_000  # 19,464 were counted, 19,568 without `linear` before it
    assert head2toe["waits"] <= 800
