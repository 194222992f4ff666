"""The feature store beside an in-memory array and beside the other ways to read the same numbers.

    python benchmarks/store.py                      # about a minute, a gigabyte of disk
    python benchmarks/store.py --rows 65536 --root /fast/disk

Every figure is a ratio to the same operation on an in-memory (rows, features) float32 array, of CPU time, warm, the
best of several runs taken in turn; the last column is the bytes a cold gather fetches from disk, per byte asked for.
Expected of the first line: X @ W at most 1.6 and X.T @ G at most 1.3 (with eight row blocks, of which each block of the
stream is put together), gather at most 0.5, cold at most 1.1.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a ratio of CPU times wants one thread

import h5py
import numpy as np
import zarr
from head2toe.store.common.errors import MissingExtra
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.management.catalogue import Catalogue
from head2toe.store.reading import mapping
from head2toe.store.reading.design_matrix import DesignMatrix
from head2toe.store.reading.feature_store import FeatureStore

Piece = tuple[slice, slice, np.ndarray]  # columns, rows, (columns, rows) values


class Way:
    """One way to read the features: pieces for products, and a gather. `layers` says which columns are which."""

    def __init__(self, root: Path, layers: LayerIndex, n: int) -> None:
        self.root, self.layers, self.n = root, layers, n

    def pieces(self) -> Iterator[Piece]:
        raise NotImplementedError

    def gather(self, columns: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def xw(self, W: np.ndarray) -> np.ndarray:
        out = np.zeros((self.n, W.shape[1]), np.float32)
        for columns, rows, values in self.pieces():
            out[rows] += values.T @ W[columns]
        return out

    def xtg(self, G: np.ndarray) -> np.ndarray:
        out = np.zeros((self.layers.n_features, G.shape[1]), np.float32)
        for columns, rows, values in self.pieces():
            out[columns] += values @ G[rows]
        return out

    def by_layer(self, columns: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """The columns asked for, layer by layer, as numbers inside the layer."""
        for i, name in enumerate(self.layers.names):
            low, high = self.layers.offsets[i : i + 2]
            inside = columns[(columns >= low) & (columns < high)]
            if len(inside):
                yield name, inside - low


class Ours(Way):
    """head2toe."""

    folder, format, dtype = "float32", "zarr", "float32"

    def __init__(self, root: Path, layers: LayerIndex, n: int) -> None:
        super().__init__(root, layers, n)
        store = FeatureStore.open(next((root / self.folder).glob("??/*")))
        self.design = DesignMatrix.of([store], store.images)

    def pieces(self) -> Iterator[Piece]:
        for block in self.design.stream():
            yield slice(block.start, block.stop), slice(0, self.n), block.values

    def gather(self, columns: np.ndarray) -> np.ndarray:
        return self.design.columns(columns)


class OursHdf5(Ours):
    """head2toe, HDF5."""

    folder, format = "hdf5", "hdf5"


class OursHalf(Ours):
    """head2toe, float16."""

    folder, dtype = "float16", "float16"


class ZarrApi(Way):
    """Plain zarr API on the same store."""

    def __init__(self, root: Path, layers: LayerIndex, n: int) -> None:
        super().__init__(root, layers, n)
        group = zarr.open_group(next((root / "float32").glob("??/*")) / "data.zarr", mode="r")
        self.arrays = {name: group[name] for name in layers.names}

    def pieces(self) -> Iterator[Piece]:
        for name, array in self.arrays.items():
            for start in range(0, self.n, array.chunks[0]):
                rows = slice(start, min(start + array.chunks[0], self.n))
                yield self.layers.columns(name), rows, array[rows].T

    def gather(self, columns: np.ndarray) -> np.ndarray:
        return np.concatenate([self.arrays[name].oindex[:, inside].T for name, inside in self.by_layer(columns)])


class H5pyApi(Way):
    """Plain h5py API on the same store."""

    def __init__(self, root: Path, layers: LayerIndex, n: int) -> None:
        super().__init__(root, layers, n)
        self.file = h5py.File(next((root / "hdf5").glob("??/*")) / "blocks" / "index.h5")

    def pieces(self) -> Iterator[Piece]:
        for name in self.layers.names:
            for start in range(0, self.n, 1024):
                rows = slice(start, min(start + 1024, self.n))
                yield self.layers.columns(name), rows, self.file[name][:, rows]

    def gather(self, columns: np.ndarray) -> np.ndarray:
        return np.concatenate([self.file[name][inside] for name, inside in self.by_layer(columns)])


class NumpyMapped(Way):
    """np.load(mmap_mode="r")."""

    def __init__(self, root: Path, layers: LayerIndex, n: int) -> None:
        super().__init__(root, layers, n)
        self.array = np.load(root / "x.npy", mmap_mode="r")

    def pieces(self) -> Iterator[Piece]:
        yield slice(0, self.layers.n_features), slice(0, self.n), self.array.T

    def gather(self, columns: np.ndarray) -> np.ndarray:
        return self.array[:, columns]


class Safetensors(Way):
    """safetensors, one tensor a layer."""

    def __init__(self, root: Path, layers: LayerIndex, n: int) -> None:
        super().__init__(root, layers, n)
        from safetensors import safe_open

        self.file = safe_open(root / "x.safetensors", framework="numpy")

    def pieces(self) -> Iterator[Piece]:
        for name in self.layers.names:
            yield self.layers.columns(name), slice(0, self.n), self.file.get_tensor(name).T

    def gather(self, columns: np.ndarray) -> np.ndarray:
        return np.concatenate([self.file.get_tensor(name)[:, inside].T for name, inside in self.by_layer(columns)])


class Tensorstore(Way):
    """tensorstore on the same store."""

    def __init__(self, root: Path, layers: LayerIndex, n: int) -> None:
        super().__init__(root, layers, n)
        try:
            import tensorstore
        except ImportError as error:
            raise MissingExtra("tensorstore isn't installed: pip install 'head2toe[bench]'") from error
        folder = next((root / "float32").glob("??/*")) / "data.zarr"
        self.arrays = {
            name: tensorstore.open(
                {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(folder / name)}}, read=True, open=True
            ).result()
            for name in layers.names
        }

    def pieces(self) -> Iterator[Piece]:
        for name, array in self.arrays.items():
            for start in range(0, self.n, 1024):
                rows = slice(start, min(start + 1024, self.n))
                yield self.layers.columns(name), rows, array[rows].read().result().T

    def gather(self, columns: np.ndarray) -> np.ndarray:
        return np.concatenate(
            [self.arrays[name].oindex[:, inside].read().result().T for name, inside in self.by_layer(columns)]
        )


WAYS = (Ours, OursHdf5, OursHalf, ZarrApi, H5pyApi, NumpyMapped, Safetensors, Tensorstore)


def prepare(root: Path, layers: LayerIndex, X: np.ndarray) -> None:
    """Write the same numbers in every form."""
    from safetensors.numpy import save_file

    images = [hashlib.sha256(str(row).encode()).hexdigest() for row in range(len(X))]
    for way in (Ours, OursHdf5, OursHalf):
        writer = Catalogue(root / way.folder).writer({"dtype": way.dtype}, images, layers, format=way.format)
        for block in writer.pending():
            with writer.claim(block) as claimed:
                for start in range(claimed.rows.start, claimed.rows.stop, 256):
                    rows = range(start, min(start + 256, claimed.rows.stop))
                    part = X[rows.start : rows.stop]
                    claimed.put(rows, {name: part[:, layers.columns(name)] for name in layers.names})
                claimed.commit()
        writer.seal()
    np.save(root / "x.npy", X)
    save_file({name: np.ascontiguousarray(X[:, layers.columns(name)]) for name in layers.names}, root / "x.safetensors")
    os.sync()


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


def cold_in_a_process(way: type[Way], arguments: list[str]) -> str:
    """`cold_gather` in a fresh process, as text; "-" where the platform can't count what was read."""
    command = [sys.executable, __file__, *arguments, "--cold", way.__name__]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    ratio = json.loads(process.stdout) if process.returncode == 0 else None
    return f"{ratio:.2f}" if ratio else "-"  # 0: the files lie in memory (tmpfs), nothing can be cold


