"""Any zarr, HDF5 or xarray user reads the same numbers, with the public API of their library alone."""

import json
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import zarr


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("format", ["zarr"], indirect=True)
def test_zarr(toy: SimpleNamespace, dtype: str) -> None:
    store = toy.write(10, dtype=dtype)
    group = zarr.open_group(store.path / "data.zarr", mode="r", zarr_format=3)
    assert group.attrs["layers"] == list(store.layers.names)
    by_layer = {array.attrs["layer"]: array for _, array in group.arrays()}
    for name, values in toy.features(store.images).items():
        assert by_layer[name].dtype == dtype
        np.testing.assert_array_equal(by_layer[name][:], values)
        assert by_layer[name].info_complete() is not None


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("format", ["hdf5"], indirect=True)
def test_h5py(toy: SimpleNamespace, dtype: str) -> None:
    store = toy.write(10, dtype=dtype)
    with h5py.File(store.path / "blocks" / "index.h5") as file:
        assert [dataset.attrs["layer"] for dataset in file.values()] == list(store.layers.names)
        assert json.loads(file.attrs["identity"]) == store.identity
        for dataset, values in zip(file.values(), toy.features(store.images).values(), strict=True):
            assert dataset.dtype == dtype
            np.testing.assert_array_equal(dataset[:].T, values)


@pytest.mark.parametrize("format", ["hdf5"], indirect=True)
def test_hdf5_features_lie_on_pages(toy: SimpleNamespace) -> None:
    store = toy.write(10)
    for commit in store.commits:
        with h5py.File(store.path / commit.files[0].path) as file:
            for place, dataset in zip(commit.places, file.values(), strict=False):
                assert place.offset % 4096 == 0
                assert dataset.id.get_offset() % 4096 == 0


@pytest.mark.parametrize("format", ["zarr"], indirect=True)
def test_xarray(toy: SimpleNamespace) -> None:
    xarray = pytest.importorskip("xarray", reason="xarray isn't installed (pip install xarray)")
    store = toy.write(10)
    with xarray.open_zarr(store.path / "data.zarr", consolidated=False) as data:
        arrays = {array.attrs["layer"]: array for array in data.data_vars.values()}
        for name, values in toy.features(store.images).items():
            assert arrays[name].dims[0] == "image"
            np.testing.assert_array_equal(arrays[name].values, values)


@pytest.mark.parametrize("format", ["zarr"], indirect=True)
def test_tensorstore(toy: SimpleNamespace) -> None:
    tensorstore = pytest.importorskip("tensorstore", reason="tensorstore isn't installed (pip install tensorstore)")
    store = toy.write(10)
    for name, values in toy.features(store.images[:]).items():
        if "/" in name:
            continue
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(store.path / "data.zarr" / name)}}
        np.testing.assert_array_equal(tensorstore.open(spec, open=True).result().read().result(), values)


def test_nobody_opens_an_unfinished_store(toy: SimpleNamespace) -> None:
    images = [toy.image(i) for i in range(10)]
    writer = toy.catalogue.writer(toy.identity(), images, toy.layers, format=toy.format, rows_per_block=4)
    toy.fill(writer)
    with pytest.raises((FileNotFoundError, OSError)):
        zarr.open_group(writer.path / "data.zarr", mode="r")
    with pytest.raises(FileNotFoundError):
        h5py.File(writer.path / "blocks" / "index.h5")
