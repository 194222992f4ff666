"""Pooling an activation to about `target_size` numbers, window for window as the original code does.

Source: google-research/head2toe, models/finetune.py, `flatten_and_concat`; Evci et al. 2022, section 3.
"""

import torch
import torch.nn.functional as F
from head2toe.extract.backbone.windows import Layout, Tokens, map_window, sequence_window


def pool(
    activation: torch.Tensor, target_size: int, *, layout: Layout, tokens: Tokens = "paper", prefix: int = 1
) -> torch.Tensor:
    """Pool each example's activation to one vector of about `target_size` entries.

    Maps (`NCHW`, `NHWC`) are averaged over square windows that do not overlap, whose side the height gives; what does
    not fill a window at the right and bottom edge is dropped; the result is flattened in (height, width, channel)
    order. Vectors (`NC`) pass unchanged. Sequences (`NLC`) are averaged over windows of tokens, as `tokens` says.

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
        `cls+paper` keeps it apart and pools the rest (`nopool_cls`), `mean` is the mean of the patches alone,
        `cls+mean` both. Without a class token, `cls` is the mean. A sequence that holds nothing but such tokens (in
        class attention) has no patches: the mean of what it holds is all there is beside its first token.
    prefix : int
        How many tokens stand before the patches: the class token first, then distillation and register tokens.

    Returns
    -------
    torch.Tensor
        (n, width) float32 in memory of its own, so that a layer working in place later can't change it.
    """
    pooled = pool_view(activation, target_size, layout=layout, tokens=tokens, prefix=prefix)
    return pooled.clone() if _shares_memory(pooled, activation) else pooled


def pool_view(
    activation: torch.Tensor, target_size: int, *, layout: Layout, tokens: Tokens = "paper", prefix: int = 1
) -> torch.Tensor:
    """Pool as `pool` does; the result may lie in the activation's own memory."""
    x = activation.float()
    if layout == "NCHW":
        return _pool_map(x, target_size)
    if layout == "NHWC":
        return _pool_map(x.permute(0, 3, 1, 2), target_size)
    return _pool_tokens(x, target_size, tokens, prefix) if layout == "NLC" else x


def pooled_width(
    shape: tuple[int, ...], target_size: int, layout: Layout, tokens: Tokens = "paper", prefix: int = 1
) -> int:
    """Return how many features `pool` makes of an activation with this `shape` (without the batch axis)."""
    nothing = torch.empty((1, *shape), device="meta")
    return pool(nothing, target_size, layout=layout, tokens=tokens, prefix=prefix).shape[1]


def _pool_map(x: torch.Tensor, target_size: int) -> torch.Tensor:
    _, channels, height, width = x.shape
    window = map_window(channels, height, target_size)
    if window == 0:
        return x.mean((2, 3))
    if window > 1:
        # The window's side comes from the height alone; on a narrow map it must not outgrow the width.
        x = F.avg_pool2d(x, (window, min(window, width)))
    return x.permute(0, 2, 3, 1).flatten(1)


def _pool_tokens(x: torch.Tensor, target_size: int, tokens: Tokens, prefix: int) -> torch.Tensor:
    if tokens == "paper":
        return _pool_sequence(x, target_size)
    if x.shape[1] <= prefix:
        return x[:, 0] if tokens == "cls" else x.mean(1)
    first, patches = x[:, 0], x[:, prefix:]
    rest = _pool_sequence(patches, target_size) if tokens == "cls+paper" else patches.mean(1)
    if prefix == 0 or tokens == "mean":
        return rest
    return first if tokens == "cls" else torch.cat((first, rest), dim=1)


def _pool_sequence(x: torch.Tensor, target_size: int) -> torch.Tensor:
    _, length, channels = x.shape
    window = sequence_window(channels, length, target_size)
    if window == 0:
        return x.mean(1)
    if window > 1:
        x = F.avg_pool1d(x.transpose(1, 2), window).transpose(1, 2)
    return x.flatten(1)


def _shares_memory(a: torch.Tensor, b: torch.Tensor) -> bool:
    if torch.compiler.is_compiling():
        return True  # a graph has no addresses to compare; the copy that follows is fused with the pooling
    return not a.is_meta and a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()
