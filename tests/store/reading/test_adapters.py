"""Other libraries see the numbers that the design matrix gives."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from head2toe.store.reading import adapters
from head2toe.store.reading.adapters import RowDataset, to_dask, to_xarray
from head2toe.store.reading.design_matrix import DesignMatrix
from head2toe.store.reading.feature_store import FeatureStore


def test_other_libraries_see_the_same_numbers(toy: SimpleNamespace) -> None:
    store = toy.write(10)
    expected = DesignMatrix.of([store], store.images).columns(np.arange(store.layers.n_features))
    rows = RowDataset(store)
    assert len(rows) == 10
    np.testing.assert_array_equal(np.stack([rows[i] for i in range(10)]).T, expected)
    with pytest.raises(IndexError):
        rows[10]
    data = pytest.importorskip("torch.utils.data")
    (batch,) = data.DataLoader(rows, batch_size=10)
    np.testing.assert_array_equal(batch.numpy().T, expected)
    pytest.importorskip("dask")
    np.testing.assert_array_equal(to_dask(store).compute(), expected)
    named = to_xarray(store)
    mlp = named.where(named.layer == "blocks.0.mlp", drop=True)
    np.testing.assert_array_equal(mlp.values, expected[store.layers.columns("blocks.0.mlp")])
    assert list(named.image.values) == list(store.images)


def test_an_xarray_can_be_written_to_zarr(
    toy: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose layers are of different widths, and whatever the chunks."""
    xarray = pytest.importorskip("xarray")
    store = toy.write(10)
    monkeypatch.setattr(adapters, "_CHUNK_BYTES", 4 * 10 * 5)
    named = to_xarray(store)
    named.to_zarr(tmp_path / "x.zarr", consolidated=False)
    again = xarray.open_dataarray(tmp_path / "x.zarr", engine="zarr", consolidated=False)
    np.testing.assert_array_equal(again.values, store.columns(np.arange(27)))
    assert list(again.layer.values) == list(named.layer.values)
    assert list(again.image.values) == list(store.images)


@pytest.mark.filterwarnings("ignore")  # of forking beside threads, which is what this is about
def test_threads_event_loops_and_forked_workers_read_the_same_numbers(toy: SimpleNamespace) -> None:
    store = toy.write(10)
    expected = store.columns(np.arange(27))

    async def in_a_loop() -> np.ndarray:
        return FeatureStore.open(store.path).columns(np.arange(27))

    np.testing.assert_array_equal(asyncio.run(in_a_loop()), expected)
    with ThreadPoolExecutor(4) as pool:
        for values in pool.map(lambda _: FeatureStore.open(store.path).columns(np.arange(27)), range(16)):
            np.testing.assert_array_equal(values, expected)
    data = pytest.importorskip("torch.utils.data")
    for context in ("fork", "spawn"):
        batches = data.DataLoader(RowDataset(store), batch_size=4, num_workers=2, multiprocessing_context=context)
        np.testing.assert_array_equal(np.concatenate([batch.numpy() for batch in batches]).T, expected)
