"""Runs whose features are written by threads, killed or interrupted at any moment, and two at once on one store."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from head2toe.store.reading.design_matrix import DesignMatrix
from head2toe.store.reading.feature_store import FeatureStore

N = 96
SCRIPT = """
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

rng = np.random.default_rng(0)
images = [ImageArray(f"{i}", rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)) for i in range(N)]
digests = [image.digest() for image in images]
backbone = load_backbone("test_resnet", weights="random", input_size=32, device="cpu")
taps = discover(backbone, "blocks").taps
identity = store_identity(backbone, taps, 64, "paper", "float16")
writer = Catalogue().writer(identity, digests, layer_index(taps, 64), rows_per_block=4)
try:
    with interrupts.raised():
        how = {"batch_size": 3, "threaded": sys.argv[1] == "threads"}
        how["progress"] = lambda done, total: print(done, total, flush=True)
        loop.run(images, digests, backbone, taps, {(PLAIN, 64): writer}, **how)
except interrupts.Interrupted as interrupt:
    sys.exit(interrupt.exit_code)
print("store", writer.seal().path, flush=True)
""".replace("range(N)", f"range({N})")


def begun(how: str, store: Path) -> "subprocess.Popen[str]":
    environment = os.environ | {"HEAD2TOE_STORE": str(store)}
    return subprocess.Popen([sys.executable, "-c", SCRIPT, how], stdout=subprocess.PIPE, text=True, env=environment)


def completed(run: "subprocess.Popen[str]") -> tuple[int, np.ndarray]:
    """Wait for a run; return how many images it extracted, and the features of its store, which is whole."""
    lines = run.communicate(timeout=240)[0].splitlines()
    assert run.returncode == 0
    assert lines[-1].startswith("store "), lines
    store = FeatureStore.open(Path(lines[-1].removeprefix("store ")))
    values = DesignMatrix.of([store], sorted(store.images)).columns(np.arange(store.layers.n_features))
    return len(lines) - 1 and int(lines[-2].split()[0]), values


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """The features of a run that nothing happened to, without threads."""
    extracted, values = completed(begun("at once", tmp_path_factory.mktemp("reference")))
    assert extracted == N
    return values


def test_killed_at_any_moment_it_goes_on_and_the_store_is_the_same(expected: np.ndarray, tmp_path: Path) -> None:
    left = N
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        run = begun("threads", tmp_path)
        assert run.stdout is not None
        for _ in range(5):
            done, total = map(int, run.stdout.readline().split())
        assert total <= left, "what was committed is not extracted again"
        left = total
        run.send_signal(number)
        assert run.wait(timeout=60) == (-number if number == signal.SIGKILL else 128 + number)
        run.stdout.close()
        assert done < total
    extracted, values = completed(begun("threads", tmp_path))
    assert extracted < left, "what was finished before the last signal is kept"
    np.testing.assert_array_equal(values, expected)


def test_two_at_once_share_the_blocks_of_one_store(expected: np.ndarray, tmp_path: Path) -> None:
    runs = [begun("threads", tmp_path) for _ in range(2)]
    (one, values), (other, same) = map(completed, runs)
    assert one + other >= N
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(same, expected)
