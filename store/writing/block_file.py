"""One row block on its way to disk: gathered in float32, then written to its files.

Files are written under partial names, made durable and renamed; the commit record is written after that, by the caller.
"""

import mmap
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import google_crc32c
import numpy as np
from head2toe.store.common.files import (
    ANOTHER_ROOT,
    crc32c,
    explained,
    make_folders,
    partial_name,
    preallocate,
    share,
    sync_folder,
)
from head2toe.store.format.backends import backend
from head2toe.store.format.commits import BlockFile, Commit, Place
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.format.layout import Spec, sums_name

_TILE_BYTES = 4 << 20


class Staging:
    """The features of one row block, feature-major, mapped from an unlinked file beside the store.

    However wide the layers are, the kernel decides how much of it is in memory; a killed writer leaves nothing.

    Parameters
    ----------
    folder : Path
        Where the file is made.
    layers : LayerIndex
        The store's layers.
    n_rows : int
        The number of rows in the block.

    Raises
    ------
    StoreError
        The disk is full or can't be written.
    """

    def __init__(self, folder: Path, layers: LayerIndex, n_rows: int) -> None:
        self._layers = layers
        with explained(folder, ANOTHER_ROOT), tempfile.TemporaryFile(dir=folder) as file:
            nbytes = layers.n_features * n_rows * 4
            preallocate(file.fileno(), nbytes)
            self._map = mmap.mmap(file.fileno(), nbytes)
        self._values = np.frombuffer(self._map, np.float32).reshape(layers.n_features, n_rows)

    def layer(self, name: str) -> np.ndarray:
        """Return the values of a layer, (width, rows) float32, to be written to."""
        return self._values[self._layers.columns(name)]


def write_block(
    path: Path,
    spec: Spec,
    block: int,
    dtypes: Sequence[str],
    layer: Callable[[str], np.ndarray],
    *,
    suffix: str = "",
    instead_of: Commit | None = None,
) -> tuple[tuple[BlockFile, ...], tuple[Place, ...]]:
    """Write a block's files durably.

    Parameters
    ----------
    path, spec, block
        The store's folder, its spec, and the number of the block.
    dtypes : sequence of str
        The dtype to store each layer as.
    layer : callable
        Gives a layer's (width, rows) values by its name.
    suffix : str
        What is appended to the files' names; what is returned leaves it out.
    instead_of : Commit, optional
        The block's present record: files that would come out the same are not written again.

    Returns
    -------
    tuple
        The block's files and the places of its layers, as its commit record takes them.

    Raises
    ------
    OSError
        The disk refuses; nothing is left behind.
    """
    partials: dict[str, Path] = {}
    sums = np.zeros(spec.layers.n_features, "<u4")

    def partial(name: str) -> Path:
        return partials.setdefault(name, partial_name(path / name))

    try:
        places = backend(spec.format).place(spec, block, dtypes, partial)
        for name, layers in _layers_by_file(spec, places).items():
            if instead_of is None or instead_of.places_of(name) != [place for place, _ in layers]:
                _write_file(partial(name), spec.rows_per_block, layers, layer)
        for place, name in zip(places, spec.layers.names, strict=True):
            sums[spec.layers.columns(name)] = _sums(layer(name), spec.rows_per_block, place.dtype)
        make_folders((path / sums_name(block)).parent)
        _write_sums(partial(sums_name(block)), sums)
        written = [BlockFile(name, file.stat().st_size, crc32c(file)) for name, file in partials.items()]
        for name, file in partials.items():
            file.replace(path / (name + suffix))
    finally:
        for file in partials.values():
            file.unlink(missing_ok=True)
    sync_folders(path / file.path for file in written)
    kept = [] if instead_of is None else [file for file in instead_of.files if file.path not in partials]
    return (*kept, *written), places


def sync_folders(files: Iterable[Path]) -> None:
    """Make the renames of these files durable."""
    for folder in dict.fromkeys(file.parent for file in files):
        sync_folder(folder)


def _layers_by_file(spec: Spec, places: Sequence[Place]) -> dict[str, list[tuple[Place, str]]]:
    """List for each file of a block the layers that lie in it: their places and names."""
    layers: dict[str, list[tuple[Place, str]]] = {}
    for place, name in zip(places, spec.layers.names, strict=True):
        layers.setdefault(place.file, []).append((place, name))
    return layers


def _write_file(
    file: Path, rows_per_block: int, layers: Sequence[tuple[Place, str]], layer: Callable[[str], np.ndarray]
) -> None:
    """Write the layers that lie in one file, by plain writes: on a full disk a mapped write would kill the process."""
    fd = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        share(fd, file.parent)
        for place, name in layers:
            values = layer(name)
            stride = rows_per_block * np.dtype(place.dtype).itemsize
            for start, tile in _tiles(values, rows_per_block, place.dtype):
                _write_all(fd, tile, place.offset + start * stride)
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_sums(file: Path, sums: np.ndarray) -> None:
    """Write the checksums of a block's features durably."""
    with file.open("xb") as opened:
        share(opened.fileno(), file.parent)
        opened.write(sums.tobytes())
        opened.flush()
        os.fsync(opened.fileno())


def _sums(values: np.ndarray, rows_per_block: int, dtype: str) -> list[int]:
    """Compute the CRC-32C of every feature of a layer as it lies on disk."""
    return [google_crc32c.value(row) for _, tile in _tiles(values, rows_per_block, dtype) for row in tile]


def _tiles(values: np.ndarray, rows_per_block: int, dtype: str) -> Iterable[tuple[int, np.ndarray]]:
    """Cut a layer into pieces as they lie on disk, cast and padded with zeros to full blocks, each with its start."""
    kind = np.dtype(dtype).newbyteorder("<")
    at_once = max(1, _TILE_BYTES // (rows_per_block * kind.itemsize))
    for start in range(0, len(values), at_once):
        piece = values[start : start + at_once]
        tile = np.zeros((len(piece), rows_per_block), kind)
        tile[:, : piece.shape[1]] = piece
        yield start, tile


def _write_all(fd: int, tile: np.ndarray, offset: int) -> None:
    """Write an array at an offset; `pwrite` is called again where it writes less than asked."""
    content = memoryview(tile.data).cast("B")
    while content:
        written = os.pwrite(fd, content, offset)
        content, offset = content[written:], offset + written
