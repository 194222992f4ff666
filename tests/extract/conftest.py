"""What several files about extraction use."""

import multiprocessing
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest


@pytest.fixture
def lines() -> Callable[[Path, str], list[tuple[str, int]]]:
    """Path and label of every line of a list of VTAB-1k's layout: `lines(folder, "train800")`."""

    def read(folder: Path, name: str) -> list[tuple[str, int]]:
        rows = [line.rpartition(" ") for line in (folder / f"{name}.txt").read_text().splitlines()]
        return [(path, int(label)) for path, _, label in rows]

    return read


@pytest.fixture(scope="session")
def forked() -> ForkServerContext:
    """Processes that need not import torch, which takes seconds: forks of one that did, and has done nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["distributed", "head2toe.extract.cluster.block_task", "head2toe.extract.stage"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # as Dask has it for its workers
        forkserver.ensure_running()
    return context
