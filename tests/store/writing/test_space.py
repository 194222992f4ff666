"""The disk that a store will need is known before it is written."""

from types import SimpleNamespace

import pytest
from head2toe.store.format.key import default_rows_per_block
from head2toe.store.writing.space import remaining


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_estimate_is_enough_and_not_much_more(toy: SimpleNamespace, dtype: str) -> None:
    store = toy.write(150, dtype=dtype, rows_per_block=default_rows_per_block(dtype, 150))
    guess = remaining(store.spec, range(store.spec.n_blocks))
    files = sum(file.stat().st_size for file in store.path.rglob("*") if file.is_file())
    assert files <= guess.nbytes <= files + 150_000
    assert guess.scratch == 150 * 27 * 4
