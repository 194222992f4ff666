"""Several statistics of every pooling window stand side by side, as loops over the windows in NumPy find them."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from head2toe.extract.backbone.pooling import pool, pooled_width
from head2toe.extract.backbone.windows import STATISTICS, Layout, Statistics, Tokens, column_blocks
from head2toe.extract.options import POOL

OF = {"mean": np.mean, "std": np.std, "max": np.max}
ALL: tuple[Statistics, ...] = (("std",), ("max",), ("mean", "std"), STATISTICS)


def numbers(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal((2, *shape)).astype(np.float32)


def side_by_side(windows: list[np.ndarray], statistics: Statistics) -> np.ndarray:
    """Windows (elements, channels) by the rule: block by block; what is one element stands there once."""
    if len(windows[0]) == 1:
        return np.concatenate([window[0] for window in windows])
    return np.concatenate([OF[name](window, axis=0) for name in statistics for window in windows])


def of_map(x: np.ndarray, target: int, statistics: Statistics) -> np.ndarray:
    """(h, w, c) by the rule, written with loops."""
    height, width, channels = x.shape
    side = 0 if channels >= target else height // int(math.sqrt(target // channels))
    high, wide = (side, min(side, width)) if side else (height, width)

    def windows() -> Iterator[np.ndarray]:
        for i in range(0, height - high + 1, high):
            for j in range(0, width - wide + 1, wide):
                yield x[i : i + high, j : j + wide].reshape(-1, channels)

    return side_by_side(list(windows()), statistics)


def of_sequence(x: np.ndarray, target: int, statistics: Statistics) -> np.ndarray:
    """(l, c) by the rule; a target of 0 makes one window of all."""
    length, channels = x.shape
    side = 0 if channels >= target else int(length / (target / channels))
    side = side or length
    return side_by_side([x[i : i + side] for i in range(0, length - side + 1, side)], statistics)


def of_tokens(x: np.ndarray, target: int, tokens: str, prefix: int, statistics: Statistics) -> np.ndarray:
    if tokens == "paper":
        return of_sequence(x, target, statistics)
    if len(x) <= prefix:
        return x[0] if tokens == "cls" else of_sequence(x, 0, statistics)
    patches = of_sequence(x[prefix:], target if tokens == "cls+paper" else 0, statistics)
    if prefix == 0 or tokens == "mean":
        return patches
    return x[0] if tokens == "cls" else np.concatenate([x[0], patches])


@pytest.mark.parametrize("statistics", ALL, ids=",".join)
@pytest.mark.parametrize("target", [1, 24, 100, 512, 4096])
@pytest.mark.parametrize("shape", [(7, 7, 24), (15, 15, 8), (7, 9, 4), (20, 9, 5), (20, 2, 4), (1, 1, 16)])
def test_maps(shape: tuple[int, int, int], target: int, statistics: Statistics) -> None:
    x = numbers(shape)
    expected = np.stack([of_map(one.astype(np.float64), target, statistics) for one in x])
    nhwc = pool(torch.from_numpy(x), target, layout="NHWC", statistics=statistics)
    nchw = pool(torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(), target, layout="NCHW", statistics=statistics)
    np.testing.assert_allclose(nhwc, expected, atol=2e-6)
    np.testing.assert_allclose(nchw, expected, atol=2e-6)


@pytest.mark.parametrize("statistics", ALL, ids=",".join)
@pytest.mark.parametrize("tokens", ["paper", "cls", "cls+paper", "mean", "cls+mean"])
@pytest.mark.parametrize("target", [4, 12, 200])
@pytest.mark.parametrize(("length", "prefix"), [(11, 2), (10, 1), (9, 0), (2, 2), (1, 1)])
def test_tokens(length: int, prefix: int, target: int, tokens: Tokens, statistics: Statistics) -> None:
    x = numbers((length, 4))
    expected = np.stack([of_tokens(one.astype(np.float64), target, tokens, prefix, statistics) for one in x])
    pooled = pool(torch.from_numpy(x), target, layout="NLC", tokens=tokens, prefix=prefix, statistics=statistics)
    np.testing.assert_allclose(pooled, expected, atol=2e-6)


@pytest.mark.parametrize("statistics", ALL, ids=",".join)
def test_a_vector_has_no_windows(statistics: Statistics) -> None:
    x = torch.randn(3, 8)
    assert torch.equal(pool(x, 512, layout="NC", statistics=statistics), x)
    assert column_blocks((8,), 512, "NC", statistics=statistics) == [("value", 8)]


SHAPES: list[tuple[tuple[int, ...], Layout, Tokens, int]] = [
    *(
        (shape, layout, "paper", 1)
        for shape in ((7, 9, 4), (8, 8, 3), (1, 1, 5), (20, 2, 4))
        for layout in ("NHWC", "NCHW")
    ),
    *(
        ((length, 4), "NLC", tokens, prefix)
        for length, prefix in ((11, 2), (9, 0), (2, 2), (1, 1))
        for tokens in ("paper", "cls", "cls+paper", "mean", "cls+mean")
    ),
    ((8,), "NC", "paper", 1),
]


@pytest.mark.parametrize(("shape", "layout", "tokens", "prefix"), SHAPES)
@pytest.mark.parametrize("target", [1, 16, 100, 5000])
def test_what_columns_are_is_what_was_pooled(
    shape: tuple[int, ...], layout: Layout, tokens: Tokens, prefix: int, target: int
) -> None:
    """Every block holds what it is called, and the blocks are all there is."""
    x = torch.from_numpy(numbers(shape))
    how = {"layout": layout, "tokens": tokens, "prefix": prefix}
    blocks = column_blocks(shape, target, layout, tokens, prefix, STATISTICS)
    pooled = pool(x, target, **how, statistics=STATISTICS)  # type: ignore[arg-type]
    assert sum(width for _, width in blocks) == pooled.shape[1]
    assert pooled.shape[1] == pooled_width(shape, target, layout, tokens, prefix, STATISTICS)
    parts = dict(zip([name for name, _ in blocks], pooled.split([width for _, width in blocks], dim=1), strict=True))
    values = parts.pop("value", pooled[:, :0])
    for name, part in parts.items():
        alone = pool(x, target, **how, statistics=(name,))  # type: ignore[arg-type]
        assert torch.equal(torch.cat((values, part), dim=1), alone)
    if not parts:
        assert torch.equal(pool(x, target, **how), pooled)  # type: ignore[arg-type]


@pytest.mark.parametrize(("layout", "shape"), [("NHWC", (8, 8, 4)), ("NCHW", (4, 8, 8)), ("NLC", (9, 4))])
@pytest.mark.parametrize("target", [4, 16])
def test_a_small_spread_beside_a_large_mean_is_kept(layout: Layout, shape: tuple[int, ...], target: int) -> None:
    """The mean of squares less the square of the mean would leave noise, or the root of a negative number."""
    x = torch.from_numpy(numbers(shape)) + 30_000
    spread = pool(x, target, layout=layout, statistics=("std",))
    expected = pool(x.double().sub(30_000).float(), target, layout=layout, statistics=("std",))
    assert 0.2 < float(expected.median()) < 2
    torch.testing.assert_close(spread, expected, rtol=2e-3, atol=2e-3)  # the mean is rounded by .001


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_does_not_overflow(dtype: torch.dtype) -> None:
    x = torch.tensor([-40_000.0, 40_000.0]).to(dtype).repeat(8).view(1, 4, 4, 1)
    mean, std, largest = pool(x, 1, layout="NHWC", statistics=STATISTICS)[0].tolist()
    assert (mean, std, largest) == (0, float(x.max()), float(x.max()))


def test_a_window_that_is_constant_has_no_spread() -> None:
    assert pool(torch.full((2, 3, 6, 6), 0.1), 12, layout="NCHW", statistics=("std",)).abs().max() < 1e-6
    assert pool(torch.full((2, 9, 3), 0.1), 3, layout="NLC", statistics=("std",)).abs().max() < 1e-6


@pytest.mark.parametrize("statistics", ALL, ids=",".join)
@pytest.mark.parametrize(("layout", "shape"), [("NC", (3, 8)), ("NHWC", (3, 2, 2, 8)), ("NLC", (3, 4, 8))])
def test_the_result_never_shares_memory_and_the_activation_stays(
    layout: Layout, shape: tuple[int, ...], statistics: Statistics
) -> None:
    for target in (8, 32):
        x = torch.randn(shape)
        original = x.clone()
        before = pool(x, target, layout=layout, statistics=statistics)
        assert torch.equal(x, original)
        copy = before.clone()
        x.zero_()
        assert torch.equal(before, copy)


def test_options_offer_what_there_is() -> None:
    assert POOL == STATISTICS
