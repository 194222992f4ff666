"""The design matrix in memory gives what the array holds, and checks indices."""

import numpy as np
import pytest
from head2toe.store.common.errors import BadRequest
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design import ArrayDesign, Design


def test_array_design_is_a_design() -> None:
    rng = np.random.default_rng(1)
    X = rng.standard_normal((11, 9)).astype(np.float32)
    design: Design = ArrayDesign(X, LayerIndex(("a", "b"), (4, 5)))
    for view, expected in (
        (design, X),
        (design.take([3, 3, 0]).take([2, 0]), X[[0, 3]]),
        (design.take(slice(2, 7)), X[2:7]),
    ):
        blocks = list(view.stream(max_bytes=3 * 4 * len(expected)))
        assert max(block.stop - block.start for block in blocks) == 3
        np.testing.assert_array_equal(np.concatenate([block.values for block in blocks]).T, expected)
        np.testing.assert_array_equal(view.columns([8, 0, 8]), expected[:, [8, 0, 8]].T)
        assert view.shape == expected.shape
    assert all(np.shares_memory(block.values, X) for block in design.stream())


@pytest.mark.parametrize("bad", [[9], [-1], [0.5], [[1]], np.ones(3, bool)])
def test_indices_are_checked(bad: object) -> None:
    with pytest.raises(BadRequest):
        ArrayDesign(np.zeros((4, 9))).columns(bad)
