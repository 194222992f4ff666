"""What the command line does whatever is asked of it: help, exit codes, pipes, Ctrl-C, make."""

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner
from head2toe.pipeline import Options, main
from head2toe.store.common.errors import DataError
from head2toe.tests.commands import call

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("words", ["--help", "--version", "tasks", "store ls --json"])
def test_output_that_cannot_be_written_is_one_line(words: str) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "head2toe.pipeline", *words.split()]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("Error: standard output: no space left on its disk"), done.stderr


def test_a_pipe_that_closes_early_is_no_error() -> None:
    command = [sys.executable, "-m", "head2toe.pipeline", "tasks"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()  # as `| head` does when it has read enough
        assert running.stderr.read() == ""


def test_results_that_could_not_be_written_are_said_before_anything_is_extracted(
    image_folder: Path, tmp_path: Path, flags: list[str]
) -> None:
    (tmp_path / "file").touch()
    result = call("run", str(image_folder), *flags, "--output", str(tmp_path / "file" / "results"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1
    assert f"{tmp_path / 'file'} can't be written: choose another folder with --output" in result.stderr
    assert not list(tmp_path.glob("stores/*/*"))


def test_debug_shows_the_traceback() -> None:
    result = CliRunner().invoke(main, ["--debug", "run", "dtd"])
    assert isinstance(result.exception, DataError)


@pytest.mark.parametrize("command", [[str(ROOT / "pipeline.py")], ["-m", "head2toe.pipeline"]])
def test_the_file_and_the_module_are_the_command(command: list[str]) -> None:
    done = subprocess.run([sys.executable, *command, "--help"], capture_output=True, text=True, check=True)
    assert "Usage:" in done.stdout
    assert all(name in done.stdout for name in ("tasks", "layers", "extract", "select", "probe", "run"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_interrupted_is_one_line_and_leaves_nothing_that_reads_as_a_store(
    tmp_path: Path, flags: list[str], number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "head2toe.pipeline", "extract", "digits", *flags, "--batch-size", "1"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("stores/*/*/spec.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(number)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (128 + number, "")
    assert err.strip().splitlines()[-1].startswith("interrupted: what was finished is kept")
    assert "Traceback" not in err
    shown = call("store", "ls", "--json")
    assert shown.exit_code == 0, shown.output
    (listed,) = json.loads(shown.stdout)["stores"]
    assert listed["state"] == "unfinished"
    assert not list(tmp_path.glob("stores/**/zarr.json")), "no foreign reader can open it either"


def test_make_passes_its_variables_on() -> None:
    variables = ["TASK=my x", "BACKBONE=b", "TARGET_SIZE=512 4096", "STORE=a b", "DEVICE=cpu", "ARGS=--json"]
    dry = subprocess.run(
        ["make", "--no-print-directory", "-n", "select", *variables],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    words = shlex.split(dry.stdout.splitlines()[-1])
    assert words[1:3] == ["select", "my x"]
    sizes = ["--target-size", "512", "--target-size", "4096"]
    assert words[3:] == ["--backbone", "b", *sizes, "--store", "a b", "--device", "cpu", "--json"]


def test_make_alone_prints_the_help() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert all(target in done.stdout for target in ("make demo", "make test", "make clean"))


def test_the_help_shows_a_command_a_line() -> None:
    shown = [line.strip() for line in call("--help").stdout.splitlines()]
    assert sum(line.startswith("head2toe run ") for line in shown) == 2
    assert not any("\\b" in line for line in shown)


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys, head2toe.pipeline; print(sorted({'torch', 'timm', 'zarr', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_shows_an_example(command: str) -> None:
    text = call(command, "--help").stdout
    assert f"head2toe {command}" in text


def test_the_command_line_knows_every_name() -> None:
    """`head2toe --help` must not import what names stand for, so they stand apart, in the rooms' options."""
    from head2toe.extract import options as extraction
    from head2toe.probe import options as probing
    from head2toe.probe.heads import kinds
    from head2toe.probe.methods import registry
    from head2toe.probe.metrics import classification
    from head2toe.select import options as selecting
    from head2toe.select.ranking import feature_scores, weight_scores
    from head2toe.store.format import backends

    assert set(probing.METHODS) == set(registry.METHODS)
    assert set(probing.METRICS) == set(classification.METRICS)
    assert set(probing.HEADS) == set(kinds.KINDS)
    assert set(selecting.OF_WEIGHTS) == {*weight_scores.NORMS, "layer"}
    assert set(selecting.OF_FEATURES) == set(feature_scores.FILTERS)
    choices = {field.name: field.metadata["choices"] for field in fields(extraction.ExtractOptions)}
    assert choices["format"] == backends.FORMATS


@pytest.mark.parametrize("settings", Options.__mro__[1:4], ids=lambda settings: settings.__name__)
def test_every_option_is_described(settings: type) -> None:
    """On the command line in a line, in Python under `Attributes`."""
    described = re.findall(r"^ +(\w+(?:, \w+)*) : ", settings.__doc__ or "", re.MULTILINE)
    named = {name for names in described for name in names.split(", ")}
    own = [field for field in fields(settings) if field.name in settings.__annotations__]
    assert {field.name for field in own} == named
    assert all(field.metadata["help"].endswith((".", "]")) for field in own)
