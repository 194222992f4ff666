"""From a batch of images to the pooled features of every tap."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from head2toe.extract.backbone.backbone import AMP_DTYPES, Backbone
from head2toe.extract.backbone.compiled import Graph, Pooled
from head2toe.extract.backbone.pooling import Tokens
from head2toe.extract.backbone.taps import Point, Tap, first_tensor, hooked
from head2toe.store.format.layer_index import LayerIndex

Features = dict[str, np.ndarray]
"""Layer name to (rows, width) float32."""


class FeatureReader:
    """Runs the backbone on a batch and returns the pooled features of every tap, for every target size.

    With `compiled_for`, a number of images, torch compiles it for batches of that size; see `Graph`.
    """

    def __init__(
        self,
        backbone: Backbone,
        taps: Sequence[Tap],
        target_sizes: Sequence[int],
        tokens: Tokens = "paper",
        *,
        amp: bool = False,
        compiled_for: int = 0,
    ) -> None:
        self._backbone = backbone
        self._taps = {(tap.side, tap.module, tap.call): tap for tap in taps}
        self._points: list[Point] = [("", side, path) for side, path in {(t.side, t.module): None for t in taps}]
        self._target_sizes = tuple(target_sizes)
        self._tokens: Tokens = tokens
        self._autocast = torch.autocast(backbone.device.type, AMP_DTYPES[backbone.device.type], enabled=amp)
        self._indices = {size: layer_index(taps, size, tokens) for size in target_sizes}
        self._graph = Graph(backbone.model, taps, target_sizes, tokens, compiled_for) if compiled_for else None

    def __call__(self, batch: torch.Tensor) -> dict[int, Features]:
        """(n, 3, s, s) uint8 to target size -> layer -> (n, width) float32."""
        device = self._backbone.device
        with torch.inference_mode(), self._autocast:
            images = batch.to(device, non_blocking=True, memory_format=torch.channels_last)
            images = self._backbone.preprocessing.normalize(images)
            pooled = self._graph(images) if self._graph else self._pooled(images)
        return {size: _to_host(self._indices[size], layers) for size, layers in pooled.items()}

    def close(self) -> None:
        """Leave the backbone as it was."""
        if self._graph:
            self._graph.close()

    def _pooled(self, images: torch.Tensor) -> Pooled:
        pooled: Pooled = {size: {} for size in self._target_sizes}

        def read(point: Point, call: int, value: Any) -> None:
            tap = self._taps.get((point[1], point[2], call))
            if tap is None:
                return
            tensor = first_tensor(value)
            assert tensor is not None, f"tap {tap.name} gave a tensor when it was discovered"
            for size, layers in pooled.items():
                # Pooled at once: a later layer may work in place, and memory stays bounded by one batch.
                layers[tap.name] = tap.pool(tensor, size, self._tokens)

        with hooked(self._backbone.model, self._points, read):
            self._backbone.model(images)
        return pooled


def layer_index(taps: Sequence[Tap], target_size: int, tokens: Tokens = "paper") -> LayerIndex:
    """Which layer holds which columns after pooling to `target_size`."""
    return LayerIndex(tuple(tap.name for tap in taps), tuple(tap.width(target_size, tokens) for tap in taps))


def _to_host(index: LayerIndex, layers: Mapping[str, torch.Tensor]) -> Features:
    """One transfer for all layers, then views."""
    everything = torch.cat([layers[name] for name in index.names], dim=1).cpu().numpy()
    return {name: everything[:, index.columns(name)] for name in index.names}
