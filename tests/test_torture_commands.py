"""Commands that are killed at random moments work when they are run again."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "torture_commands.py"
KILLS = 200


@pytest.mark.slow
def test_killed_commands() -> None:
    command = [sys.executable, str(SCRIPT), "--kills", str(KILLS)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    assert "survived" in process.stdout
