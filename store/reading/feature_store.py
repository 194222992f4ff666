"""A complete feature store, open for reading: immutable, mapped, checked."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from head2toe.store.common.errors import StoreError
from head2toe.store.common.fingerprint import fingerprint
from head2toe.store.format.commits import Commit, layer_dtypes, read_commits
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.format.layout import Spec, read_spec_json, seal_file, sums_name
from head2toe.store.reading import mapping
from head2toe.store.reading.design import DEFAULT_BYTES, Block, Span
from head2toe.store.reading.design_matrix import DesignMatrix
from head2toe.store.reading.row_map import rows_of
from head2toe.store.reading.store_lock import Lock, lock_shared
from numpy.typing import ArrayLike


class FeatureStore:
    """A complete feature store. `FeatureStore.open` makes one.

    It holds a shared lock on the store for as long as it lives, so that nobody removes or repairs it meanwhile.

    Attributes
    ----------
    path : Path
        The store's folder.
    key : str
        The hash that is the store's name.
    n_rows : int
        Number of rows, one an image.
    layers : LayerIndex
        Which columns belong to which layer.
    rows_per_block : int
        How many rows a block holds.
    dtypes : tuple of str
        What each layer is stored as, "float16" or "float32", in the layers' order.
    spec : Spec
        What was fixed when the store was created.
    commits : tuple of Commit
        The record of every row block.
    """

    def __init__(self, path: Path, spec: Spec, commits: Sequence[Commit], lock: Lock | None) -> None:
        self.path = path
        self.spec = spec
        self.commits = tuple(commits)
        self.dtypes = layer_dtypes(spec, commits)
        self.key = spec.key
        self.layers: LayerIndex = spec.layers
        self.n_rows = spec.n_rows
        self.rows_per_block = spec.rows_per_block
        self._lock = lock
        self._records = [{file.path: file for file in commit.files} for commit in commits]

    def __reduce__(self) -> tuple[Any, ...]:
        """Have another process (a worker of torch's DataLoader) open the store itself, for a lock can't be sent."""
        return FeatureStore.open, (self.path,)

    @classmethod
    def open(cls, path: Path, *, mark_used: bool = True) -> "FeatureStore":
        """Open a complete store; the size of every file is checked first.

        Parameters
        ----------
        path : Path
            The store's folder.
        mark_used : bool
            Whether to note the time as that of the store's last use, by which `gc` goes.

        Raises
        ------
        StoreError
            The folder is not a store, or one of a newer version, incomplete, damaged, or just being removed.
        """
        path = Path(path).absolute()
        read_spec_json(path)
        lock = lock_shared(path)
        try:
            store = cls._read(path, lock)
        except BaseException:  # which may live on, as in a notebook, and the lock with it
            if lock is not None:
                lock.release()
            raise
        if mark_used:
            store.mark_used()
        return store

    @classmethod
    def _read(cls, path: Path, lock: Lock | None) -> "FeatureStore":
        """Read the records of a store, whose lock is taken, and check the size of every file."""
        spec = Spec.read(path)
        commits = read_commits(path, spec)
        if not seal_file(path).is_file():
            raise StoreError(
                f"{path}: not finished (never sealed); run the extraction again, which takes up where it stopped"
            )
        for commit in commits:
            commit.check_sizes(path)
        return cls(path, spec, commits, lock)

    def mark_used(self) -> None:
        """Note the time as that of the store's last use."""
        with suppress(OSError):  # a read-only store is read all the same
            os.utime(seal_file(self.path))

    @property
    def identity(self) -> Mapping[str, Any]:
        """Everything but the images that determines the numbers."""
        return self.spec.identity

    @property
    def images(self) -> tuple[str, ...]:
        """Sha256 (hex) of each row's image."""
        return self.spec.images

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What was recorded beside the store and isn't part of the key, such as versions of packages."""
        return self.spec.provenance

    @property
    def format(self) -> str:
        """The file format that holds the features, "zarr" or "hdf5"."""
        return self.spec.format

    @property
    def nbytes(self) -> int:
        """Bytes of features on disk."""
        return sum(commit.nbytes for commit in self.commits)

    def content_fingerprint(self) -> str:
        """Hash the checksums of all files that hold the features: sha256 in hex, which changes with any feature."""
        return fingerprint([[file.path, file.nbytes, file.crc32c] for commit in self.commits for file in commit.files])

    @property
    def fallbacks(self) -> dict[str, str]:
        """Layers that stayed float32 in a float16 store, and why."""
        return {name: reason for commit in reversed(self.commits) for name, reason in commit.float32_because.items()}

    @cached_property
    def row_by_image(self) -> dict[str, int]:
        """The row number of every image, by the sha256 (hex) of its content."""
        return {image: row for row, image in enumerate(self.images)}

    def version_changes(self, current: Mapping[str, str]) -> dict[str, tuple[str, str]]:
        """List the packages that aren't of the version that extracted this store, by name: (then, now).

        Versions are recorded in ``provenance["versions"]`` and not part of the key: worth a warning, not a new store.

        Parameters
        ----------
        current : mapping
            The version that each package has now.
        """
        then = self.provenance.get("versions", {})
        return {name: (then[name], now) for name, now in current.items() if name in then and then[name] != now}

    @property
    def index(self) -> LayerIndex:
        """Which columns are which layer's; another name of `layers`, as arrays call it."""
        return self.layers

    def columns(self, indices: ArrayLike) -> np.ndarray:
        """Read some features of all rows.

        Parameters
        ----------
        indices : (k,) array of int
            Columns of the store, in any order, repeats allowed.

        Returns
        -------
        (k, n_rows) float32 array
            The features in the order asked for.

        Raises
        ------
        BadRequest
            A column that isn't there.
        """
        return self._design().columns(np.asarray(indices))

    def stream(self, *, max_bytes: int = DEFAULT_BYTES, within: Span | None = None) -> Iterator[Block]:
        """Read all features of all rows, block by block within a layer; see `DesignMatrix.stream`."""
        return self._design().stream(max_bytes=max_bytes, within=within)

    def _design(self) -> DesignMatrix:
        return DesignMatrix.of([self], self.images)

    def rows_of(self, images: Sequence[str]) -> np.ndarray:
        """Find the row number of each image, int64; raises `DataError` naming one that isn't there."""
        return rows_of(images, self.row_by_image, self.path)

    def holds(self, images: Sequence[str]) -> bool:
        """Tell whether all these images have a row."""
        return self.row_by_image.keys() >= set(images)

    def block(self, layer: int, block: int) -> np.ndarray:
        """Map a layer's row block as it lies on disk; rows beyond the store's last one are padding.

        Parameters
        ----------
        layer, block : int
            The numbers of the layer and of the row block.

        Returns
        -------
        (width, R) array
            A read-only view in the dtype stored.

        Raises
        ------
        StoreError
            The file is missing or not of its size.
        """
        place = self.commits[block].places[layer]
        shape = (self.layers.widths[layer], self.spec.rows_per_block)
        nbytes = self._records[block][place.file].nbytes
        return mapping.view(self.path / place.file, nbytes, place.offset, shape, place.dtype)

    def check(self, layer: int, block: int) -> None:
        """Compare the whole file that a layer's row block lies in with its checksum, once in this process.

        Raises
        ------
        StoreError
            It is missing, can't be read, or isn't what was written.
        """
        record = self._records[block][self.commits[block].places[layer].file]
        mapping.check(self.path / record.path, record.crc32c, block)

    def running_checksum(self, layer: int, block: int) -> "mapping.RunningChecksum | None":
        """Begin to check a layer's row block, which is about to be read in order; None if that is done.

        A block that shares its file with others, as in HDF5, is checked at once, with all of the file.
        """
        place = self.commits[block].places[layer]
        record = self._records[block][place.file]
        if len(self.commits[block].places_of(place.file)) > 1 or place.offset:
            self.check(layer, block)
            return None
        return mapping.running(self.path / record.path, record.nbytes, record.crc32c, block)

    def features(self, layer: int, block: int, features: "slice | np.ndarray") -> np.ndarray:
        """Read some features of a layer's row block, and compare each with its checksum, once in this process.

        Parameters
        ----------
        layer, block : int
            The numbers of the layer and of the row block.
        features : slice or (k,) int64 array
            Which of the layer's features.

        Returns
        -------
        (k, R) array
            Their values in the dtype stored; of a slice, a view.

        Raises
        ------
        StoreError
            The file is missing or not of its size, or a feature isn't what was written. A store that was written before
            features had checksums isn't checked.
        """
        place, records = self.commits[block].places[layer], self._records[block]
        shape = (self.layers.widths[layer], self.spec.rows_per_block)
        file = self.path / place.file
        values, unchecked = mapping.gather(file, records[place.file].nbytes, place.offset, shape, place.dtype, features)
        if unchecked is None or (sums := records.get(sums_name(block))) is None:
            return values
        mapping.check(self.path / sums.path, sums.crc32c, block)
        every = mapping.view(self.path / sums.path, sums.nbytes, 0, (1, self.layers.n_features), "uint32")[0]
        mapping.check_pieces(
            unchecked, place.offset, features, values, every[slice(*self.layers.offsets[layer : layer + 2])], block
        )
        return values

    def read_ahead(self, layer: int, block: int, start: int, stop: int) -> None:
        """Have the kernel fetch features [start, stop) of a layer's row block in the background."""
        place = self.commits[block].places[layer]
        stride = self.spec.rows_per_block * (2 if place.dtype == "float16" else 4)
        mapping.read_ahead(self.path / place.file, place.offset + start * stride, place.offset + stop * stride)
