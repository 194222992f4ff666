"""A backbone and its taps as one graph for torch.compile: hooks that stay, and layers that are returned."""

from typing import Any

import torch
from head2toe.extract.backbone.hooks import Hooks, Point
from head2toe.extract.backbone.layer_reader import LayerReader
from head2toe.store.common.errors import BadRequest, MissingExtra
from torch import nn
from torch._dynamo.exc import TorchDynamoException

BACKEND = "inductor"
"""The backend of torch.compile that generates the code."""
GRAPHS = "reduce-overhead"
"""The mode of torch.compile on a GPU: all kernels of a batch are launched as one CUDA graph. Its outputs lie in memory
that the next batch writes to, so that they have to be copied first."""
NO_COMPILER = ("InvalidCxxCompiler", "TritonMissing")
"""The names of torch's errors for a missing compiler."""


class Graph:
    """Runs a compiled backbone on batches of one size, and returns the layers that a reader reads.

    Compiling takes minutes, once for each shape, so a smaller batch is filled up with zeros and they are cut off again:
    in eval mode no image sees the others. All of the network has to become one graph; what torch can't trace is
    refused, for a hook behind a break in the graph would cost more than compiling gains.

    Parameters
    ----------
    reader : LayerReader
        What is read of which network; its hooks are on the network until `close`.
    batch_size : int
        The number of images that the network is compiled for.
    """

    def __init__(self, reader: LayerReader, batch_size: int) -> None:
        self._tapped = _Tapped(reader)
        on_gpu = next(reader.network.parameters()).is_cuda
        mode = GRAPHS if on_gpu else None
        self._forward = torch.compile(self._tapped, fullgraph=True, dynamic=False, backend=BACKEND, mode=mode)
        self._batch_size = batch_size
        self._name = type(reader.network).__name__

    def __call__(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Run the compiled network.

        Parameters
        ----------
        images : torch.Tensor
            (n, 3, s, s) normalised, n at most the batch size.

        Returns
        -------
        list of torch.Tensor
            Each layer of the reader, (n, width) float32.

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
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
            layers = self._forward(images)
        except TorchDynamoException as error:
            raise _refusal(self._name, error) from error
        return [layer[:n] for layer in layers]

    def close(self) -> None:
        """Take the hooks off the network."""
        self._tapped.hooks.remove()


class _Tapped(nn.Module):
    """The network with hooks that stay on it; a forward pass returns what they have read."""

    def __init__(self, reader: LayerReader) -> None:
        super().__init__()
        self.model = reader.network
        self.hooks = Hooks(reader.network, reader.points, self._read)
        self._reader = reader
        self._kept: dict[int, torch.Tensor] = {}

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        self.hooks.restart()
        self._kept = {}
        self.model(images)
        kept, self._kept = self._kept, {}
        return self._reader.in_order(kept)

    def _read(self, point: Point, call: int, value: Any) -> None:
        self._reader.read(point, call, value, self._kept)


def _refusal(name: str, error: Exception) -> Exception:
    """Return the error that says in one line why torch did not compile."""
    cause = getattr(error, "inner_exception", error)
    if type(cause).__name__ in NO_COMPILER:
        return MissingExtra("--compile needs g++ or clang on a CPU and Triton on CUDA: install it, or go without")
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return BadRequest(f"torch.compile can't make one graph of {name} ({reason[:200]}): run it without --compile")
