"""Pooling is the paper's, window for window."""

import math

import numpy as np
import pytest
import torch
from head2toe.extract.backbone.pooling import pool, pooled_width
from head2toe.extract.backbone.windows import Tokens, height_matters


def paper_map(x: np.ndarray, target: int) -> np.ndarray:
    """(h, w, c) by the rule of the original, written with loops: the oracle."""
    height, width, channels = x.shape
    size = 0 if channels >= target else height // int(math.sqrt(target // channels))
    if size == 0:
        return x.mean((0, 1))
    cells = [
        x[i : i + size, j : j + size].mean((0, 1))
        for i in range(0, height - size + 1, size)
        for j in range(0, width - size + 1, size)
    ]
    return np.concatenate(cells)


def paper_sequence(x: np.ndarray, target: int) -> np.ndarray:
    """(l, c) by the rule of the original."""
    length, channels = x.shape
    size = 0 if channels >= target else int(length / (target / channels))
    if size == 0:
        return x.mean(0)
    return np.concatenate([x[i : i + size].mean(0) for i in range(0, length - size + 1, size)])


@pytest.mark.parametrize("target", [1, 24, 100, 512, 600, 4096, 40000])
@pytest.mark.parametrize(
    "shape", [(7, 7, 24), (56, 56, 64), (15, 15, 8), (13, 17, 3), (20, 9, 5), (7, 9, 4), (1, 1, 16)]
)
def test_maps_equal_the_paper_in_both_layouts(shape: tuple[int, int, int], target: int) -> None:
    if shape[1] < shape[0] // max(1, int(math.sqrt(target // shape[2] or 1))):
        pytest.skip("a window wider than the map: the original fails there")
    x = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    expected = np.stack([paper_map(one.astype(np.float64), target) for one in x])
    nhwc = pool(torch.from_numpy(x), target, layout="NHWC")
    nchw = pool(torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(), target, layout="NCHW")
    np.testing.assert_allclose(nhwc, expected, atol=1e-6)
    np.testing.assert_allclose(nchw, expected, atol=1e-6)
    assert pooled_width(shape, target, "NHWC") == expected.shape[1]


@pytest.mark.parametrize("target", [16, 512, 768, 1000, 15360, 32448, 10**6])
@pytest.mark.parametrize("shape", [(197, 768), (50, 16), (9, 4)])
def test_sequences_equal_the_paper(shape: tuple[int, int], target: int) -> None:
    x = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    expected = np.stack([paper_sequence(one.astype(np.float64), target) for one in x])
    np.testing.assert_allclose(pool(torch.from_numpy(x), target, layout="NLC"), expected, atol=1e-6)


def test_the_height_of_a_map_gives_the_window() -> None:
    assert pooled_width((7, 9, 4), 16, "NHWC") == 24
    assert pooled_width((7, 9, 4), 64, "NHWC") == 252
    assert pooled_width((4, 7, 9), 64, "NCHW") == 252
    assert pooled_width((20, 2, 4), 16, "NHWC") == 8, "windows are as narrow as the map"


def test_the_height_matters_only_where_the_width_would_give_another_window() -> None:
    assert height_matters((7, 9, 4), 16, "NHWC")
    assert height_matters((4, 7, 9), 16, "NCHW")
    assert not height_matters((7, 9, 4), 4, "NHWC"), "the mean over the map"
    assert not height_matters((6, 7, 4), 16, "NHWC"), "3 of either"
    assert not height_matters((9, 9, 4), 16, "NHWC")
    assert not height_matters((4, 9), 16, "NLC")
    assert not height_matters((4,), 16, "NC")


def test_widths_that_the_paper_reports() -> None:
    assert pooled_width((56, 56, 64), 40000, "NHWC") == 50176
    assert pooled_width((7, 7, 24), 600, "NHWC") == 1176
    assert pooled_width((197, 768), 15360, "NLC") == 16128
    assert pooled_width((197, 768), 32448, "NLC") == 37632


@pytest.mark.parametrize(("layout", "shape"), [("NC", (3, 8)), ("NHWC", (3, 2, 2, 8)), ("NLC", (3, 4, 8))])
def test_the_result_never_shares_memory(layout: str, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    before = pool(x, 10**4 if layout == "NC" else 32, layout=layout)  # type: ignore[arg-type]
    copy = before.clone()
    x.zero_()
    assert torch.equal(before, copy)


def test_half_precision_is_pooled_in_float32() -> None:
    x = torch.full((1, 4, 4, 2), 40000.0).half()
    assert pool(x, 2, layout="NHWC").tolist() == [[40000.0, 40000.0]]


def test_tokens_are_kept_as_asked() -> None:
    x = torch.randn(2, 2 + 9, 4)  # a class token, a register, nine patches
    cls, patches = x[:, 0], x[:, 2:]

    def pooled(tokens: str, target: int = 12, prefix: int = 2) -> torch.Tensor:
        return pool(x, target, layout="NLC", tokens=tokens, prefix=prefix)  # type: ignore[arg-type]

    windows = patches.reshape(2, 3, 3, 4).mean(2).flatten(1)
    torch.testing.assert_close(pooled("cls"), cls)
    torch.testing.assert_close(pooled("mean"), patches.mean(1))
    torch.testing.assert_close(pooled("cls+mean"), torch.cat((cls, patches.mean(1)), 1))
    torch.testing.assert_close(pooled("cls+paper"), torch.cat((cls, windows), 1))
    torch.testing.assert_close(pooled("cls", prefix=0), x.mean(1))
    assert pooled("paper").shape == (2, 12)
    assert pooled_width((11, 4), 12, "NLC", "cls+paper", 2) == 16


@pytest.mark.parametrize("tokens", ["paper", "cls", "cls+paper", "mean", "cls+mean"])
@pytest.mark.parametrize("prefix", [1, 2])
def test_a_sequence_of_prefix_tokens_alone_has_no_patches(tokens: Tokens, prefix: int) -> None:
    """As in class attention (CaiT, XCiT), whose output is the class token."""
    x = torch.rand(3, prefix, 8)
    pooled = pool(x, 512, layout="NLC", tokens=tokens, prefix=prefix)
    assert torch.isfinite(pooled).all()
    assert pooled.shape[1] == pooled_width((prefix, 8), 512, "NLC", tokens, prefix)
    if tokens == "cls":
        assert torch.equal(pooled, x[:, 0])
    if tokens in ("mean", "cls+mean"):
        torch.testing.assert_close(pooled, x.mean(1))
