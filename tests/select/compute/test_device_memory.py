"""Designs on a GPU go up once, as they are stored; they make room for each other; those too large are streamed."""

from types import SimpleNamespace

import numpy as np
import pytest
from head2toe.select.compute.arrays import namespace, to_numpy
from head2toe.select.compute.normalize import UnitRows
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.management.catalogue import Catalogue
from head2toe.store.reading.design_matrix import ArrayDesign, DesignMatrix
from head2toe.store.reading.row_mean import RowMean

LAYERS = LayerIndex(("a", "b", "c", "d"), (30, 50, 20, 40))
N = 24


def values_of(layer: str) -> np.ndarray:
    """(N, width), exact in float16; those of layer c are too large for it, which makes it a layer of float32."""
    at = LAYERS.names.index(layer)
    values = np.random.default_rng(at).standard_normal((N, LAYERS.widths[at])).astype(np.float16).astype(np.float32)
    return values * 1e6 if layer == "c" else values


@pytest.fixture
def stored(tmp_path):
    """A design of a store whose layers are float16 but for one."""
    images = [f"{i:064x}" for i in range(N)]
    toy = {"architecture": "toy", "weights_sha256": "0" * 64}
    identity = {"backbone": toy, "preprocessing": {}, "taps": list(LAYERS.names), "dtype": "float16"}
    identity |= {"target_size": 512, "tokens": "paper"}
    writer = Catalogue(tmp_path / "root").writer(identity, images, LAYERS, rows_per_block=10)
    for block in writer.pending():
        with writer.claim(block) as claimed:
            rows = [images.index(writer.images[row]) for row in claimed.missing]
            claimed.put(claimed.missing, {name: values_of(name)[rows] for name in LAYERS.names})
            claimed.commit()
    store = writer.seal()
    assert set(store.dtypes) == {"float16", "float32"}
    return DesignMatrix.of([store], images)


@pytest.fixture
def gpu(cupy_double):
    return SimpleNamespace(
        counts=cupy_double._counting, settings=cupy_double._device.settings, arrays=namespace("cuda")
    )


def read(design, arrays):
    out = np.full((design.shape[1], N), np.nan, np.float32)
    for columns, values in arrays.memory.chunks(design, arrays.xp, 0):
        assert values.dtype == np.float32
        assert np.isnan(out[columns]).all(), "each feature comes once"
        out[columns] = to_numpy(values)
    return out


def on_host(design):
    return np.concatenate([block.values.copy() for block in design.stream()])


def test_the_store_s_own_dtype_goes_up_once(gpu, stored):
    half, single = 120 * N * 2, 20 * N * 4
    with gpu.counts.region() as first:
        np.testing.assert_array_equal(read(stored, gpu.arrays), on_host(stored))
    assert first.bytes_up == half + single == gpu.arrays.memory.used
    with gpu.counts.region() as second:
        np.testing.assert_array_equal(read(stored, gpu.arrays), on_host(stored))
    assert second.bytes_up == 0
    assert len(list(gpu.arrays.memory.chunks(stored, gpu.arrays.xp, 0))) == 2, "one for each dtype, not each layer"


def test_unit_rows_are_made_of_what_is_there(gpu, stored):
    read(stored, gpu.arrays)
    unit = UnitRows.of(stored)
    with gpu.counts.region() as used:
        np.testing.assert_allclose(read(unit, gpu.arrays), on_host(unit), rtol=1e-6)
    assert used.bytes_up <= 140 * 8 + 4 * N * 4  # each feature's layer, and the norms


@pytest.mark.parametrize("chunk", [1, 3 * 4 * N, 1 << 20])
@pytest.mark.parametrize("staging", [4 * N, 500, 1 << 20])
def test_what_does_not_fit_is_streamed_on_every_pass(gpu, stored, monkeypatch, chunk, staging):
    """The numbers are the same, however small the pieces are, and although copies are done as late as they may be."""
    monkeypatch.setattr("head2toe.select.compute.device_memory.CHUNK_BYTES", chunk)
    monkeypatch.setattr("head2toe.select.compute.device_memory.STAGING_BYTES", staging)
    arrays = namespace("cuda", memory=0.0)
    for _ in range(2):
        with gpu.counts.region() as used:
            np.testing.assert_array_equal(read(stored, arrays), on_host(stored))
        assert used.bytes_up == 120 * N * 2 + 20 * N * 4
    assert arrays.memory.used == 0


def test_the_design_used_least_recently_makes_room(gpu):
    designs = [ArrayDesign(np.full((N, 100), i, np.float32)) for i in range(3)]
    memory = gpu.arrays.memory
    memory.most = 2 * N * 100 * 4
    for i in (0, 1, 0, 2):  # 1 is the one that 2 takes the place of
        read(designs[i], gpu.arrays)
    assert memory.used == memory.most
    with gpu.counts.region() as used:
        read(designs[0], gpu.arrays)
        read(designs[2], gpu.arrays)
    assert used.bytes_up == 0
    with gpu.counts.region() as used:
        read(designs[1], gpu.arrays)
    assert used.bytes_up == N * 100 * 4


def test_a_design_that_is_gone_takes_no_memory(gpu):
    design = ArrayDesign(np.ones((N, 10), np.float32))
    read(design, gpu.arrays)
    assert gpu.arrays.memory.used == N * 10 * 4
    del design
    assert gpu.arrays.memory.used == 0


def test_the_share_of_what_is_free(gpu):
    gpu.settings["memory"] = 10**9
    assert namespace("cuda", memory=0.25).memory.most == pytest.approx(0.25e9, rel=0.01)


def mean_of_views(design):
    return RowMean([design, design.take(np.arange(N)[::-1])])


@pytest.mark.parametrize("memory", [0.8, 0.0])
@pytest.mark.parametrize("wrapped", [lambda design: design, UnitRows.of, mean_of_views])
def test_features_of_several_folds_come_together(gpu, stored, memory, wrapped):
    """From the device's own memory in as few calls as those of one fold; from the host if they don't fit there."""
    arrays, design = namespace("cuda", memory=memory), wrapped(stored)
    rng = np.random.default_rng(0)
    of_each = [np.sort(rng.choice(design.shape[1], 20, replace=False)) for _ in range(3)]
    found = arrays.columns_of_each(design, of_each)
    assert found.shape == (3, 20, N)
    expected = np.stack([design.columns(columns) for columns in of_each])
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-6)
    if memory:
        calls = []
        for folds in (of_each[:1], of_each):
            with gpu.counts.region() as used:
                arrays.columns_of_each(design, folds)
            calls.append(used.calls)
        assert calls[0] == calls[1]
