"""The ways to read the same numbers that the benchmarks of the store compare, and the folder they all read."""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import zarr
from head2toe.store.common.errors import MissingExtra
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.management.catalogue import Catalogue
from head2toe.store.reading.design_matrix import DesignMatrix
from head2toe.store.reading.feature_store import FeatureStore

Piece = tuple[slice, slice, np.ndarray]  # columns, rows, (columns, rows) values


class Way:
    """One way to read the features: pieces for products, and a gather. `layers` says which columns are which."""

    def __init__(self, root: Path, layers: LayerIndex, n: int) -> None:
        self.root, self.layers, self.n = root, layers, n

    @classmethod
    def write(cls, root: Path, layers: LayerIndex, X: np.ndarray) -> None:
        """Write the numbers; a way that reads what another one wrote has nothing to write."""

    @classmethod
    def title(cls) -> str:
        """What a table calls it."""
        return str(cls.__doc__).splitlines()[0]

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

    @classmethod
    def write(cls, root: Path, layers: LayerIndex, X: np.ndarray) -> None:
        images = [hashlib.sha256(str(row).encode()).hexdigest() for row in range(len(X))]
        writer = Catalogue(root / cls.folder).writer({"dtype": cls.dtype}, images, layers, format=cls.format)
        for block in writer.pending():
            with writer.claim(block) as claimed:
                for start in range(claimed.rows.start, claimed.rows.stop, 256):
                    rows = range(start, min(start + 256, claimed.rows.stop))
                    part = X[rows.start : rows.stop]
                    claimed.put(rows, {name: part[:, layers.columns(name)] for name in layers.names})
                claimed.commit()
        writer.seal()

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

    @classmethod
    def write(cls, root: Path, layers: LayerIndex, X: np.ndarray) -> None:  # noqa: ARG003
        np.save(root / "x.npy", X)

    def __init__(self, root: Path, layers: LayerIndex, n: int) -> None:
        super().__init__(root, layers, n)
        self.array = np.load(root / "x.npy", mmap_mode="r")

    def pieces(self) -> Iterator[Piece]:
        yield slice(0, self.layers.n_features), slice(0, self.n), self.array.T

    def gather(self, columns: np.ndarray) -> np.ndarray:
        return self.array[:, columns]


class Safetensors(Way):
    """safetensors, one tensor a layer."""

    @classmethod
    def write(cls, root: Path, layers: LayerIndex, X: np.ndarray) -> None:
        from safetensors.numpy import save_file

        tensors = {name: np.ascontiguousarray(X[:, layers.columns(name)]) for name in layers.names}
        save_file(tensors, root / "x.safetensors")

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
BY_NAME = {way.__name__: way for way in WAYS}


def parser_of(description: str) -> argparse.ArgumentParser:
    """The options that say what is stored, and where."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--width", type=int, default=1024, help="features in a layer")
    parser.add_argument("--heads", type=int, default=50, help="columns of W and G: classes times folds")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--root", type=Path, default=None, help="folder to work in (default: a temporary one)")
    return parser


def layers_of(options: argparse.Namespace) -> LayerIndex:
    """The layers that are asked for."""
    return LayerIndex(tuple(f"layer{i}" for i in range(options.layers)), (options.width,) * options.layers)


@contextmanager
def written(options: argparse.Namespace, X: np.ndarray, ways: Sequence[type[Way]]) -> Iterator[tuple[Path, list[str]]]:
    """Write numbers in every form, to a folder that is gone at the end; give it, and the words that describe it."""
    layers = layers_of(options)
    print(f"{len(X)} rows, {len(layers)} layers of {options.width}: {X.nbytes / 1e6:.0f} MB as float32", flush=True)
    root = Path(tempfile.mkdtemp(prefix="head2toe-bench-", dir=options.root))
    words = [f"--rows={options.rows}", f"--layers={options.layers}", f"--width={options.width}"]
    try:
        for way in ways:
            way.write(root, layers, X)
        os.sync()
        yield root, [*words, f"--heads={options.heads}", f"--root={root}"]
    finally:
        shutil.rmtree(root)


def in_a_process(script: str, words: list[str], *more: str) -> Any:
    """Run a part of a benchmark in a fresh process, and return what it measured. Raises CalledProcessError."""
    command = [sys.executable, script, *words, *more]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def drop_cache(root: Path) -> None:
    """Have the kernel forget the files below a folder."""
    for file in root.rglob("*"):
        if file.is_file():
            fd = os.open(file, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)
