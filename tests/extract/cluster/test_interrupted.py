"""Ctrl-C in a terminal, which all processes of a command get: one line, finished blocks kept, no process left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from head2toe.tests.extract.cluster.images import many_images

pytest.importorskip("distributed")

SECONDS = 120


@pytest.mark.slow
def test_ctrl_c_ends_the_workers_and_keeps_what_is_finished(tmp_path: Path) -> None:
    many_images(tmp_path / "images", n=600, seed=1)
    command = [str(Path(sys.executable).with_name("head2toe")), "extract", "images", "--backbone", "resnet18"]
    command += ["--weights", "random", "--input-size", "128", "--target-size", "64", "--cluster", "local:2"]
    run = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + SECONDS
    while not list((tmp_path / "stores").glob("??/*/commit/*.json")):
        assert run.poll() is None, "it ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGINT)
    said = run.communicate(timeout=SECONDS)[1]
    assert run.returncode == 128 + signal.SIGINT
    assert said.splitlines()[-1].startswith("interrupted: what was finished is kept")
    assert said.count("interrupted:") == 1
    assert "Traceback" not in said
    while time.monotonic() < deadline:
        try:
            os.killpg(run.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("a process of the command is left")
