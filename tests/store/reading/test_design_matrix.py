"""The layer index, the design matrix in memory, and how rows are found."""

import numpy as np
import pytest
from head2toe.store.common.errors import BadRequest
from head2toe.store.format.key import differing_fields, labels, rows_per_block
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design_matrix import ArrayDesign, Design
from head2toe.store.reading.row_map import RowMap, as_slice


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


def test_rows_are_sorted_into_blocks() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        rows = rng.integers(0, 40, rng.integers(0, 30))
        found = np.full(len(rows), -1)
        for segment in RowMap.of(rows, 8).segments:
            found[segment.target] = np.arange(40)[segment.block * 8 :][segment.source]
        np.testing.assert_array_equal(found, rows)
    assert as_slice(np.arange(3, 9)) == slice(3, 9)
    assert RowMap.of(np.arange(3, 7), 8).source == (0, slice(3, 7))
    assert RowMap.of(np.arange(3, 9), 8).source is None


@pytest.mark.parametrize(("dtype", "itemsize"), [("float16", 2), ("float32", 4)])
def test_features_lie_on_pages_and_never_across_two(dtype: str, itemsize: int) -> None:
    for n in (1, 63, 64, 65, 1000, 1024, 1025, 2048, 5000, 10**6):
        nbytes = rows_per_block(dtype, n) * itemsize
        assert nbytes == 4096 or (4096 % nbytes == 0 and n * itemsize <= nbytes)


def test_what_differs_between_identities() -> None:
    a = {"backbone": {"tag": "x", "weights": "1"}, "taps": ["a", "b"], "size": 1}
    assert differing_fields(a, a) == ()
    assert differing_fields(a, a | {"taps": ("a", "b")}) == ()
    assert differing_fields(a, {"backbone": {"tag": "y", "weights": "1"}, "taps": ["a"], "new": 0}) == (
        "backbone.tag", "taps", "size", "new",
    )  # fmt: skip


def test_labels_tell_stores_apart_with_few_words() -> None:
    base = {"backbone": {"architecture": "r50", "tag": "a"}, "target_size": 2, "taps": ["x"]}
    assert labels([base]) == ("",)
    assert labels([base, base | {"target_size": 8}]) == ("target_size=2/", "target_size=8/")
    other = {"backbone": {"architecture": "vit", "tag": "b"}, "target_size": 2, "taps": ["y"]}
    assert labels([base, other]) == ("architecture=r50/", "architecture=vit/")
    assert len(set(labels([base, other, base | {"target_size": 8}]))) == 3
    assert len(set(labels([base, base | {"taps": ["z"]}]))) == 2
