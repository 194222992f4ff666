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
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 lost, 0 repeated, 0 wrong" in done.stdout
    assert list(tmp_path.iterdir()) == []
