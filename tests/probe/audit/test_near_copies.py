"""Copies that were cut, turned or stretched a little are found, and pictures that only look alike are not."""

from collections.abc import Callable

import numpy as np
import pytest
from head2toe.probe.audit.duplicates import duplicate_pairs
from head2toe.probe.audit.near_copies import near_copies
from PIL import Image

N, SIDE = 12, 64


def blobs(rng: np.random.Generator) -> Image.Image:
    """A picture of details of several sizes, 256 pixels wide."""
    layers = [
        Image.fromarray(rng.uniform(0, 255, (size, size)).astype(np.uint8)).resize((256, 256), Image.Resampling.BICUBIC)
        for size in (5, 11, 24)
    ]
    return Image.fromarray(np.mean([np.asarray(layer, float) for layer in layers], axis=0).astype(np.uint8))


def small(images: list[Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX)) for image in images])


@pytest.fixture
def originals() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [blobs(rng) for _ in range(N)]


def features(*, noise: float = 0.5) -> np.ndarray:
    """Features of pictures and as many copies of them, which lie near to them."""
    rng = np.random.default_rng(1)
    own = rng.standard_normal((N, 40))
    return np.concatenate([own, own + noise * rng.standard_normal((N, 40))])


def cut(left: float, top: float, right: float, bottom: float) -> Callable[[Image.Image], Image.Image]:
    def changed(image: Image.Image) -> Image.Image:
        w, h = image.size
        return image.crop((round(w * left), round(h * top), round(w * (1 - right)), round(h * (1 - bottom))))

    return changed


def turned(degrees: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.rotate(degrees, Image.Resampling.BILINEAR)


CHANGES = {
    "5 % less at each side": cut(0.05, 0.05, 0.05, 0.05),
    "10 % less at each side": cut(0.1, 0.1, 0.1, 0.1),
    "a strip less": cut(0, 0, 0.13, 0),
    "a corner less": cut(0.12, 0.09, 0, 0),
    "turned by 5 degrees": turned(5),
    "turned by 10 degrees": turned(-10),
    "turned, and its corners cut off": lambda image: cut(0.14, 0.14, 0.14, 0.14)(turned(8)(image)),
    "mirrored, cut and darkened": lambda image: cut(0.08, 0.08, 0.08, 0.08)(
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).point(lambda grey: grey * 0.6 + 20)
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_copies_are_found_and_nothing_else(
    change: Callable[[Image.Image], Image.Image], originals: list[Image.Image]
) -> None:
    grey = small([*originals, *map(change, originals)])
    found = near_copies(features(), grey)
    assert [(i, j) for i, j, _ in found] == [(i, i + N) for i in range(N)]
    assert all(0.5 < score <= 1 for _, _, score in found)
    swapped = near_copies(np.roll(features(), N, axis=0), np.roll(grey, N, axis=0))
    assert [(i, j) for i, j, _ in swapped] == [(i, i + N) for i in range(N)], "which of both was changed is not said"


def test_cut_and_turned_copies_escape_the_comparison_of_pixels_as_they_are(originals: list[Image.Image]) -> None:
    """Or this module were for nothing."""
    grey = small([*originals, *map(CHANGES["10 % less at each side"], originals)])
    assert len(duplicate_pairs(features(), grey)) < N / 2


def test_other_pictures_are_none_however_near_their_features(originals: list[Image.Image]) -> None:
    rng = np.random.default_rng(7)
    assert near_copies(features(noise=0.05), small([*originals, *(blobs(rng) for _ in range(N))])) == []


def test_patterns_that_repeat_and_smooth_pictures_prove_nothing() -> None:
    """Each agrees with many others, moved a little."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    waves = [np.sin(2 * np.pi * (x + 3 * i) / 9) * np.sin(2 * np.pi * (y + i) / 9) for i in range(N)]
    slopes = [x + 0.3 * i * y for i in range(N)]
    noise = np.random.default_rng(3).normal(0, 3, (2 * N, SIDE, SIDE))
    for patterns in (waves, slopes):
        grey = np.stack([*patterns, *patterns])
        grey = 20 + 200 * (grey - grey.min()) / np.ptp(grey) + noise
        assert near_copies(features(noise=0.05), grey.clip(0, 255).astype(np.uint8)) == []


def test_black_corners_and_frames_are_alike_on_any_picture() -> None:
    """Two pictures that were turned by one angle share their black corners, and those of one page its frame."""
    rng = np.random.default_rng(4)
    faint = [blobs(rng).point(lambda grey: 120 + grey // 20) for _ in range(2 * N)]
    framed = [Image.new("L", (300, 300), 10) for _ in faint]
    for frame, image in zip(framed, faint, strict=True):
        frame.paste(image, (22, 22))
    for pictures in ([turned(9)(image) for image in faint], framed):
        grey = small(pictures)
        assert np.corrcoef(grey.reshape(2 * N, -1)).min() > 0.9
        assert near_copies(features(noise=0.05), grey) == []


def test_pixels_alone_are_not_enough_and_known_pairs_are_left_out(originals: list[Image.Image]) -> None:
    grey = small([*originals, *map(CHANGES["10 % less at each side"], originals)])
    strangers = np.random.default_rng(5).standard_normal((2 * N, 400))
    assert near_copies(strangers, grey) == []
    known = {(i, i + N) for i in range(N - 1)}
    assert [(i, j) for i, j, _ in near_copies(features(), grey, known)] == [(N - 1, 2 * N - 1)]


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_and_constant_pictures_are_no_copies(n: int) -> None:
    assert near_copies(np.ones((n, 3)), np.full((n, SIDE, SIDE), 9, np.uint8)) == []
