"""Batches to the device and features back: on a GPU beside its computing, by pinned memory and a stream of its own."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch


class Transfers(Protocol):
    """How a batch gets to the device, and features to the host."""

    def upload(self, batch: torch.Tensor) -> torch.Tensor:
        """Return a batch (n, 3, s, s) uint8 on the device, in channels-last memory format."""

    def download(self, layers: Sequence[torch.Tensor]) -> Callable[[], np.ndarray]:
        """Begin to bring layers (n, width) to the host; what is returned waits and gives them side by side."""


def transfers_of(device: torch.device) -> Transfers:
    """Return what fits the type of a device."""
    return OfCuda(device) if device.type == "cuda" else OfHost()


class OfHost:
    """On a CPU: everything is there already, and is only put side by side, by whichever thread asks for it."""

    def upload(self, batch: torch.Tensor) -> torch.Tensor:
        """Change the memory format."""
        return batch.contiguous(memory_format=torch.channels_last)

    def download(self, layers: Sequence[torch.Tensor]) -> Callable[[], np.ndarray]:
        """Put the layers side by side when that is asked for."""
        return lambda: torch.cat(list(layers), dim=1).numpy()


class OfCuda:
    """On a GPU: nothing here waits for the device, but for what `download` returns.

    A batch goes up on a stream of its own, while the device still computes the one before; that works only from pinned
    memory. Features come down on the stream that computed them, into pinned memory that torch's allocator hands out
    again later.

    Parameters
    ----------
    device : torch.device
        The GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def upload(self, batch: torch.Tensor) -> torch.Tensor:
        """Copy a batch on the stream for copies, and have the computing stream wait for it."""
        computing = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._copies):
            images = batch.to(self._device, non_blocking=True)
        computing.wait_stream(self._copies)
        images.record_stream(computing)  # torch must not hand its memory to the next copy before it was computed with
        return images.contiguous(memory_format=torch.channels_last)

    def download(self, layers: Sequence[torch.Tensor]) -> Callable[[], np.ndarray]:
        """Copy the layers, all at once, after what computes them; what is returned waits for that alone."""
        together = torch.cat(list(layers), dim=1)  # a copy: the buffers of CUDA graphs are written to by the next batch
        host = torch.empty(together.shape, dtype=together.dtype, pin_memory=True)
        host.copy_(together, non_blocking=True)
        arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
        arrived.record(torch.cuda.current_stream(self._device))

        def wait() -> np.ndarray:
            arrived.synchronize()
            return host.numpy()

        return wait
