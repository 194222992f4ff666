"""One row block on its way to disk: gathered in float32, then written to its files.

Files are written under partial names, made durable, and renamed; the commit record comes after.
"""

import mmap
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from head2toe.store.common.files import crc32c, explained, partial_name, preallocate, sync_folder
from head2toe.store.format.backends import backend
from head2toe.store.format.commits import BlockFile, Commit, Place
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.format.layout import Spec

_TILE_BYTES = 4 << 20


class Staging:
    """The features of one row block, feature-major, mapped from an unlinked file beside the store.

    Memory stays bounded by what the kernel cares to cache, however wide the layers are; a killed writer leaves nothing.
    """

    def __init__(self, folder: Path, layers: LayerIndex, n_rows: int) -> None:
        self._layers = layers
        with explained(folder), tempfile.TemporaryFile(dir=folder) as file:
            nbytes = layers.n_features * n_rows * 4
            preallocate(file.fileno(), nbytes)
            self._map = mmap.mmap(file.fileno(), nbytes)
        self._values = np.frombuffer(self._map, np.float32).reshape(layers.n_features, n_rows)

    def layer(self, name: str) -> np.ndarray:
        """(width, rows) float32 of a layer, writable."""
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
    dtypes
        One a layer.
    layer
        Gives a layer's (width, rows) values by its name.
    suffix
        Appended to the files' final names; the records returned leave it out.
    instead_of
        What the block is now: files that would come out the same are not written again.

    Raises
    ------
    OSError
        The disk refuses; nothing is left behind.
    """
    partials: dict[str, Path] = {}

    def partial(name: str) -> Path:
        return partials.setdefault(name, partial_name(path / name))

    try:
        places = backend(spec.format).place(spec, block, dtypes, partial)
        for name in dict.fromkeys(place.file for place in places):
            inside = [(place, own) for place, own in zip(places, spec.layers.names, strict=True) if place.file == name]
            if instead_of is None or instead_of.places_of(name) != [place for place, _ in inside]:
                _write_file(partial(name), spec.rows_per_block, inside, layer)
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


def _write_file(
    file: Path, rows_per_block: int, places: Sequence[tuple[Place, str]], layer: Callable[[str], np.ndarray]
) -> None:
    """Write the layers that lie in one file. Plain writes: a full disk is an error, where a mapped write would kill."""
    fd = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        for place, name in places:
            values = layer(name)
            stride = rows_per_block * np.dtype(place.dtype).itemsize
            for start, tile in _tiles(values, rows_per_block, place.dtype):
                _write_all(fd, tile, place.offset + start * stride)
        os.fsync(fd)
    finally:
        os.close(fd)


def _tiles(values: np.ndarray, rows_per_block: int, dtype: str) -> Iterable[tuple[int, np.ndarray]]:
    """Pieces of a layer as they lie on disk: cast, and padded with zeros to full blocks."""
    kind = np.dtype(dtype).newbyteorder("<")
    at_once = max(1, _TILE_BYTES // (rows_per_block * kind.itemsize))
    for start in range(0, len(values), at_once):
        piece = values[start : start + at_once]
        tile = np.zeros((len(piece), rows_per_block), kind)
        tile[:, : piece.shape[1]] = piece
        yield start, tile


def _write_all(fd: int, tile: np.ndarray, offset: int) -> None:
    """`pwrite` until everything is written: it may write less than asked."""
    content = memoryview(tile.data).cast("B")
    while content:
        written = os.pwrite(fd, content, offset)
        content, offset = content[written:], offset + written
