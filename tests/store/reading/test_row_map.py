"""Rows are sorted into the blocks that hold them."""

import numpy as np
from head2toe.store.reading.row_map import RowMap, as_slice


def test_rows_are_sorted_into_blocks() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        rows = rng.integers(0, 40, rng.integers(0, 30))
        rebuilt = np.full(len(rows), -1)
        for segment in RowMap.of(rows, 8).segments:
            rebuilt[segment.target] = np.arange(40)[segment.block * 8 :][segment.source]
        np.testing.assert_array_equal(rebuilt, rows)
    assert as_slice(np.arange(3, 9)) == slice(3, 9)
    assert RowMap.of(np.arange(3, 7), 8).source == (0, slice(3, 7))
    assert RowMap.of(np.arange(3, 9), 8).source is None
