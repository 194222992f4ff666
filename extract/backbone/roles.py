"""Which modules of a network are worth tapping, and in which role; read from the module tree, no run needed."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
NOT_ACTIVATIONS = {"Softmax", "LogSoftmax", "Sigmoid", "Hardsigmoid", "HardSigmoid", "MultiheadAttention"}
GATES = re.compile(r"Squeeze|^SE|^Se[A-Z]|Eca|Cbam|^GatherExcite|^GlobalContext$")
"""Class names of modules that only weigh channels (squeeze-and-excite): what flows inside is no feature map."""


def candidates(model: nn.Module) -> Iterator[tuple[str, str, str]]:
    """Yield (role, side, path) of every point that a preset may read.

    Roles: `conv` (input of a convolution), `act` (output of an activation function), `attention` (what enters and
    leaves attention and MLP in a transformer), `stem`, `block` (the residual stream), `final` (the last norm).
    """
    modules = dict(model.named_modules())
    gates = tuple(f"{path}." for path, module in modules.items() if GATES.search(type(module).__name__))
    blocks = innermost_blocks(modules) or stages(model, modules)
    for path, module in modules.items():
        if not path or f"{path}.".startswith(gates):
            continue
        parent, _, name = path.rpartition(".")
        if blocks and path == blocks[0]:
            yield "stem", "in", path
        if isinstance(module, nn.Conv2d):
            yield "conv", "in", path
        elif is_activation(module):
            yield "act", "out", path
        elif name in ("attn", "mlp") or (name == "norm1" and f"{parent}.attn" in modules):
            yield "attention", "out", path
        elif path == "patch_embed":
            yield "stem", "out", path
        elif path == "norm":
            yield "final", "out", path
        if path in blocks:
            yield "block", "out", path


def is_activation(module: nn.Module) -> bool:
    """Tell whether a module is an activation function of torch or timm (not a gate or a softmax)."""
    kind = type(module)
    at_home = kind.__module__.startswith(("torch.nn.modules.activation", "timm.layers.activations"))
    return at_home and kind.__name__ not in NOT_ACTIVATIONS


def innermost_blocks(modules: dict[str, nn.Module]) -> list[str]:
    """Return the paths of the blocks.

    A block is a member of a container that has two or more layers of its own, and no such member inside.
    """
    members = [
        path
        for path, module in modules.items()
        if isinstance(modules.get(path.rpartition(".")[0]), CONTAINERS)
        and not isinstance(module, CONTAINERS)
        and sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in module.modules()) >= 2
    ]
    return [path for path in members if not any(other.startswith(f"{path}.") for other in members)]


def stages(model: nn.Module, modules: dict[str, nn.Module]) -> list[str]:
    """Return where timm itself reads features, for networks that are no stack of blocks (VGG, Inception)."""
    return [info["module"] for info in getattr(model, "feature_info", []) if info.get("module") in modules]


def classifier_path(model: nn.Module) -> str | None:
    """Return the path of the layer that makes the logits (the first where a model has several), None without one."""
    get_classifier: Callable[[], Any] | None = getattr(model, "get_classifier", None)
    head = get_classifier() if get_classifier else None
    while isinstance(head, (tuple, list, nn.ModuleList)):
        head = head[0]
    if not isinstance(head, nn.Module) or isinstance(head, nn.Identity):
        return None
    paths: Iterator[str] = (path for path, module in model.named_modules() if module is head)
    return next(paths)
