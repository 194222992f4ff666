"""The windows that activations are pooled over, from shapes alone; read without torch.

Source: google-research/head2toe, models/finetune.py, `flatten_and_concat`.
"""

import math
from collections.abc import Sequence
from typing import Literal

Layout = Literal["NCHW", "NHWC", "NLC", "NC"]
Tokens = Literal["paper", "cls", "cls+paper", "mean", "cls+mean"]
Statistic = Literal["mean", "std", "max"]
Statistics = tuple[Statistic, ...]
"""What is kept of every window, side by side."""
STATISTICS: Statistics = ("mean", "std", "max")
MEAN: Statistics = ("mean",)
"""The original's."""


def map_window(channels: int, height: int, target_size: int) -> int:
    """Return the side of the square window for a map, 0 for the global mean.

    It comes from the height alone, also where a map is not square. It is also 0 where more cells are wished for than
    the map is high: the original falls back to the mean there.
    """
    if channels >= target_size:
        return 0
    return height // int(math.sqrt(target_size // channels))


def sequence_window(channels: int, length: int, target_size: int) -> int:
    """Return the number of tokens in a window, 0 for the mean over all of them."""
    if channels >= target_size:
        return 0
    return int(length / (target_size / channels))


def map_side(channels: int, height: int, width: int, target_size: int) -> tuple[int, int]:
    """Return the height and width of a map's windows: the whole map for the global mean, never more than it has."""
    side = map_window(channels, height, target_size)
    return (side, min(side, width)) if side else (height, width)


def column_blocks(
    shape: Sequence[int],
    target_size: int,
    layout: Layout,
    tokens: Tokens = "paper",
    prefix: int = 1,
    statistics: Statistics = MEAN,
) -> list[tuple[str, int]]:
    """Return what the columns are that pooling leaves, block by block in their order.

    Parameters
    ----------
    shape : sequence of int
        Shape of one example's activation, without the batch axis.
    target_size, layout, tokens, prefix, statistics
        As for `head2toe.extract.backbone.pooling.pool`.

    Returns
    -------
    list of (str, int)
        A statistic, or "value" for what has no window (a vector, a token by itself, windows of one position), and how
        many columns there are of it, one block after the other.
    """
    if layout == "NC":
        return [("value", shape[0])]
    if layout == "NLC":
        return _blocks_of_tokens(shape[0], shape[1], target_size, tokens, prefix, statistics)
    channels, height, width = shape if layout == "NCHW" else (shape[2], *shape[:2])
    rows, columns = map_side(channels, height, width, target_size)
    return _blocks(channels * (height // rows) * (width // columns), rows * columns, statistics)


def _blocks_of_tokens(
    length: int, channels: int, target_size: int, tokens: Tokens, prefix: int, statistics: Statistics
) -> list[tuple[str, int]]:
    if tokens == "cls" and prefix:
        return [("value", channels)]
    alone = tokens != "paper" and length <= prefix  # no patches: what there is makes one window
    patches = length if alone or tokens == "paper" else length - prefix
    windowed = tokens == "paper" or (tokens == "cls+paper" and not alone)
    window = (sequence_window(channels, patches, target_size) if windowed else 0) or patches
    first = [("value", channels)] if prefix and not alone and tokens in ("cls+paper", "cls+mean") else []
    return [*first, *_blocks(channels * (patches // window), window, statistics)]


def _blocks(width: int, elements: int, statistics: Statistics) -> list[tuple[str, int]]:
    return [("value", width)] if elements == 1 else [(statistic, width) for statistic in statistics]


def height_matters(shape: Sequence[int], target_size: int, layout: Layout) -> bool:
    """Return whether a map's window is another than its width would give.

    Windows once came from the width. What was pooled then has other numbers where this is true, and the same ones
    everywhere else: it is what keys of stores and the format of models are told apart by.

    Parameters
    ----------
    shape : sequence of int
        Shape of one example's activation, without the batch axis.
    target_size : int
        What it is pooled to.
    layout : {"NCHW", "NHWC", "NLC", "NC"}
        Which axis is what.
    """
    if layout not in ("NCHW", "NHWC"):
        return False
    channels, height, width = shape if layout == "NCHW" else (shape[2], *shape[:2])
    return map_window(channels, height, target_size) != map_window(channels, width, target_size)
