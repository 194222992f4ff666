"""A complete feature store, open for reading: immutable, mapped, checked."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from head2toe.store.common.errors import DataError, StoreError
from head2toe.store.common.files import Lock, NoFlock
from head2toe.store.format.commits import Commit, layer_dtypes
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.format.layout import Spec, commit_file, damaged, read_spec_json, seal_file, spec_file
from head2toe.store.reading import mapping
from head2toe.store.reading.design import DEFAULT_BYTES, Block, Span
from head2toe.store.reading.design_matrix import DesignMatrix
from numpy.typing import ArrayLike

_PATIENCE, _PAUSE = 40, 0.05  # tries, seconds


class FeatureStore:
    """A sealed store. Make one with `FeatureStore.open`.

    It holds a shared lock on the store for as long as it lives, so that nobody removes or repairs it meanwhile.

    Attributes
    ----------
    path, key
        Its folder, and the hash that is its name.
    n_rows, layers
        How many images, and which columns.
    rows_per_block
        How many rows a block holds.
    dtypes
        What each layer is stored as, "float16" or "float32", in the layers' order.
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
        self._sizes = [{file.path: file.nbytes for file in commit.files} for commit in commits]

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process (a worker of torch's DataLoader) opens the store itself: a lock can't be sent."""
        return FeatureStore.open, (self.path,)

    @classmethod
    def open(cls, path: Path, *, mark_used: bool = True) -> "FeatureStore":
        """Open a complete store; the size of every file is checked first.

        Parameters
        ----------
        path
            The store's folder.
        mark_used
            Note the time as that of its last use, by which `gc` goes.

        Raises
        ------
        StoreError
            Not a store, of a newer version, incomplete, damaged, or just being removed.
        """
        path = Path(path).absolute()
        read_spec_json(path)
        lock = lock_in_use(path)
        spec = Spec.read(path)
        commits = read_commits(path, spec)
        if not seal_file(path).is_file():
            raise StoreError(
                f"{path}: not finished (never sealed); run the extraction again, which takes up where it stopped"
            )
        for commit in commits:
            commit.check_sizes(path)
        store = cls(path, spec, commits, lock)
        if mark_used:
            store.mark_used()
        return store

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
        """sha256 (hex) of each row's image."""
        return self.spec.images

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What was recorded beside it and isn't part of the key, such as library versions."""
        return self.spec.provenance

    @property
    def format(self) -> str:
        """Either "zarr" or "hdf5"."""
        return self.spec.format

    @property
    def nbytes(self) -> int:
        """Bytes of features on disk."""
        return sum(commit.nbytes for commit in self.commits)

    @property
    def fallbacks(self) -> dict[str, str]:
        """Layers that stayed float32 in a float16 store, and why."""
        return {name: reason for commit in reversed(self.commits) for name, reason in commit.reasons.items()}

    @cached_property
    def row_by_image(self) -> dict[str, int]:
        """Row number by image."""
        return {image: row for row, image in enumerate(self.images)}

    def version_changes(self, current: Mapping[str, str]) -> dict[str, tuple[str, str]]:
        """Libraries that aren't of the version that extracted this store: name to (then, now).

        Versions are recorded in ``provenance["versions"]`` and not part of the key: worth a warning, not a new store.
        """
        then = self.provenance.get("versions", {})
        return {name: (then[name], now) for name, now in current.items() if name in then and then[name] != now}

    @property
    def index(self) -> LayerIndex:
        """Which columns are which layer's; another name of `layers`, as arrays call it."""
        return self.layers

    def columns(self, indices: ArrayLike) -> np.ndarray:
        """Some features of all rows, (len(indices), n_rows) float32, in the order asked for; repeats allowed."""
        return self._design().columns(np.asarray(indices))

    def stream(self, *, max_bytes: int = DEFAULT_BYTES, within: Span | None = None) -> Iterator[Block]:
        """All features of all rows, block by block within a layer; see `DesignMatrix.stream`."""
        return self._design().stream(max_bytes=max_bytes, within=within)

    def _design(self) -> DesignMatrix:
        return DesignMatrix.of([self], self.images)

    def rows_of(self, images: Sequence[str]) -> np.ndarray:
        """Row number of each image, int64; repeats allowed. Raises `DataError` naming one that isn't there."""
        rows = self.row_by_image
        try:
            return np.fromiter((rows[image] for image in images), np.int64, len(images))
        except KeyError as error:
            raise DataError(
                f"{self.path}: holds no image {error.args[0]}: extract the features of this task first"
            ) from error

    def holds(self, images: Sequence[str]) -> bool:
        """Whether all these images have a row."""
        return self.row_by_image.keys() >= set(images)

    def block(self, layer: int, block: int, *, sparse: bool = False) -> np.ndarray:
        """(width, R) view of a layer's row block as it lies on disk, read-only; see `mapping.mapped` for `sparse`.

        Rows beyond the store's last one are padding.
        """
        place = self.commits[block].places[layer]
        shape = (self.layers.widths[layer], self.spec.rows_per_block)
        nbytes = self._sizes[block][place.file]
        return mapping.view(self.path / place.file, nbytes, place.offset, shape, place.dtype, sparse=sparse)

    def read_ahead(self, layer: int, block: int, start: int, stop: int) -> None:
        """Have features [start, stop) of a layer's row block fetched in the background."""
        place = self.commits[block].places[layer]
        stride = self.spec.rows_per_block * (2 if place.dtype == "float16" else 4)
        mapping.read_ahead(self.path / place.file, place.offset + start * stride, place.offset + stop * stride)


def read_commits(path: Path, spec: Spec) -> list[Commit]:
    """All commit records of a store; raises `StoreError` saying how many are missing."""
    commits = [Commit.read(path, spec, block) for block in range(spec.n_blocks)]
    absent = [block for block, commit in enumerate(commits) if commit is None]
    if absent and seal_file(path).is_file():
        raise damaged(commit_file(path, absent[0]), "missing, though the store was complete")
    if absent:
        raise StoreError(
            f"{path}: not finished ({len(absent)} of {spec.n_blocks} row blocks missing, the first is {absent[0]}); "
            "run the extraction again, which takes up where it stopped"
        )
    return [commit for commit in commits if commit is not None]


def lock_in_use(path: Path) -> Lock | None:
    """A shared lock on spec.json: `gc`, `rm` and `--repair` take it exclusively, and only then touch the store.

    None on a file system without flock: a store there can be read, and looked after by nobody.
    """
    try:
        for _ in range(_PATIENCE):
            if (lock := Lock.take(spec_file(path), shared=True, create=False)) is not None:
                break
            time.sleep(_PAUSE)  # `gc` takes every store's lock for a moment, to look for leftovers
    except NoFlock:
        return None
    if lock is None:
        raise StoreError(f"{path}: is being removed or repaired just now; try again in a moment")
    if not spec_file(path).is_file():
        lock.release()
        raise damaged(spec_file(path), "was removed just now", repairable=False)
    return lock
