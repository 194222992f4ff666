"""A store by itself gives columns and blocks, and opens again in another process."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from head2toe.store.common.errors import BadRequest, StoreError
from head2toe.store.management.maintenance import remove
from head2toe.store.reading.adapters import RowDataset
from head2toe.store.reading.design_matrix import DesignMatrix


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
