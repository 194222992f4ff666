"""The feature store beside an in-memory array and beside the other ways to read the same numbers.

    python benchmarks/store/products.py             # about a minute, a gigabyte of disk
    python benchmarks/store/products.py --rows 65536 --root /fast/disk

Every figure is a ratio to the same operation on an in-memory (rows, features) float32 array, of CPU time, warm, the
best of several runs taken in turn; the last column is the bytes a cold gather fetches from disk, per byte asked for.
Expected of the first line: X @ W at most 1.6 and X.T @ G at most 1.3 (with eight row blocks, of which each block of the
stream is put together), gather at most 0.5, cold at most 1.1.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a ratio of CPU times wants one thread

import numpy as np
from head2toe.store.common.errors import MissingExtra
from head2toe.store.format.layer_index import LayerIndex
from ways import BY_NAME, WAYS, OursHalf, Way, drop_cache, in_a_process, layers_of, parser_of, written


def measure(options: argparse.Namespace) -> None:
    """Print the table."""
    layers = layers_of(options)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((options.rows, layers.n_features), dtype=np.float32)
    W = rng.standard_normal((layers.n_features, options.heads), dtype=np.float32)
    G = rng.standard_normal((options.rows, options.heads), dtype=np.float32)
    columns = some_columns(layers)
    with written(options, X, WAYS) as (root, words):
        print(f"{'':42}{'X @ W':>8}{'X.T @ G':>9}{'gather 1%':>11}{'cold bytes':>12}")
        cold = {way: cold_in_a_process(way, words) for way in WAYS}
        for way in WAYS:
            try:
                reader = way(root, layers, options.rows)
            except MissingExtra as error:
                print(f"{way.title():42}skipped: {error}")
                continue
            np.testing.assert_allclose(reader.xtg(G[:, :1]), X.T @ G[:, :1], rtol=0.02, atol=0.2)
            ratios = ratios_to_memory(reader, X, W, G, columns, options.repeats)
            print(f"{way.title():42}{ratios[0]:8.2f}{ratios[1]:9.2f}{ratios[2]:11.2f}{cold[way]:>12}", flush=True)


def ratios_to_memory(
    way: Way, X: np.ndarray, W: np.ndarray, G: np.ndarray, columns: np.ndarray, repeats: int
) -> tuple[float, float, float]:
    """CPU time of X @ W, X.T @ G and the gather, over that of the same in memory."""
    pairs: tuple[tuple[Callable[[], object], Callable[[], object]], ...] = (
        (lambda: way.xw(W), lambda: X @ W),
        (lambda: way.xtg(G), lambda: X.T @ G),
        (lambda: way.gather(columns), lambda: X[:, columns]),
    )
    times = [cpu_times({"way": ours, "memory": plain}, repeats) for ours, plain in pairs]
    first, second, third = (one["way"] / one["memory"] for one in times)
    return first, second, third


def cpu_times(tasks: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The least CPU time of each task, all taken in turn so that a busy machine is busy for all."""
    best = dict.fromkeys(tasks, np.inf)
    for _ in range(repeats):
        for name, task in tasks.items():
            start = time.process_time()
            task()
            best[name] = min(best[name], time.process_time() - start)
    return best


def cold_gather(way: type[Way], root: Path, layers: LayerIndex, n: int, columns: np.ndarray) -> float:
    """Bytes fetched from disk per useful byte, with nothing of the files in memory. Runs in a process of its own."""
    reader = way(root, layers, n)
    drop_cache(root)
    before = bytes_read()
    values = reader.gather(columns)
    itemsize = 2 if way is OursHalf else 4
    return (bytes_read() - before) / (values.size * itemsize)


def bytes_read() -> int:
    """What this process had fetched from disk so far."""
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("read_bytes"):
            return int(line.split()[1])
    raise OSError("/proc/self/io has no read_bytes")


def cold_in_a_process(way: type[Way], words: list[str]) -> str:
    """`cold_gather` in a fresh process, as text; "-" where the platform can't count what was read."""
    try:
        ratio = in_a_process(__file__, words, "--cold", way.__name__)
    except subprocess.CalledProcessError:
        return "-"
    return f"{ratio:.2f}" if ratio else "-"  # 0: the files lie in memory (tmpfs), nothing can be cold


def some_columns(layers: LayerIndex) -> np.ndarray:
    """1 % of the columns, anywhere."""
    d = layers.n_features
    return np.sort(np.random.default_rng(1).choice(d, max(1, d // 100), replace=False))


def main() -> int:
    """Parse the command line and run."""
    parser = parser_of(__doc__)
    parser.add_argument("--cold", choices=BY_NAME, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cold:
        layers = layers_of(options)
        print(json.dumps(cold_gather(BY_NAME[options.cold], options.root, layers, options.rows, some_columns(layers))))
    else:
        measure(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
