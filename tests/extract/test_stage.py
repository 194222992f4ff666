"""The identity of a store names all that determines its numbers, and nothing else."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from head2toe.extract.backbone.backbone import Backbone, load_backbone
from head2toe.extract.backbone.taps import Tap, discover
from head2toe.extract.features.precision import Precision
from head2toe.extract.stage import store_identity
from head2toe.pipeline import extract
from head2toe.store.reading.adapters import to_xarray


@pytest.fixture
def backbone() -> Backbone:
    """A small network, with random weights."""
    return load_backbone("test_resnet", weights="random", input_size=32, device="cpu")


def test_the_keys_of_stores_of_square_maps_are_those_of_ever(backbone: Backbone) -> None:
    taps = discover(backbone, "blocks").taps
    assert list(store_identity(backbone, taps, 64, "paper", "float16")) == [
        "backbone", "preprocessing", "taps", "target_size", "tokens", "precision", "dtype",
    ]  # fmt: skip


def test_the_key_of_default_settings_is_that_of_ever() -> None:
    """The hash of the identity of before there was a choice of precision: its stores are found."""
    weights = {"architecture": "test_resnet", "weights_sha256": "0" * 64}
    preprocessing = {"input_size": 32}
    network = SimpleNamespace(
        architecture="test_resnet",
        weights_sha256="0" * 64,
        preprocessing=SimpleNamespace(describe=lambda: preprocessing),
        device=torch.device("cuda"),
    )
    before = {"backbone": weights, "preprocessing": preprocessing, "taps": [], "target_size": 64, "tokens": "paper"}
    for precision, name in (
        (Precision.of("cuda"), "float32"),
        (Precision.of("cuda", amp=True), "amp, cuda"),
        (Precision.of("cuda", amp="float16"), "amp, cuda"),
        (Precision.of("cpu", amp=True), "amp, cpu"),
    ):
        identity = store_identity(network, [], 64, "paper", "float16", precision=precision)  # type: ignore[arg-type]
        assert identity == before | {"precision": name, "dtype": "float16"}


def test_what_torch_is_told_is_recorded(image_folder: Path, smaller: dict[str, Any]) -> None:
    recorded = extract(str(image_folder), **smaller).store.provenance["torch"]
    assert recorded == {
        "device": "cpu",
        "tf32": False,
        "cudnn.deterministic": torch.backends.cudnn.deterministic,
        "cudnn.benchmark": torch.backends.cudnn.benchmark,
        "use_deterministic_algorithms": False,
    }


def test_amp_has_a_word_or_the_devices_own(image_folder: Path, smaller: dict[str, Any]) -> None:
    plain, bare, said, other = (
        extract(str(image_folder), **smaller, amp=amp) for amp in (False, True, "bfloat16", "float16")
    )
    assert len({one.store.key for one in (plain, bare, said, other)}) == 3
    assert bare.store.key == said.store.key
    assert said.images_extracted == 0
    assert any(note.startswith("--amp is bfloat16 on cpu") for note in bare.notes)
    assert not any("--amp is" in note for note in (*said.notes, *other.notes))


def test_a_map_whose_windows_have_changed_has_a_key_of_its_own(backbone: Backbone) -> None:
    square = Tap("x", "x", "out", 0, (4, 9, 9), "NCHW")
    oblong = replace(square, shape=(4, 7, 9))
    plain = store_identity(backbone, [square], 16, "paper", "float16")
    assert "map_windows" not in plain
    assert store_identity(backbone, [square, oblong], 16, "paper", "float16")["map_windows"] == "of the height"
    assert store_identity(backbone, [oblong], 4, "paper", "float16").keys() == plain.keys(), "the mean is the mean"


def test_the_statistics_are_part_of_the_key_unless_it_is_the_mean_alone(backbone: Backbone) -> None:
    taps = discover(backbone, "blocks").taps
    plain = store_identity(backbone, taps, 64, "paper", "float16")
    assert store_identity(backbone, taps, 64, "paper", "float16", statistics=("mean",)) == plain
    more = store_identity(backbone, taps, 64, "paper", "float16", statistics=("mean", "std"))
    assert more == plain | {"pool": "mean,std"}


def test_statistics_stand_side_by_side_in_the_store(image_folder: Path, smaller: dict[str, Any]) -> None:
    means, both = (extract(str(image_folder), **smaller, pool=pool) for pool in ("mean", "std,mean"))
    assert means.store.key != both.store.key
    assert any("differs in pool" in note for note in both.notes)
    assert extract(str(image_folder), **smaller, pool=("mean", "std", "mean")).store.key == both.store.key
    rows = [both.store.row_by_image[image] for image in means.store.images]
    assert "columns" not in means.store.provenance
    for name, width in zip(means.store.layers.names, means.store.layers.widths, strict=True):
        blocks = both.store.provenance["columns"][name]
        a, b = means.store.layers.columns(name), both.store.layers.columns(name)
        alone = means.store.columns(np.arange(a.start, a.stop))
        beside = both.store.columns(np.arange(b.start, b.stop))[:, rows]
        np.testing.assert_allclose(beside[:width], alone, rtol=2e-3, atol=1e-4)
        if name in ("pre_logits", "logits") or beside.shape[0] == width:
            assert blocks == [["value", width]]
        else:
            assert blocks == [["mean", width], ["std", width]]
            assert (beside[width:] >= 0).all()
            assert (beside[width:] > 0).any()


def test_an_xarray_says_which_statistic_a_feature_is(image_folder: Path, smaller: dict[str, Any]) -> None:
    pytest.importorskip("xarray")
    pytest.importorskip("dask")
    named = to_xarray(extract(str(image_folder), **smaller, pool="mean,max").store)
    assert set(named.statistic.values) == {"mean", "max", "value"}
    layer = named.where(named.layer == "layer1.0", drop=True)
    assert list(layer.statistic.values) == ["mean"] * 64 + ["max"] * 64
    assert (layer.values[64:] >= layer.values[:64]).all()
    assert "statistic" not in to_xarray(extract(str(image_folder), **smaller).store).coords