def measure(root: Path, layers: LayerIndex, options: argparse.Namespace, arguments: list[str]) -> None:
    """Print the table."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((options.rows, layers.n_features), dtype=np.float32)
    print(
        f"{options.rows} rows, {len(layers)} layers of {options.width}: {X.nbytes / 1e6:.0f} MB as float32", flush=True
    )
    prepare(root, layers, X)
    measure_checks(root, arguments, options.repeats)
    if options.checks_only:
        return
    W = rng.standard_normal((layers.n_features, options.heads), dtype=np.float32)
    G = rng.standard_normal((options.rows, options.heads), dtype=np.float32)
    columns = some_columns(layers)
    print(f"{'':42}{'X @ W':>8}{'X.T @ G':>9}{'gather 1%':>11}{'cold bytes':>12}")
    cold = {way: cold_in_a_process(way, [*arguments, "--root", str(root)]) for way in WAYS}
    for way in WAYS:
        try:
            reader = way(root, layers, options.rows)
        except MissingExtra as error:
            print(f"{way.__doc__.splitlines()[0]:42}skipped: {error}")
            continue
        np.testing.assert_allclose(reader.xtg(G[:, :1]), X.T @ G[:, :1], rtol=0.02, atol=0.2)
        ratios = ratios_to_memory(reader, X, W, G, columns, options.repeats)
        print(
            f"{way.__doc__.splitlines()[0]:42}{ratios[0]:8.2f}{ratios[1]:9.2f}{ratios[2]:11.2f}{cold[way]:>12}",
            flush=True,
        )


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


def first_pass(way: type[Way], root: Path, layers: LayerIndex, n: int, cold: bool, checked: bool) -> list[float]:
    """Seconds (wall, CPU) of X @ W in a fresh process, whose first pass compares every file with its checksum."""
    reader, W = way(root, layers, n), np.ones((layers.n_features, 50), np.float32)
    if not checked:
        mapping.running = lambda *_: None
        mapping.check = lambda *_: None
    if cold:
        drop_cache(root)
    start, cpu = time.perf_counter(), time.process_time()
    reader.xw(W)
    return [time.perf_counter() - start, time.process_time() - cpu]


def repeated_gathers(way: type[Ours], root: Path, layers: LayerIndex, n: int, repeats: int) -> dict[int, float]:
    """Cost of the second and later gathers of a process, checked over unchecked: the median of pairs, by columns."""
    reader = way(root, layers, n)
    checked = mapping._are_checked
    rng, medians = np.random.default_rng(2), {}
    for count in (10, 100, 1000):
        columns = np.sort(rng.choice(layers.n_features, min(count, layers.n_features // 5), replace=False))
        reader.gather(columns)  # the first gather compares them with their checksums
        at_once = max(1, 2000 // count)  # so that a measurement takes long enough to be one
        ratios = []
        for pair in range(6 * repeats):
            times = {}
            for compared in (True, False) if pair % 2 else (False, True):
                mapping._are_checked = checked if compared else lambda *_: True
                start = time.process_time()
                for _ in range(at_once):
                    reader.gather(columns)
                times[compared] = time.process_time() - start
            ratios.append(times[True] / times[False])
        mapping._are_checked = checked
        medians[count] = float(np.median(ratios))
    return medians


def measure_checks(root: Path, arguments: list[str], repeats: int) -> None:
    """Print what checking on the way costs, as ratios to the same without: medians of pairs taken in turn."""
    columns = "".join(f"{name:>10}" for name in ("cold wall", "cold CPU", "warm wall", "warm CPU"))
    print(f"{'first pass of a process, checked / not':42}{columns}")
    for way in (Ours, OursHdf5, OursHalf):
        ratios: dict[bool, list[np.ndarray]] = {True: [], False: []}
        for pair, cold in ((pair, cold) for pair in range(repeats) for cold in ratios):
            times = {}
            for checked in (True, False) if pair % 2 else (False, True):
                flags = [flag for flag, on in (("--from-disk", cold), ("--checked", checked)) if on]
                times[checked] = np.array(in_a_process(root, arguments, "--first", way.__name__, *flags))
            ratios[cold].append(times[True] / times[False])
        medians = np.concatenate([np.median(of_pairs, axis=0) for of_pairs in ratios.values()])
        print(f"{way.__doc__.splitlines()[0]:42}" + "".join(f"{ratio:10.2f}" for ratio in medians), flush=True)
    print(f"{'later gathers of so many columns, warm CPU':42}" + "".join(f"{count:10}" for count in (10, 100, 1000)))
    for way in (Ours, OursHdf5, OursHalf):
        medians = in_a_process(root, arguments, "--gathers", way.__name__, "--repeats", str(repeats)).values()
        print(f"{way.__doc__.splitlines()[0]:42}" + "".join(f"{ratio:10.3f}" for ratio in medians), flush=True)


def in_a_process(root: Path, arguments: list[str], *more: str) -> Any:
    """Run a part of this script in a fresh process, and return what it measured."""
    command = [sys.executable, __file__, *arguments, "--root", str(root), *more]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def drop_cache(root: Path) -> None:
    """Have the kernel forget the files below a folder."""
    for file in root.rglob("*"):
        if file.is_file():
            fd = os.open(file, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def some_columns(layers: LayerIndex) -> np.ndarray:
    """1 % of the columns, anywhere."""
    d = layers.n_features
    return np.sort(np.random.default_rng(1).choice(d, max(1, d // 100), replace=False))


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--width", type=int, default=1024, help="features in a layer")
    parser.add_argument("--heads", type=int, default=50, help="columns of W and G: classes times folds")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--root", type=Path, default=None, help="folder to work in (default: a temporary one)")
    parser.add_argument("--cold", choices=[way.__name__ for way in WAYS], help=argparse.SUPPRESS)
    parser.add_argument("--first", choices=[way.__name__ for way in WAYS], help=argparse.SUPPRESS)
    parser.add_argument("--gathers", choices=[way.__name__ for way in WAYS], help=argparse.SUPPRESS)
    parser.add_argument("--from-disk", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--checked", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(
        "--checks-only", action="store_true", help="measure what checksums on the way cost, and no more"
    )
    options = parser.parse_args()
    layers = LayerIndex(tuple(f"layer{i}" for i in range(options.layers)), (options.width,) * options.layers)
    if options.cold:
        way = next(way for way in WAYS if way.__name__ == options.cold)
        print(json.dumps(cold_gather(way, options.root, layers, options.rows, some_columns(layers))))
        return 0
    if options.first:
        way = next(way for way in WAYS if way.__name__ == options.first)
        print(json.dumps(first_pass(way, options.root, layers, options.rows, options.from_disk, options.checked)))
        return 0
    if options.gathers:
        way = next(way for way in WAYS if way.__name__ == options.gathers)
        print(json.dumps(repeated_gathers(way, options.root, layers, options.rows, options.repeats)))
        return 0
    arguments = ["--rows", str(options.rows), "--layers", str(options.layers), "--width", str(options.width)]
    work = Path(tempfile.mkdtemp(prefix="head2toe-bench-", dir=options.root))
    try:
        measure(work, layers, options, arguments)
    finally:
        shutil.rmtree(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
