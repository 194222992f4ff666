"""The same features give the same HDF5 files, whenever they are written."""

from types import SimpleNamespace

import h5py
import pytest


@pytest.mark.parametrize("format", ["hdf5"])
@pytest.mark.parametrize("rows_per_block", [4, 16])
def test_no_time_is_written(toy: SimpleNamespace, rows_per_block: int) -> None:
    """No dataset holds the second of its creation, neither one of a block nor one of the index over them."""
    folder = toy.write(10, rows_per_block=rows_per_block).path / "blocks"
    files = sorted(folder.glob("*.h5"))
    assert len(files) == 1 + -(-10 // rows_per_block)
    for path in files:
        with h5py.File(path) as file:
            assert len(file) == len(toy.layers.names)
            for name in file:
                assert h5py.h5g.get_objinfo(file.id, name.encode()).mtime == 0, (path.name, name)
