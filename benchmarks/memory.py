"""Memory of the path over a store on disk: anonymous memory at its peak, without the mapped pages of its files."""

import hashlib
import multiprocessing
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from head2toe.select.compute.arrays import namespace
from head2toe.select.solver.path import path
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.management.catalogue import Catalogue
from head2toe.store.reading.design_matrix import DesignMatrix
from head2toe.store.reading.feature_store import FeatureStore

WIDTH, BATCH = 4096, 50  # features of a layer, and images at once


def anonymous(pid: int | str = "self") -> int:
    """Anonymous memory of a process in bytes (Linux's RssAnon)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"there is no RssAnon in /proc/{pid}/status: the memory table needs Linux")


def highest(function: Callable[[], object], look: Callable[[], int], every: float) -> tuple[object, int]:
    """What a call returns, and the most that was seen meanwhile, looked at every so many seconds; 0 if nothing was."""
    most, finished = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not finished.wait(every):
            most = max(most, look())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = function()
    finally:
        finished.set()
        watcher.join()
    return result, most


def peak(function: Callable[[], object]) -> int:
    """By how many bytes a call raises anonymous memory above its start, looked at every 5 ms."""
    start = anonymous()
    _, most = highest(function, anonymous, 0.005)
    return max(0, most - start)


def write_store(root: str, n: int, d: int, C: int) -> None:
    """Write a store as extraction does, batch by batch: random numbers, of which 64 columns tell classes apart."""
    rng = np.random.default_rng(0)
    centres = np.zeros((C, d), np.float32)
    centres[:, :64] = rng.standard_normal((C, 64))
    widths = [min(WIDTH, d - start) for start in range(0, d, WIDTH)]
    layers = LayerIndex(tuple(f"layer{i}" for i in range(len(widths))), tuple(widths))

    def features(rows: np.ndarray) -> dict[str, np.ndarray]:
        X = rng.standard_normal((len(rows), d), dtype=np.float32) + centres[rows % C]
        return {name: X[:, layers.columns(name)] for name in layers.names}

    write_batches(root, n, layers, features, BATCH)


def write_batches(
    root: str, n: int, layers: LayerIndex, features: Callable[[np.ndarray], dict[str, np.ndarray]], batch: int
) -> None:
    """Write a store of n images, batch by batch; of rows (numbers of images) `features` makes those of each layer."""
    writer = Catalogue(Path(root)).writer({"dtype": "float16", "of": "benchmark"}, images(n), layers)
    for block in writer.pending():
        claimed = writer.claim(block)
        assert claimed is not None
        with claimed:
            for start in range(0, len(claimed.missing), batch):
                rows = np.asarray(claimed.missing[start : start + batch])
                claimed.put(rows.tolist(), features(rows))
            claimed.commit()
    writer.seal()


def images(n: int) -> list[str]:
    """Names of n images that there are none of."""
    return [hashlib.sha256(str(i).encode()).hexdigest() for i in range(n)]


def measure(n: int, d: int, C: int, ratios: np.ndarray) -> tuple[int, int, int, int, int, float, float]:
    """n, d, C, row sets, λ, GB of the store, and the peak in GB of a path over it.

    Another process writes the store: memory that this one had freed would hide some of what the path takes.
    """
    with tempfile.TemporaryDirectory() as root:
        process = multiprocessing.get_context("spawn").Process(target=write_store, args=(root, n, d, C))
        process.start()
        process.join()
        if process.exitcode:
            raise RuntimeError("the store was not written: see above")
        masks = np.ones((6, n), bool)
        for k in range(5):
            masks[k, k::5] = False
        (folder,) = Catalogue(Path(root)).paths()
        store = FeatureStore.open(folder)
        design = DesignMatrix.of([store], images(n))
        settings = {"n_classes": C, "ratios": ratios, "standardize": True, "arrays": namespace("cpu")}
        nbytes = peak(lambda: list(path(design, np.arange(n) % C, masks, **settings)))
        return n, d, C, len(masks), len(ratios), store.nbytes / 1e9, nbytes / 1e9
