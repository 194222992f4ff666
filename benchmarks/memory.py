"""Memory of the path over features on disk: anonymous memory at its peak, without the mapped pages of the file."""

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from head2toe.select.arrays import namespace
from head2toe.select.path import path
from head2toe.store.design import ArrayDesign


def anonymous() -> int:
    """Anonymous memory of this process in bytes (Linux's RssAnon)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    raise OSError("this system has no RssAnon in /proc/self/status: the memory table needs Linux")


def peak(function: Callable[[], object]) -> int:
    """By how many bytes a call raises anonymous memory above its start, looked at every 5 ms."""
    start, most, done = anonymous(), 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.005):
            most = max(most, anonymous() - start)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        function()
    finally:
        done.set()
        watcher.join()
    return most


def measure(n: int, d: int, C: int, ratios: np.ndarray) -> tuple[int, int, int, int, int, float]:
    """n, d, C, row sets, λ, and the peak in GB of a path on features that lie in a mapped file: made at random."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % C
    with tempfile.TemporaryDirectory() as folder:
        file = np.memmap(Path(folder) / "features", np.float32, "w+", shape=(d, n))
        centres = rng.standard_normal((64, C), dtype=np.float32)
        for start in range(0, d, 4096):
            part = rng.standard_normal((min(4096, d - start), n), dtype=np.float32)
            part[: min(64, len(part))] += centres[: len(part)][:, y]
            file[start : start + len(part)] = part
        file.flush()
        masks = np.ones((6, n), bool)
        for k in range(5):
            masks[k, k::5] = False
        design = ArrayDesign(np.memmap(Path(folder) / "features", np.float32, "r", shape=(d, n)).T)
        settings = {"n_classes": C, "ratios": ratios, "standardize": True, "arrays": namespace("cpu")}
        found = peak(lambda: list(path(design, y, masks, **settings)))
    return n, d, C, len(masks), len(ratios), found / 1e9
