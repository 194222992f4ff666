"""The mean of several designs is read as if it were one design."""

import numpy as np
import pytest
from head2toe.store.common.errors import BadRequest
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design import ArrayDesign
from head2toe.store.reading.row_mean import RowMean

LAYERS = LayerIndex(("a", "b"), (5, 3))


@pytest.fixture
def parts() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((6, 8)).astype(np.float32) for _ in range(3)]


@pytest.fixture
def averaged(parts: list[np.ndarray]) -> RowMean:
    return RowMean([ArrayDesign(part, LAYERS) for part in parts])


def test_columns_and_streams_are_those_of_the_mean(parts: list[np.ndarray], averaged: RowMean) -> None:
    X = np.mean(parts, axis=0, dtype=np.float64)
    assert averaged.shape == X.shape
    assert averaged.layers == LAYERS
    read = averaged.columns(np.array([7, 0, 3]))
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, X.T[[7, 0, 3]], atol=1e-6)
    for max_bytes, within in ((1 << 20, None), (1, None), (100, (2, 7))):
        blocks = [(b.start, b.stop, b.values.copy()) for b in averaged.stream(max_bytes=max_bytes, within=within)]
        first, last = within or (0, 8)
        np.testing.assert_allclose(np.concatenate([values for *_, values in blocks]), X.T[first:last], atol=1e-6)
        assert all(stop <= 5 or start >= 5 for start, stop, _ in blocks), "no block crosses a layer"


def test_a_design_alone_is_its_own_mean_and_is_not_written_to(parts: list[np.ndarray]) -> None:
    design = ArrayDesign(parts[0], LAYERS)
    for _ in range(2):
        np.testing.assert_array_equal(RowMean([design]).columns(np.arange(8)), parts[0].T)
        RowMean([design, design, design]).columns(np.arange(8))


def test_rows_are_taken_of_every_part(parts: list[np.ndarray], averaged: RowMean) -> None:
    X = np.mean(parts, axis=0, dtype=np.float64)
    for rows in ([5, 0, 3, 3], [], [4]):
        np.testing.assert_allclose(
            averaged.take(np.array(rows, np.int64)).columns(np.arange(8)), X.T[:, rows], atol=1e-6
        )
    with pytest.raises(BadRequest):
        averaged.take(np.array([6]))


def test_designs_of_other_layers_or_other_rows_are_refused(parts: list[np.ndarray]) -> None:
    first = ArrayDesign(parts[0], LAYERS)
    for wrong in ([], [first, ArrayDesign(parts[1])], [first, ArrayDesign(parts[1][:5], LAYERS)]):
        with pytest.raises(BadRequest, match="whose layers and numbers of rows are the same"):
            RowMean(wrong)
