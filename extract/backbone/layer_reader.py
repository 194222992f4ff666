"""Layers read out of a running network: each activation is pooled as soon as the network has computed it.

Extraction, the compiled graph and the deployed network all read through `LayerReader`.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from head2toe.extract.backbone.hooks import Point, first_tensor, hooked
from head2toe.extract.backbone.taps import Tap
from head2toe.extract.backbone.windows import MEAN, Statistics, Tokens
from head2toe.store.common.errors import DataError
from torch import nn

Keep = Callable[[int, torch.Tensor], torch.Tensor]
"""Takes the number of a layer and its pooled activation (n, width) float32, which may lie in the activation's memory,
and returns what to keep of it, in memory of its own."""


@dataclass(frozen=True)
class Layer:
    """A tap, and the target size that its activation is pooled to."""

    tap: Tap
    target_size: int


class _AllRead(Exception):
    """No error: the last layer was read, which ends the forward pass."""


class LayerReader:
    """Reads layers of a network while it runs.

    An activation is pooled within its hook: a later module may change it in place, and memory stays bounded by what
    pooling leaves.

    Parameters
    ----------
    network : torch.nn.Module
        The network, in eval mode.
    layers : sequence of Layer
        What to read; one tap may be there at several target sizes.
    tokens : Tokens
        What is kept of sequences.
    statistics : Statistics
        What is kept of every window.
    keep : callable, optional
        What to keep of each layer; by default all of it. See `Keep`.

    Attributes
    ----------
    network : torch.nn.Module
        The network.
    points : tuple of Point
        Where it is to be hooked.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: Sequence[Layer],
        tokens: Tokens = "paper",
        statistics: Statistics = MEAN,
        keep: Keep | None = None,
    ) -> None:
        self.network = network
        self.points = tuple(dict.fromkeys(layer.tap.point for layer in layers))
        self._n_layers = len(layers)
        self._tokens: Tokens = tokens
        self._statistics = statistics
        self._keep = keep
        self._passing: dict[tuple[Point, int], list[tuple[int, Layer]]] = {}
        for number, layer in enumerate(layers):
            self._passing.setdefault((layer.tap.point, layer.tap.call), []).append((number, layer))

    def __call__(self, images: torch.Tensor, *, end_early: bool = False) -> list[torch.Tensor]:
        """Run the network, hooked for the time of one forward pass.

        Parameters
        ----------
        images : torch.Tensor
            (n, 3, s, s) normalised.
        end_early : bool
            Whether the forward pass ends as soon as the last layer was read. A tracer can't follow that.

        Returns
        -------
        list of torch.Tensor
            What is kept of each layer, in the order of the layers.

        Raises
        ------
        DataError
            The network does not pass all taps.
        """
        kept: dict[int, torch.Tensor] = {}

        def read(point: Point, call: int, value: Any) -> None:
            self.read(point, call, value, kept)
            if end_early and len(kept) == self._n_layers:
                raise _AllRead

        with hooked(self.network, self.points, read), suppress(_AllRead):
            self.network(images)
        return self.in_order(kept)

    def read(self, point: Point, call: int, value: Any, kept: dict[int, torch.Tensor]) -> None:
        """Pool what passes a point, and add what is kept of it to `kept`, by the layers' numbers."""
        for number, layer in self._passing.get((point, call), ()):
            tap, activation = layer.tap, first_tensor(value)
            assert activation is not None, f"tap {tap.name} gave a tensor when it was discovered"
            if self._keep is None:
                kept[number] = tap.pool(activation, layer.target_size, self._tokens, self._statistics)
            else:
                pooled = tap.pool_view(activation, layer.target_size, self._tokens, self._statistics)
                kept[number] = self._keep(number, pooled)

    def in_order(self, kept: dict[int, torch.Tensor]) -> list[torch.Tensor]:
        """Return what `read` has gathered in a forward pass, in the order of the layers.

        Raises
        ------
        DataError
            A layer is missing.
        """
        if len(kept) < self._n_layers:
            raise DataError("the backbone does not pass all taps of the model: is timm another version?")
        return [kept[number] for number in range(self._n_layers)]
