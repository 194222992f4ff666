"""Commands that are killed at random moments work when run again; equal ones at once into one folder all end well."""

import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest
from click.testing import CliRunner
from head2toe.pipeline import main, run

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "torture_commands.py"
KILLS = 200
PROCESSES, ROUNDS = 3, 2

WAITING = """
import sys
from head2toe.pipeline import run
network = dict(backbone="test_resnet", weights="random", input_size=32, target_sizes=(16,), taps="pre_logits")
run("stripes", methods=("linear",), output="first", **network)  # so that the rounds begin with everything imported
print("ready", flush=True)
for line in sys.stdin:
    result = run("stripes", methods=("linear",), output=line.strip(), **network)
    print(result.file, flush=True)
"""
"""A process that runs the task into the folder of each line of its stdin."""


@pytest.mark.slow
def test_killed_commands() -> None:
    command = [sys.executable, str(SCRIPT), "--kills", str(KILLS)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    assert "survived" in process.stdout


def pipes(process: "subprocess.Popen[str]") -> tuple[IO[str], IO[str]]:
    """Its stdin and stdout."""
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("image_folder")
def test_equal_runs_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WAITING]
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **options) for _ in range(PROCESSES)]
    for process in processes:
        assert pipes(process)[1].readline() == "ready\n"
    for number in range(ROUNDS):
        for process in processes:
            print(f"results{number}", file=pipes(process)[0], flush=True)
        files = {pipes(process)[1].readline().strip() for process in processes}
        assert len(files) == 1, "one result for all"
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
    network = {"backbone": "test_resnet", "weights": "random", "input_size": 32, "target_sizes": (16,)}
    for number in range(ROUNDS):
        folder = Path(f"results{number}")
        again = run("stripes", methods=("linear",), output=folder, taps="pre_logits", **network)
        assert again.recalled
        shown = CliRunner().invoke(main, ["predict", str(again.file.parent), "stripes/test", "--method", "linear"])
        assert shown.exit_code == 0, shown.output
    assert not [path for path in tmp_path.rglob("*") if ".partial" in path.name]
