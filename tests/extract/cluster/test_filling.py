"""Stage one shared by workers: the store of one process, whatever happens to a worker."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from head2toe.extract import stage
from head2toe.extract.cluster import scheduler
from head2toe.pipeline import extract
from head2toe.store.common.errors import BadRequest, DataError, Head2ToeError
from head2toe.store.format.layout import commit_file
from head2toe.tests.extract.cluster.images import BLOCKS, N, many_images

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """So many images that they are seven blocks."""
    return many_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    """Of float32: a layer that is unsafe for float16 in one block is widened in others, whose records are replaced."""
    network = {"backbone": "test_resnet", "weights": "random", "input_size": 32, "taps": "blocks"}
    return network | {"target_sizes": (64,), "dtype": "float32"}


def contents(path: Path) -> dict[str, bytes]:
    """Every file of a store's features and commits; what says when and by whom it was written has other bytes."""
    found = {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    return {name: content for name, content in found.items() if not name.startswith(("lock", "used"))}


@pytest.fixture(scope="module")
def alone(many: Path, options: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same blocks, filled by this process alone: begun for a cluster that does not answer, then gone on with."""
    root = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(scheduler, "SECONDS_FOR_SCHEDULER", 0.3)
        with pytest.raises(BadRequest, match="no scheduler answers there"):
            extract(str(many), **options, store=root, cluster="tcp://127.0.0.1:9")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as Dask's workers have: the last bits of a convolution depend on it
    extraction = extract(str(many), **options, store=root)
    torch.set_num_threads(threads)
    assert extraction.images_extracted == N
    return extraction.store.path


@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_workers_write_the_store_of_one_process(
    many: Path, options: dict[str, Any], tmp_path: Path, alone: Path, workers: int
) -> None:
    shared = extract(str(many), **options, store=tmp_path / "shared", cluster=f"local:{workers}")
    assert shared.images_extracted == N
    assert len(list((shared.store.path / "commit").iterdir())) == BLOCKS
    assert contents(shared.store.path) == contents(alone)
    again = extract(str(many), **options, store=tmp_path / "shared", cluster=f"local:{workers}")
    assert again.images_extracted == 0


def test_a_killed_worker_loses_nothing_and_nothing_is_done_twice(
    many: Path, options: dict[str, Any], tmp_path: Path, alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed: dict[Path, tuple[int, int]] = {}
    reports: list[tuple[int, int]] = []
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
    ) as cluster:

        @contextmanager
        def killing(label: str, unit: str) -> Iterator[Any]:
            assert (label, unit) == ("extracting", "img")

            def report(done: int, total: int) -> None:
                if not reports:
                    os.kill(cluster.workers[0].pid, signal.SIGKILL)
                    for file in (tmp_path / "shared").glob("??/*/commit/*.json"):
                        committed[file] = (file.stat().st_ino, file.stat().st_mtime_ns)
                reports.append((done, total))

            yield report

        monkeypatch.setattr(stage, "progress", killing)
        address = cluster.scheduler_address
        shared = extract(str(many), **options, store=tmp_path / "shared", cluster=address)
    assert committed
    assert len(committed) < BLOCKS
    assert {file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in committed} == committed
    assert [commit_file(shared.store.path, block).is_file() for block in range(BLOCKS)] == [True] * BLOCKS
    assert contents(shared.store.path) == contents(alone)
    assert reports[-1][0] <= N == reports[-1][1]


def test_what_a_worker_cannot_read_is_said_here(many: Path, options: dict[str, Any], tmp_path: Path) -> None:
    (many / "a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no image")
    try:
        with pytest.raises(DataError, match=r"broken\.png"):
            extract(str(many), **options, store=tmp_path / "shared", cluster="local:1")
    finally:
        (many / "a" / "broken.png").unlink()


def test_a_worker_of_another_version_is_refused() -> None:
    with distributed.LocalCluster(n_workers=1, dashboard_address=":0", processes=False) as cluster:
        client = cluster.get_client()
        with pytest.raises(Head2ToeError, match="lacks pip-that-no-worker-has"):
            scheduler.require_same_versions(client, "tcp://x:1", {"pip-that-no-worker-has": "1.0"})
        with pytest.raises(Head2ToeError, match=r"has numpy .*, not 0\.1"):
            scheduler.require_same_versions(client, "tcp://x:1", {"numpy": "0.1"})
        client.close()
