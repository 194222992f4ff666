"""Runs whose features are written by threads, killed or interrupted at any moment, and two at once on one store."""

import os
import signal
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head2toe.store.reading.design_matrix import DesignMatrix
from head2toe.store.reading.feature_store import FeatureStore

N = 96
SCRIPT = """
import os
import sys
import numpy as np
from head2toe.extract.backbone.backbone import load_backbone
from head2toe.extract.backbone.taps import discover
from head2toe.extract.features import loop
from head2toe.extract.features.reader import layer_index
from head2toe.extract.features.views import PLAIN
from head2toe.extract.images.sources import ImageArray
from head2toe.extract.stage import store_identity
from head2toe.store.console import interrupts
from head2toe.store.management.catalogue import Catalogue

os.environ["HEAD2TOE_STORE"] = store
rng = np.random.default_rng(0)
images = [ImageArray(f"{i}", rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)) for i in range(N)]
digests = [image.digest() for image in images]
backbone = load_backbone("test_resnet", weights="random", input_size=32, device="cpu")
taps = discover(backbone, "blocks").taps
identity = store_identity(backbone, taps, 64, "paper", "float16")
writer = Catalogue().writer(identity, digests, layer_index(taps, 64), rows_per_block=4)
try:
    with interrupts.raised():
        how = {"batch_size": 3, "threaded": threaded, "progress": lambda *counts: said.send(counts)}
        loop.run(images, digests, backbone, taps, {(PLAIN, 64): writer}, **how)
except interrupts.Interrupted as interrupt:
    sys.exit(interrupt.exit_code)
said.send(writer.seal().path)
"""


class Running:
    """The script in a process of its own."""

    def __init__(self, forked: ForkServerContext, store: Path, *, threaded: bool) -> None:
        self.said: Connection
        self.said, end = forked.Pipe(duplex=False)
        names = {"N": N, "store": str(store), "threaded": threaded, "said": end}
        self.process: ForkServerProcess = forked.Process(target=exec, args=(SCRIPT, names))
        self.process.start()
        end.close()

    def next(self) -> Any:
        """What it says next: how many images of how many are done, or at last the path of its store."""
        assert self.said.poll(240)
        return self.said.recv()

    def exit_code(self) -> int | None:
        """Wait for its end."""
        self.process.join(timeout=60)
        return self.process.exitcode

    def completed(self) -> tuple[int, np.ndarray]:
        """Wait for it; return how many images it extracted, and the features of its store, which is whole."""
        done, said = 0, self.next()
        while isinstance(said, tuple):
            done, said = said[0], self.next()
        assert self.exit_code() == 0
        store = FeatureStore.open(said)
        return done, DesignMatrix.of([store], sorted(store.images)).columns(np.arange(store.layers.n_features))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, forked: ForkServerContext) -> np.ndarray:
    """The features of a run that nothing happened to, without threads."""
    extracted, values = Running(forked, tmp_path_factory.mktemp("reference"), threaded=False).completed()
    assert extracted == N
    return values


def test_killed_at_any_moment_it_goes_on_and_the_store_is_the_same(
    expected: np.ndarray, tmp_path: Path, forked: ForkServerContext
) -> None:
    left = N
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        run = Running(forked, tmp_path, threaded=True)
        for _ in range(5):
            done, total = run.next()
        assert total <= left, "what was committed is not extracted again"
        left = total
        assert run.process.pid is not None
        os.kill(run.process.pid, number)
        assert run.exit_code() == (-number if number == signal.SIGKILL else 128 + number)
        run.said.close()
        assert done < total
    extracted, values = Running(forked, tmp_path, threaded=True).completed()
    assert extracted < left, "what was finished before the last signal is kept"
    np.testing.assert_array_equal(values, expected)


def test_two_at_once_share_the_blocks_of_one_store(
    expected: np.ndarray, tmp_path: Path, forked: ForkServerContext
) -> None:
    runs = [Running(forked, tmp_path, threaded=True) for _ in range(2)]
    (one, values), (other, same) = (run.completed() for run in runs)
    assert one + other >= N
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(same, expected)
