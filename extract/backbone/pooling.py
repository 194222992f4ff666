"""Pooling an activation to about `target_size` numbers, window for window as the original code does.

Source: google-research/head2toe, models/finetune.py, `flatten_and_concat`; Evci et al. 2022, section 3. The original
takes the mean of every window; other statistics can stand beside it.
"""

import torch
import torch.nn.functional as F
from head2toe.extract.backbone.windows import (
    MEAN,
    Layout,
    Statistic,
    Statistics,
    Tokens,
    map_side,
    map_window,
    sequence_window,
)


def pool(
    activation: torch.Tensor,
    target_size: int,
    *,
    layout: Layout,
    tokens: Tokens = "paper",
    prefix: int = 1,
    statistics: Statistics = MEAN,
) -> torch.Tensor:
    """Pool each example's activation to one vector of about `target_size` entries for every statistic.

    Maps (`NCHW`, `NHWC`) are divided into square windows that do not overlap, whose side the height gives; what does
    not fill a window at the right and bottom edge is dropped; a statistic is flattened in (height, width, channel)
    order. Vectors (`NC`) pass unchanged. Sequences (`NLC`) are divided into windows of tokens, as `tokens` says.

    Parameters
    ----------
    activation : torch.Tensor
        (n, c, h, w), (n, h, w, c), (n, l, c) or (n, c), any floating dtype.
    target_size : int
        Wished number of features; with c channels the windows are chosen so that about this many remain.
    layout : {"NCHW", "NHWC", "NLC", "NC"}
        Which axis is what; never guessed from the shape.
    tokens : {"paper", "cls", "cls+paper", "mean", "cls+mean"}
        `paper` pools the class token with the rest (the original's `normal`), `cls` keeps it alone (`only_cls`),
        `cls+paper` keeps it apart and pools the rest (`nopool_cls`), `mean` pools the patches alone to one window,
        `cls+mean` both. Without a class token, `cls` is `mean`. A sequence that holds nothing but such tokens (in
        class attention) has no patches: the window of what it holds is all there is beside its first token.
    prefix : int
        How many tokens stand before the patches: the class token first, then distillation and register tokens.
    statistics : tuple of {"mean", "std", "max"}
        What is kept of every window: the mean, the standard deviation (of the window itself, not an estimate of a
        population's: the mean square about the mean) and the maximum, one block of columns after the other. What has
        no window (a vector, a class token, a window of one position) is kept once, as it is.

    Returns
    -------
    torch.Tensor
        (n, width) float32 in memory of its own, so that a layer working in place later can't change it.
    """
    pooled = pool_view(activation, target_size, layout=layout, tokens=tokens, prefix=prefix, statistics=statistics)
    return pooled.clone() if _shares_memory(pooled, activation) else pooled


def pool_view(
    activation: torch.Tensor,
    target_size: int,
    *,
    layout: Layout,
    tokens: Tokens = "paper",
    prefix: int = 1,
    statistics: Statistics = MEAN,
) -> torch.Tensor:
    """Pool as `pool` does; the result may lie in the activation's own memory."""
    x = activation.float()
    if layout == "NCHW":
        return _pool_map(x, target_size, statistics)
    if layout == "NHWC":
        return _pool_map(x.permute(0, 3, 1, 2), target_size, statistics)
    return _pool_tokens(x, target_size, tokens, prefix, statistics) if layout == "NLC" else x


def pooled_width(
    shape: tuple[int, ...],
    target_size: int,
    layout: Layout,
    tokens: Tokens = "paper",
    prefix: int = 1,
    statistics: Statistics = MEAN,
) -> int:
    """Return how many features `pool` makes of an activation with this `shape` (without the batch axis)."""
    nothing = torch.empty((1, *shape), device="meta")
    return pool(nothing, target_size, layout=layout, tokens=tokens, prefix=prefix, statistics=statistics).shape[1]


