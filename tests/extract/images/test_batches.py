"""Batches: what can't be resized is named before it takes gigabytes."""

from dataclasses import replace

import numpy as np
import pytest
from head2toe.extract.backbone.backbone import Backbone, load_backbone
from head2toe.extract.images.batches import batches
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
