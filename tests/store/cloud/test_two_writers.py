"""Two writers, as processes with copies of their own, on one bucket that fails now and then; one is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from head2toe.tests.store.cloud.server import SECRET, Fault, Flaky
from head2toe.tests.store.cloud.test_catalogue import contents

BLOCKS = 12
SCRIPT = """
import sys, time
from head2toe.store.cloud import catalogue, lease
from head2toe.store.cloud.catalogue import catalogue_of
from head2toe.tests.store.conftest import LAYERS, features_of, fill, identity_of, image

lease.SECONDS, lease.RENEWED_AFTER, catalogue.SECONDS_BETWEEN_LOOKS = 2.0, 0.5, 0.1
images = [image(i) for i in range(4 * BLOCKS)]
writer = catalogue_of(None).writer(identity_of(), images, LAYERS, format=sys.argv[1], rows_per_block=4)

def slowly(some):
    time.sleep(0.01)
    print("batch", flush=True)
    return features_of(some)

extracted = 0
while writer.pending():
    extracted += fill(writer, slowly)
    time.sleep(0.05)
print(extracted, writer.seal().path, flush=True)
""".replace("BLOCKS", str(BLOCKS))


def begun(cache: Path, url: str, server: Flaky, format: str) -> "subprocess.Popen[str]":
    environment = os.environ | server.environment() | {"HEAD2TOE_STORE": url, "HEAD2TOE_CACHE": str(cache)}
    command = [sys.executable, "-c", SCRIPT, format]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def ended(run: "subprocess.Popen[str]") -> tuple[int, Path]:
    """How many rows a writer computed, and where its copy is."""
    out, err = run.communicate(timeout=120)
    assert run.returncode == 0, err
    assert SECRET not in out + err
    rows, path = out.splitlines()[-1].split(" ", 1)
    return int(rows), Path(path)


def weather() -> list[Fault]:
    """What goes wrong, a few times each."""
    return [
        Fault("lose", "PUT", "/commit/", 2),
        Fault("fail", "PUT", "/data/", 2, status=503, code="SlowDown"),
        Fault("fail after", "PUT", "/commit/", 2),
        Fault("cut", "GET", "/data/", 2),
        Fault("drop", "GET", "/commit/", 2),
        Fault("fail", "PUT", "/commit/", 2, status=409, code="ConditionalRequestConflict"),
        Fault("slow", "GET", "/data/", 2),
    ]


def once(server: Flaky) -> None:
    """Every block was committed once."""
    commits = server.puts("/commit/")
    assert len(commits) == len(set(commits)) == BLOCKS


def test_two_writers_commit_every_block_once(tmp_path: Path, url: str, server: Flaky, format: str) -> None:
    server.faults += weather()
    runs = [begun(tmp_path / name, url, server, format) for name in ("one", "two")]
    (mine, one), (theirs, two) = map(ended, runs)
    once(server)
    assert mine + theirs == 4 * BLOCKS, "nothing was computed twice: leases held"
    assert contents(one) == contents(two)
    assert {fault.how for fault in server.faults if not fault.times} >= {"lose", "fail after", "fail"}


@pytest.mark.parametrize("batches", [3, *(pytest.param(batches, marks=pytest.mark.slow) for batches in (1, 5, 9))])
def test_a_killed_writer_loses_nothing(tmp_path: Path, url: str, server: Flaky, batches: int) -> None:
    server.faults += weather()
    killed = begun(tmp_path / "one", url, server, "zarr")
    assert killed.stdout is not None
    for _ in range(batches):
        assert killed.stdout.readline() == "batch\n"
    other = begun(tmp_path / "two", url, server, "zarr")
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    rows, two = ended(other)
    again, one = ended(begun(tmp_path / "one", url, server, "zarr"))
    once(server)
    assert rows > 4 * BLOCKS - 4 * batches
    assert again == 0, "all is there"
    assert contents(one) == contents(two)


def test_two_writers_of_one_machine_share_a_copy(tmp_path: Path, url: str, server: Flaky) -> None:
    runs = [begun(tmp_path / "one", url, server, "zarr") for _ in range(2)]
    (mine, one), (theirs, two) = map(ended, runs)
    once(server)
    assert (mine + theirs, one) == (4 * BLOCKS, two)


def test_no_file_and_no_object_holds_credentials(tmp_path: Path, url: str, server: Flaky) -> None:
    _, path = ended(begun(tmp_path / "one", url, server, "zarr"))
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert any(file.is_relative_to(path) for file in files)
    assert not [file for file in files if SECRET.encode() in file.read_bytes()]