def _pool_map(x: torch.Tensor, target_size: int, statistics: Statistics) -> torch.Tensor:
    _, channels, height, width = x.shape
    whole = map_window(channels, height, target_size) == 0
    side = map_side(channels, height, width, target_size)
    kept = MEAN if side == (1, 1) else statistics
    cells = [_of_map(x, side, statistic, whole=whole) for statistic in kept]
    return _side_by_side([cell.permute(0, 2, 3, 1).flatten(1) for cell in cells])


def _of_map(x: torch.Tensor, side: tuple[int, int], statistic: Statistic, *, whole: bool) -> torch.Tensor:
    """Return a statistic (n, c, rows, columns) of the windows of a map."""
    if statistic == "mean":
        if whole:
            return x.mean((2, 3), keepdim=True)
        return F.avg_pool2d(x, side) if side != (1, 1) else x
    if statistic == "max":
        return x.amax((2, 3), keepdim=True) if whole else F.max_pool2d(x, side)
    return _deviation_of_map(x, side)


def _deviation_of_map(x: torch.Tensor, side: tuple[int, int]) -> torch.Tensor:
    """Return the standard deviations (n, c, rows, columns) of the windows of a map.

    They are centred first, which loses no digits beside a large mean. One copy of the map is all the memory it takes.
    """
    (high, wide), (rows, columns) = side, (x.shape[2] // side[0], x.shape[3] // side[1])
    windows = x[:, :, : rows * high, : columns * wide].reshape(-1, x.shape[1], rows, high, columns, wide)
    squares = (windows - F.avg_pool2d(x, side)[:, :, :, None, :, None]).square_()
    return F.avg_pool2d(squares.reshape(-1, x.shape[1], rows * high, columns * wide), side).sqrt()


def _pool_tokens(
    x: torch.Tensor, target_size: int, tokens: Tokens, prefix: int, statistics: Statistics
) -> torch.Tensor:
    if tokens == "paper":
        return _pool_sequence(x, sequence_window(x.shape[2], x.shape[1], target_size), statistics)
    if x.shape[1] <= prefix:
        return x[:, 0] if tokens == "cls" else _pool_sequence(x, 0, statistics)
    first, patches = x[:, 0], x[:, prefix:]
    if tokens == "cls" and prefix:
        return first
    window = sequence_window(patches.shape[2], patches.shape[1], target_size) if tokens == "cls+paper" else 0
    rest = _pool_sequence(patches, window, statistics)
    return rest if prefix == 0 or tokens == "mean" else torch.cat((first, rest), dim=1)


def _pool_sequence(x: torch.Tensor, window: int, statistics: Statistics) -> torch.Tensor:
    """Pool windows of so many tokens, 0 for one of all tokens."""
    kept = MEAN if (window or x.shape[1]) == 1 else statistics
    return _side_by_side([_of_sequence(x, window, statistic).flatten(1) for statistic in kept])


def _of_sequence(x: torch.Tensor, window: int, statistic: Statistic) -> torch.Tensor:
    """Return a statistic (n, windows, c) of the windows of a sequence, or (n, c) of all of it."""
    if statistic == "mean":
        if window == 0:
            return x.mean(1)
        return F.avg_pool1d(x.transpose(1, 2), window).transpose(1, 2) if window > 1 else x
    window = window or x.shape[1]
    count = x.shape[1] // window
    windows = x[:, : count * window].reshape(-1, count, window, x.shape[2])
    if statistic == "max":
        return windows.amax(2)
    return (windows - windows.mean(2, keepdim=True)).square_().mean(2).sqrt()


def _side_by_side(blocks: list[torch.Tensor]) -> torch.Tensor:
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=1)


def _shares_memory(a: torch.Tensor, b: torch.Tensor) -> bool:
    if torch.compiler.is_compiling():
        return True  # a graph has no addresses to compare; the copy that follows is fused with the pooling
    return not a.is_meta and a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()
