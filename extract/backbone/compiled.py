"""A backbone and its taps as one graph for torch.compile: hooks that stay, pooled tensors that are returned."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from head2toe.extract.backbone.pooling import Tokens, pool_view
from head2toe.extract.backbone.taps import Tap, first_tensor
from head2toe.store.common.errors import BadRequest, MissingExtra
from torch import nn
from torch._dynamo.exc import TorchDynamoException

Pooled = dict[int, dict[str, torch.Tensor]]
"""Target size to layer to (n, width) float32."""

BACKEND = "inductor"
NO_COMPILER = ("InvalidCxxCompiler", "TritonMissing")
"""Of torch's errors, those that say that there is none."""


class Graph:
    """Runs a compiled backbone on batches of one size, and returns the pooled features of every tap.

    Compiling takes minutes, once for each shape, so a smaller batch is filled up with zeros and they are cut off again:
    in eval mode no image sees the others. All of the network has to become one graph; what torch can't trace is
    refused, for a hook behind a break in the graph would cost more than compiling gains.

    Parameters
    ----------
    model : torch.nn.Module
        In eval mode. Hooks are on it until `close`.
    taps : sequence of Tap
    target_sizes : sequence of int
    tokens : Tokens
    batch_size : int
    """

    def __init__(
        self, model: nn.Module, taps: Sequence[Tap], target_sizes: Sequence[int], tokens: Tokens, batch_size: int
    ) -> None:
        self._tapped = _Tapped(model, taps, target_sizes, tokens)
        self._forward = torch.compile(self._tapped, fullgraph=True, dynamic=False, backend=BACKEND)
        self._batch_size = batch_size
        self._name = type(model).__name__

    def __call__(self, images: torch.Tensor) -> Pooled:
        """(n, 3, s, s) normalised, n at most the batch size.

        Raises
        ------
        MissingExtra
            There is no compiler (C++ on a CPU, Triton on CUDA).
        BadRequest
            torch can't make one graph of this network.
        """
        n = len(images)
        if n < self._batch_size:
            filling = images.new_zeros((self._batch_size - n, *images.shape[1:]))
            images = torch.cat((images, filling)).contiguous(memory_format=torch.channels_last)
        try:
            pooled = self._forward(images)
        except TorchDynamoException as error:
            raise _refusal(self._name, error) from error
        return {size: {name: values[:n] for name, values in layers.items()} for size, layers in pooled.items()}

    def close(self) -> None:
        """Take the hooks off the network."""
        self._tapped.close()


class _Tapped(nn.Module):
    """The network with hooks on it for good; a forward pass returns what they have pooled."""

    def __init__(self, model: nn.Module, taps: Sequence[Tap], target_sizes: Sequence[int], tokens: Tokens) -> None:
        super().__init__()
        self.model = model
        self._taps: Mapping[tuple[str, str, int], Tap] = {(tap.side, tap.module, tap.call): tap for tap in taps}
        self._target_sizes = tuple(target_sizes)
        self._tokens: Tokens = tokens
        self._calls: dict[tuple[str, str], int] = {}
        self._pooled: Pooled = {}
        self._handles = [self._hook(side, path) for side, path in dict.fromkeys((t.side, t.module) for t in taps)]

    def forward(self, images: torch.Tensor) -> Pooled:
        self._calls = {}
        self._pooled = {size: {} for size in self._target_sizes}
        self.model(images)
        pooled, self._pooled = self._pooled, {}
        return pooled

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _hook(self, side: str, path: str) -> Any:
        module = self.model.get_submodule(path)
        if side == "in":
            return module.register_forward_pre_hook(lambda _, args: self._read(side, path, args))
        return module.register_forward_hook(lambda _, __, output: self._read(side, path, output))

    def _read(self, side: str, path: str, value: Any) -> None:
        call = self._calls[side, path] = self._calls.get((side, path), -1) + 1
        tap, tensor = self._taps.get((side, path, call)), first_tensor(value)
        if tap is None or tensor is None:
            return
        for size, layers in self._pooled.items():
            pooled = pool_view(tensor, size, layout=tap.layout, tokens=self._tokens, prefix=tap.prefix)
            # Cloned in any case (`pool` asks for addresses, which a graph has none of): it fuses with the pooling.
            layers[tap.name] = pooled.clone()


def _refusal(name: str, error: Exception) -> Exception:
    """One line about why torch did not compile."""
    cause = getattr(error, "inner_exception", error)
    if type(cause).__name__ in NO_COMPILER:
        return MissingExtra("--compile needs g++ or clang on a CPU and Triton on CUDA: install it, or go without")
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return BadRequest(f"torch.compile can't make one graph of {name} ({reason[:200]}): run it without --compile")
