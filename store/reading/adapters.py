"""A feature store for other libraries: rows for torch's DataLoader, a lazy dask array, an xarray array."""

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from head2toe.store.common.errors import MissingExtra
from head2toe.store.reading.design_matrix import DesignMatrix
from head2toe.store.reading.feature_store import FeatureStore

if TYPE_CHECKING:
    import dask.array
    import xarray

_CHUNK_BYTES = 1 << 24  # of an xarray's chunk


class RowDataset:
    """Images as rows, in the store's order: what torch's DataLoader takes for a map-style data set.

    `dataset[i]` is (features,) float32. `__getitems__`, which the DataLoader prefers, reads a batch at once.

    Parameters
    ----------
    store : FeatureStore
        The store that is read.
    """

    def __init__(self, store: FeatureStore) -> None:
        self._design = DesignMatrix.of([store], store.images)

    def __len__(self) -> int:
        return self._design.shape[0]

    def __getitem__(self, row: int) -> np.ndarray:
        """Read one row, (features,) float32. Raises `IndexError` for one that isn't there."""
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        return self.__getitems__([row % len(self)])[0]

    def __getitems__(self, rows: list[int]) -> list[np.ndarray]:
        """Read several rows, each (features,) float32. Raises `BadRequest` for one that isn't there."""
        batch = self._design.take(np.asarray(rows, np.int64))
        return list(np.ascontiguousarray(batch.columns(np.arange(batch.shape[1])).T))


def to_dask(store: FeatureStore) -> "dask.array.Array":
    """Make a lazy (features, images) float32 array of a store, with one chunk a layer.

    Raises
    ------
    MissingExtra
        dask isn't installed.
    """
    try:
        import dask.array  # noqa: F401
    except ImportError as error:
        raise MissingExtra("a dask array needs dask: pip install 'head2toe[arrays]'") from error
    return _lazy(store, store.layers.offsets.tolist())


def _lazy(store: FeatureStore, bounds: list[int]) -> "dask.array.Array":
    """Make the array of `to_dask` in chunks of features, each from one of the bounds to the next."""
    import dask
    import dask.array as da

    design = DesignMatrix.of([store], store.images)

    def chunk(start: int, stop: int) -> Any:
        read = dask.delayed(design.columns)(np.arange(start, stop))
        return da.from_delayed(read, (stop - start, store.n_rows), np.float32)

    return da.concatenate([chunk(start, stop) for start, stop in pairwise(bounds)])


def to_xarray(store: FeatureStore) -> "xarray.DataArray":
    """Make a lazy array, as `to_dask`, with names: dimensions `feature` (coordinate `layer`) and `image` (its sha256).

    Where a store has not the mean of every pooling window alone, a coordinate `statistic` says what each feature is.
    Its chunks are of equal size, as `to_zarr` demands, and may cross layers.

    Raises
    ------
    MissingExtra
        xarray or dask isn't installed.
    """
    try:
        import dask.array  # noqa: F401
        import xarray
    except ImportError as error:
        raise MissingExtra("an xarray needs xarray: pip install 'head2toe[arrays]'") from error
    layers = np.repeat(np.asarray(store.layers.names, object), store.layers.widths)
    coordinates = {"layer": ("feature", layers), "image": np.asarray(store.images, object)}
    if (columns := store.provenance.get("columns")) is not None:
        blocks = [block for name in store.layers.names for block in columns[name]]
        statistics = np.repeat(np.asarray([name for name, _ in blocks], object), [width for _, width in blocks])
        coordinates["statistic"] = ("feature", statistics)
    at_once = max(1, _CHUNK_BYTES // (4 * store.n_rows))
    array = _lazy(store, [*range(0, store.layers.n_features, at_once), store.layers.n_features])
    return xarray.DataArray(array, dims=("feature", "image"), coords=coordinates, name="features")
