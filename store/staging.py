"""A block being gathered: float32, feature-major, in an unlinked file that vanishes with its process."""

import mmap
import tempfile
from pathlib import Path

import numpy as np
from head2toe.store.files import explained, preallocate
from head2toe.store.index import LayerIndex


class Staging:
    """The features of one row block, mapped from an anonymous file beside the store.

    Memory stays bounded by what the kernel cares to cache, however wide the layers are; a killed writer leaves nothing.
    """

    def __init__(self, folder: Path, layers: LayerIndex, n_rows: int) -> None:
        self._layers = layers
        self._n_rows = n_rows
        with explained(folder), tempfile.TemporaryFile(dir=folder) as file:
            nbytes = layers.n_features * n_rows * 4
            preallocate(file.fileno(), nbytes)
            self._map = mmap.mmap(file.fileno(), nbytes)
        self._values = np.frombuffer(self._map, np.float32).reshape(layers.n_features, n_rows)

    def layer(self, name: str) -> np.ndarray:
        """(width, rows) float32 of a layer, writable."""
        return self._values[self._layers.columns(name)]
