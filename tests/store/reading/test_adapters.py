"""Other libraries see the numbers that the design matrix gives."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from head2toe.store.common.errors import BadRequest, StoreError
from head2toe.store.management.maintenance import remove
from head2toe.store.reading.adapters import RowDataset, to_dask, to_xarray
from head2toe.store.reading.design_matrix import DesignMatrix


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


def test_a_store_alone_gives_columns_and_blocks(toy: SimpleNamespace) -> None:
    store = toy.write(10)
    expected = DesignMatrix.of([store], store.images).columns(np.arange(store.layers.n_features))
    np.testing.assert_array_equal(store.columns([5, 0, 5]), expected[[5, 0, 5]])
    blocks = [(block.start, block.stop, block.values.copy()) for block in store.stream(max_bytes=100)]
    np.testing.assert_array_equal(np.concatenate([values for *_, values in blocks]), expected)
    assert blocks[-1][1] == store.index.n_features
    assert store.index is store.layers
    with pytest.raises(BadRequest):
        store.columns([store.index.n_features])


def test_a_copy_for_another_process_has_a_lock_of_its_own(toy: SimpleNamespace) -> None:
    store = toy.write(10)
    rows = pickle.loads(pickle.dumps(RowDataset(store)))
    np.testing.assert_array_equal(rows[3], RowDataset(store)[3])
    del rows
    with pytest.raises(StoreError, match="in use"):
        remove(store.path)
    copy = pickle.dumps(store)
    del store
    held = pickle.loads(copy)
    with pytest.raises(StoreError, match="in use"):
        remove(held.path)
