"""The windows that activations are pooled over, from shapes alone; read without torch.

Source: google-research/head2toe, models/finetune.py, `flatten_and_concat`.
"""

import math
from collections.abc import Sequence
from typing import Literal

Layout = Literal["NCHW", "NHWC", "NLC", "NC"]
Tokens = Literal["paper", "cls", "cls+paper", "mean", "cls+mean"]


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
