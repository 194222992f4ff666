"""Other libraries see the numbers that the design matrix gives."""

from types import SimpleNamespace

import numpy as np
import pytest
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
