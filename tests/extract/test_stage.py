"""The identity of a store names all that determines its numbers, and nothing else."""

from dataclasses import replace

import pytest
from head2toe.extract.backbone.backbone import Backbone, load_backbone
from head2toe.extract.backbone.taps import Tap, discover
from head2toe.extract.stage import store_identity


@pytest.fixture
def backbone() -> Backbone:
    """A small network, with random weights."""
    return load_backbone("test_resnet", weights="random", input_size=32, device="cpu")


def test_the_keys_of_stores_of_square_maps_are_those_of_ever(backbone: Backbone) -> None:
    taps = discover(backbone, "blocks").taps
    assert list(store_identity(backbone, taps, 64, "paper", "float16")) == [
        "backbone", "preprocessing", "taps", "target_size", "tokens", "precision", "dtype",
    ]  # fmt: skip


def test_a_map_whose_windows_have_changed_has_a_key_of_its_own(backbone: Backbone) -> None:
    square = Tap("x", "x", "out", 0, (4, 9, 9), "NCHW")
    oblong = replace(square, shape=(4, 7, 9))
    plain = store_identity(backbone, [square], 16, "paper", "float16")
    assert "map_windows" not in plain
    assert store_identity(backbone, [square, oblong], 16, "paper", "float16")["map_windows"] == "of the height"
    assert store_identity(backbone, [oblong], 4, "paper", "float16").keys() == plain.keys(), "the mean is the mean"
