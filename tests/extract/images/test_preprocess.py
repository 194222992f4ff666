"""Preprocessing presets are what they say."""

from dataclasses import fields

import numpy as np
import pytest
import timm
import torch
from head2toe.extract.images.preprocess import PREPROCESSING_PRESETS, Preprocessing
from head2toe.extract.options import ExtractOptions
from PIL import Image
from timm.data import create_transform, resolve_model_data_config

CONFIG = resolve_model_data_config(timm.create_model("resnet18"))


@pytest.fixture
def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 80, 3), dtype=np.uint8))


def prepared(picture: Image.Image, preset: str, size: int = 32) -> torch.Tensor:
    preprocessing = Preprocessing.of_model(CONFIG, size, preset)
    return preprocessing.normalize(preprocessing.resizer()(picture)[None])[0]


def test_timm_is_the_models_own_to_the_letter(picture: Image.Image) -> None:
    own = create_transform(**{**CONFIG, "input_size": (3, 32, 32)})(picture)
    torch.testing.assert_close(prepared(picture, "timm"), own, rtol=1e-4, atol=1e-4)


def test_whole_cuts_nothing_away(picture: Image.Image) -> None:
    """A mark in the corner reaches the backbone; a centre crop loses it."""
    marked = picture.copy()
    marked.paste((255, 0, 255), (0, 0, 4, 4))
    assert not torch.equal(prepared(marked, "whole"), prepared(picture, "whole"))
    assert torch.equal(prepared(marked, "timm"), prepared(picture, "timm"))


def test_ranges(picture: Image.Image) -> None:
    assert prepared(picture, "raw").min() >= 0
    assert prepared(picture, "raw").max() <= 1
    assert prepared(picture, "h2t").min() < -0.5
    assert prepared(picture, "h2t").max() <= 1


def test_every_preset_has_its_own_key() -> None:
    described = [str(Preprocessing.of_model(CONFIG, 32, preset).describe()) for preset in PREPROCESSING_PRESETS]
    # For this model `whole` and `imagenet` differ in the interpolation alone, if at all: numbers decide the key.
    assert len(set(described)) >= len(PREPROCESSING_PRESETS) - 1
    choices = {one.name: one.metadata["choices"] for one in fields(ExtractOptions)}
    assert choices["preprocess"] == PREPROCESSING_PRESETS
