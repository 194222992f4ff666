"""Rows of several designs after each other are read as if they were one."""

import numpy as np
import pytest
from head2toe.store.common.errors import BadRequest
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design import ArrayDesign
from head2toe.store.reading.row_stack import RowStack

LAYERS = LayerIndex(("a", "b"), (5, 3))


@pytest.fixture
def parts() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((n, 8)).astype(np.float32) for n in (4, 1, 6)]


@pytest.fixture
def stacked(parts: list[np.ndarray]) -> RowStack:
    return RowStack([ArrayDesign(part, LAYERS) for part in parts])


def test_columns_and_streams_are_those_of_one_matrix(parts: list[np.ndarray], stacked: RowStack) -> None:
    X = np.concatenate(parts)
    assert stacked.shape == X.shape
    np.testing.assert_array_equal(stacked.columns(np.array([7, 0, 3])), X.T[[7, 0, 3]])
    for max_bytes, within in ((1 << 20, None), (1, None), (100, (2, 7))):
        blocks = [(b.start, b.stop, b.values.copy()) for b in stacked.stream(max_bytes=max_bytes, within=within)]
        first, last = within or (0, 8)
        np.testing.assert_array_equal(np.concatenate([values for *_, values in blocks]), X.T[first:last])
        assert all(stop <= 5 or start >= 5 for start, stop, _ in blocks), "no block crosses a layer"


def test_rows_are_taken_in_any_order(parts: list[np.ndarray], stacked: RowStack) -> None:
    X = np.concatenate(parts)
    for rows in ([10, 0, 4, 4, 3, 9, 1], [], [5]):
        taken = stacked.take(np.array(rows, np.int64))
        np.testing.assert_array_equal(taken.columns(np.arange(8)), X.T[:, rows])
    again = stacked.take(np.array([10, 0, 4])).take(np.array([2, 0]))
    np.testing.assert_array_equal(again.columns(np.arange(8)), X.T[:, [4, 10]])
    with pytest.raises(BadRequest):
        stacked.take(np.array([11]))


def test_designs_of_other_layers_are_refused(parts: list[np.ndarray]) -> None:
    for wrong in ([], [ArrayDesign(parts[0], LAYERS), ArrayDesign(parts[1])]):
        with pytest.raises(BadRequest, match="designs are stacked whose layers are the same"):
            RowStack(wrong)
