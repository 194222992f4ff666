"""The layer index maps columns and layers onto each other, and refuses nonsense."""

import numpy as np
import pytest
from head2toe.store.common.errors import BadRequest
from head2toe.store.format.layer_index import LayerIndex


def test_layer_index_maps_columns_and_layers_onto_each_other() -> None:
    index = LayerIndex(("a", "b", "c"), (2, 3, 1))
    assert index.n_features == 6
    assert index.columns("b") == slice(2, 5)
    np.testing.assert_array_equal(index.layer_of(np.arange(6)), [0, 0, 1, 1, 1, 2])
    np.testing.assert_array_equal(index.counts(np.array([5, 0, 1, 1])), [3, 0, 1])
    np.testing.assert_array_equal(index.counts(np.array([], np.int64)), [0, 0, 0])
    both = LayerIndex.concat([index, index], ["x/", "y/"])
    assert both.names == ("x/a", "x/b", "x/c", "y/a", "y/b", "y/c")
    assert both.columns("y/a") == slice(6, 8)
    assert index == LayerIndex(("a", "b", "c"), (2, 3, 1))


@pytest.mark.parametrize(("names", "widths"), [(("a", "a"), (1, 1)), (("a",), (0,)), (("a", "b"), (1,)), (("",), (1,))])
def test_layer_index_refuses_nonsense(names: tuple[str, ...], widths: tuple[int, ...]) -> None:
    with pytest.raises(BadRequest):
        LayerIndex(names, widths)
    with pytest.raises(BadRequest, match="no layer 'z'"):
        LayerIndex(("a",), (1,)).columns("z")
