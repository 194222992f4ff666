"""The short version of `make torture`: writers killed at random moments lose nothing, repeat nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "torture.py"


@pytest.mark.parametrize("format", ["zarr", "hdf5"])
def test_killed_writers(tmp_path: Path, format: str) -> None:
    command = [
        sys.executable,
        str(SCRIPT),
        "--kills",
        "15",
        "--writers",
        "3",
        "--formats",
        format,
        "--root",
        str(tmp_path),
    ]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    assert "0 lost, 0 repeated, 0 wrong" in process.stdout
    assert list(tmp_path.iterdir()) == []
