"""Batches: what can't be resized is named before it takes gigabytes."""

from dataclasses import replace

import numpy as np
import pytest
from head2toe.extract.backbone.backbone import Backbone, load_backbone
from head2toe.extract.features.views import PLAIN, View
from head2toe.extract.images.batches import batches, view_batches
from head2toe.extract.images.sources import ImageArray
from head2toe.store.common.errors import DataError


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("resnet18", weights="random", input_size=32, device="cpu")


@pytest.mark.parametrize("mode", ["center", "border"])
def test_an_image_too_narrow_for_a_crop_is_named(backbone: Backbone, mode: str) -> None:
    """A PNG of 20 kB would take gigabytes; or no pixel would be left of its shorter side."""
    preprocessing = replace(backbone.preprocessing, crop_mode=mode, crop_pct=0.875, input_size=224)
    narrow = ImageArray("narrow", np.zeros((20000, 1, 3), np.uint8))
    with pytest.raises(DataError, match=r"can't resize image narrow \(1 x 20000 pixels; .*--preprocess whole"):
        list(batches(["0"], {"0": narrow}, preprocessing, 1))
    fine = ImageArray("wide", np.zeros((20, 2000, 3), np.uint8))
    ((_, batch),) = batches(["0"], {"0": fine}, preprocessing, 1)
    assert batch.shape == (1, 3, 224, 224)


def test_views_of_an_image_may_lie_in_two_batches(backbone: Backbone) -> None:
    rng = np.random.default_rng(0)
    source = {str(i): ImageArray(str(i), rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)) for i in range(7)}
    views, resize = (PLAIN, View("flip"), View("crop#1")), backbone.preprocessing.resizer()
    wanted = [(name, views[: 1 + i % 3]) for i, name in enumerate(source)]
    parts = list(view_batches(wanted, source, backbone.preprocessing, 4))
    assert [len(pixels) for _, pixels in parts] == [4, 4, 4, 1]
    assert [pair for pairs, _ in parts for pair in pairs] == [(name, view) for name, of in wanted for view in of]
    for pairs, pixels in parts:
        for (name, view), got in zip(pairs, pixels, strict=True):
            np.testing.assert_array_equal(got, resize(view(source[name].load(), source[name])))
