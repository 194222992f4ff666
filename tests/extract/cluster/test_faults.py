"""Machines and networks that fail for a while or for good: one line, and what was finished is kept."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from head2toe.extract import stage
from head2toe.extract.cluster import block_task, scheduler
from head2toe.extract.cluster.block_task import BlockTask, Job, extract_block
from head2toe.extract.options import ExtractOptions
from head2toe.pipeline import extract
from head2toe.store.common.errors import Head2ToeError, StoreError
from head2toe.tests.extract.cluster.images import BLOCKS, N, many_images
from head2toe.tests.store.small_disk import run_with_small_disk

distributed = pytest.importorskip("distributed")

HEAD2TOE = str(Path(sys.executable).with_name("head2toe"))
NETWORK = {"backbone": "test_resnet", "weights": "random", "input_size": 32, "taps": "blocks", "target_sizes": (64,)}


@pytest.fixture(autouse=True)
def many(tmp_path: Path) -> None:
    """A folder `images` of so many images that they are seven blocks."""
    many_images(tmp_path / "images")


class Wire:
    """A port that hands on to another, until it is cut."""

    def __init__(self, port: int) -> None:
        self._port, self._whole = port, True
        self._ends: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._whole = False
        for end in self._ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it was closed by the other side

    def mend(self) -> None:
        self._whole = True

    def close(self) -> None:
        self.cut()
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            if not self._whole:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._port))
            self._ends += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    @staticmethod
    def _pump(one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(1 << 16):
                other.sendall(data)
        except OSError:
            pass  # cut
        finally:
            one.close()
            other.close()


@contextmanager
def wired() -> Iterator[Wire]:
    """A scheduler with two workers, behind a wire."""
    how = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}
    with distributed.LocalCluster(**how) as cluster:
        wire = Wire(int(cluster.scheduler_address.rpartition(":")[2]))
        yield wire
        wire.close()


def at_the_first_report(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """Have something done when the first block has been reported."""
    once = iter([do])

    @contextmanager
    def progress(label: str, unit: str) -> Iterator[Any]:
        assert (label, unit) == ("extracting", "img")
        yield lambda *_: next(once, int)()

    monkeypatch.setattr(stage, "progress", progress)


def complete(store: Path) -> bool:
    """Whether the one store below a root has all its blocks."""
    return len(list(store.glob("??/*/commit/*.json"))) == BLOCKS


def test_a_connection_that_is_cut_for_a_while_is_taken_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with wired() as wire:

        def cut_for_a_while() -> None:
            wire.cut()
            threading.Timer(3, wire.mend).start()

        at_the_first_report(monkeypatch, cut_for_a_while)
        extraction = extract("images", **NETWORK, store=tmp_path / "stores", cluster=wire.address)
    assert complete(tmp_path / "stores")
    assert 32 <= extraction.images_extracted <= N
    assert any("the connection to the scheduler was cut and taken up again" in note for note in extraction.notes)


def test_a_connection_that_is_gone_is_one_line_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "SECONDS_AFTER_A_CUT", 1)
    monkeypatch.setattr(scheduler, "SECONDS_FOR_SCHEDULER", 2)
    with wired() as wire:
        at_the_first_report(monkeypatch, wire.cut)
        with pytest.raises(
            Head2ToeError, match="the connection to its scheduler was lost: what was finished"
        ) as raised:
            extract("images", **NETWORK, store=tmp_path / "stores", cluster=wire.address)
        assert "\n" not in str(raised.value)
        assert list((tmp_path / "stores").glob("??/*/commit/*.json"))
        wire.mend()
        extract("images", **NETWORK, store=tmp_path / "stores", cluster=wire.address)
    assert complete(tmp_path / "stores")


def test_workers_that_are_all_gone_are_waited_for_aloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scheduler, "SECONDS_BETWEEN_LOOKS", 0.3)
    how = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}
    with distributed.LocalCluster(**how) as cluster:

        def leave_and_come_back() -> None:
            cluster.scale(0)
            threading.Timer(3, cluster.scale, (1,)).start()

        at_the_first_report(monkeypatch, leave_and_come_back)
        found = extract(
            str(tmp_path / "images"), cluster=cluster.scheduler_address, store=tmp_path / "stores", **NETWORK
        )
        assert found.store.n_rows == N
    said = capfd.readouterr().err
    assert said.count("waiting for workers of the cluster: there are none any more") == 1


def test_a_look_for_workers_while_the_client_closes_is_a_lost_connection() -> None:
    closing = SimpleNamespace(scheduler_info=lambda **_: {})  # Dask's answer between two of its steps
    with pytest.raises(OSError, match="the client is closed"):
        scheduler.workers_of(closing)


def test_a_worker_that_does_not_see_the_store_says_so(tmp_path: Path) -> None:
    options = ExtractOptions(**NETWORK, store=tmp_path / "stores", device="cpu")
    weights = block_task.backbone_of(options).weights_sha256
    job = Job("a", options, weights, {(stage.PLAIN, 64): str(tmp_path / "stores" / "ab" / "abc")})
    done = extract_block(BlockTask(job, 0, (), ()))
    assert done.kind is StoreError
    assert done.error.endswith("a worker does not see this folder: give --store a folder that all machines share")


def test_a_worker_without_the_gpu_that_is_asked_for_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    options = ExtractOptions(**NETWORK, store=tmp_path / "stores", device="cuda")
    done = extract_block(BlockTask(Job("b", options, "", {}), 0, (), ()))
    assert done.error.startswith("a worker on ")
    assert done.error.endswith("no device cuda: torch sees 0 CUDA devices; use --device cpu")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def of_dask(tmp_path: Path) -> Iterator[tuple[str, list["subprocess.Popen[bytes]"]]]:
    """A scheduler and two workers as processes of their own, started in another folder than the command."""
    address = f"tcp://127.0.0.1:{free_port()}"
    python = [sys.executable, "-m"]
    host, port = address.removeprefix("tcp://").split(":")
    commands = [[*python, "distributed.cli.dask_scheduler", "--host", host, "--port", port, "--no-dashboard"]]
    commands += [
        [*python, "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny"]
    ] * 2
    (tmp_path / "elsewhere").mkdir()
    how: dict[str, Any] = {"cwd": tmp_path / "elsewhere", "stderr": subprocess.DEVNULL}
    processes = [subprocess.Popen(command, **how) for command in commands]
    try:
        yield address, processes
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("which", [0, 1], ids=["the scheduler", "a worker"])
def test_what_stands_still_for_a_while_loses_nothing(tmp_path: Path, which: int) -> None:
    with of_dask(tmp_path) as (address, processes):
        command = [HEAD2TOE, "extract", "images", "--backbone", "resnet18", "--weights", "random", "--input-size", "96"]
        command += ["--target-size", "64", "--store", "stores", "--cluster", address, "--json"]
        run = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        first_commit(tmp_path / "stores", run)
        os.kill(processes[which].pid, signal.SIGSTOP)
        time.sleep(8)
        os.kill(processes[which].pid, signal.SIGCONT)
        out, said = run.communicate(timeout=240)
    assert run.returncode == 0, said
    assert "Traceback" not in said
    assert json.loads(out)["images_extracted"] == N
    assert complete(tmp_path / "stores")


def first_commit(store: Path, run: "subprocess.Popen[str]") -> None:
    """Wait until a command has committed a block."""
    deadline = time.monotonic() + 240
    while not list(store.glob("??/*/commit/*.json")):
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


FULL = """
import os, subprocess, sys, time
from pathlib import Path
store, command = Path(sys.argv[1]), sys.argv[2:]
run = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
while not list(store.glob("??/*/commit/*.json")):
    assert run.poll() is None, run.communicate()
    time.sleep(0.01)
with open(store / "somebody's", "wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(1 << 12))
    except OSError:
        pass
_, said = run.communicate(timeout=240)
print(said.splitlines()[-1])
assert run.returncode == 1, run.returncode
assert "Traceback" not in said, said
assert list(store.glob("??/*/commit/*.json"))
os.unlink(store / "somebody's")
again = subprocess.run(command, capture_output=True, text=True)
assert again.returncode == 0, again.stderr
print(len(list(store.glob("??/*/commit/*.json"))))
"""


@pytest.mark.slow
def test_a_disk_that_is_full_for_a_worker(tmp_path: Path) -> None:
    (tmp_path / "stores").mkdir()
    command = [HEAD2TOE, "extract", "images", "--backbone", "resnet18", "--weights", "random", "--input-size", "96"]
    command += ["--target-size", "64", "--store", str(tmp_path / "stores"), "--cluster", "local:1"]
    script = [sys.executable, "-c", FULL, str(tmp_path / "stores"), *command]
    run = run_with_small_disk(script, tmp_path / "stores", size="64M", cwd=tmp_path, timeout=500)
    assert run.returncode == 0, run.stderr
    line, blocks = run.stdout.splitlines()
    assert "no space left on its disk: free some" in line
    assert int(blocks) == BLOCKS
