"""Rows that stores already hold are copied, not extracted."""

from types import SimpleNamespace

import numpy as np
import pytest
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design_matrix import DesignMatrix


def names(toy: SimpleNamespace, *numbers: int) -> list[str]:
    return [toy.image(i) for i in numbers]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_larger_set_takes_what_is_there(toy: SimpleNamespace, dtype: str) -> None:
    toy.write(names(toy, *range(9)), dtype=dtype)
    toy.write(names(toy, 20, 21, 22), dtype=dtype, rows_per_block=64)
    wanted = names(toy, 30, 8, 21, 3, 31, 4, 5, 6, 7, 22, 32)
    writer = toy.catalogue.writer(toy.identity(dtype=dtype), wanted, toy.layers, format=toy.format, rows_per_block=4)
    assert writer.reused == 8
    assert toy.fill(writer) == 3
    store = writer.seal()
    assert sum(commit.reused for commit in store.commits) == 8
    expected = np.concatenate(list(toy.features(wanted).values()), axis=1)
    np.testing.assert_array_equal(DesignMatrix.of([store], wanted).columns(np.arange(27)).T, expected)


def test_copied_blocks_ask_for_nothing(toy: SimpleNamespace) -> None:
    toy.write(names(toy, *range(8)))
    writer = toy.catalogue.writer(
        toy.identity(), names(toy, *range(9)), toy.layers, format=toy.format, rows_per_block=4
    )
    with writer.claim(0) as block:
        assert block.missing == ()
    with writer.claim(2) as block:
        assert block.missing == (8,)


def test_other_identities_and_layers_give_nothing(toy: SimpleNamespace) -> None:
    toy.write(6)
    wanted = names(toy, *range(7))
    assert toy.catalogue.writer(toy.identity(tokens="cls"), wanted, toy.layers, format=toy.format).reused == 0
    other = LayerIndex(("stem",), (7,))
    assert toy.catalogue.writer(toy.identity(), names(toy, *range(8)), other, format=toy.format).reused == 0


def test_between_formats(toy: SimpleNamespace) -> None:
    toy.write(6)
    other = "hdf5" if toy.format == "zarr" else "zarr"
    writer = toy.catalogue.writer(toy.identity(), names(toy, *range(8)), toy.layers, format=other, rows_per_block=4)
    assert (writer.reused, toy.fill(writer)) == (6, 2)
    assert writer.seal().format == other
