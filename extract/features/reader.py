"""The pooled features of every tap for a batch of images, as NumPy arrays."""

from collections.abc import Sequence

import numpy as np
import torch
from head2toe.extract.backbone.backbone import AMP_DTYPES, Backbone
from head2toe.extract.backbone.compiled import Graph
from head2toe.extract.backbone.layer_reader import Layer, LayerReader
from head2toe.extract.backbone.taps import Tap
from head2toe.extract.backbone.windows import MEAN, Statistics, Tokens
from head2toe.store.format.layer_index import LayerIndex

Features = dict[str, np.ndarray]
"""Layer name to (rows, width) float32."""


class FeatureReader:
    """Runs the backbone on a batch and returns the pooled features of every tap, for every target size.

    Parameters
    ----------
    backbone : Backbone
        The network, its preprocessing and its device.
    taps : sequence of Tap
        Where activations are read, in the order of the features.
    target_sizes : sequence of int
        About how many features a layer is pooled to.
    tokens : Tokens
        What is kept of sequences.
    statistics : Statistics
        What is kept of every window.
    amp : bool
        Whether the network computes in half precision; pooling is in float32 all the same.
    compiled_for : int
        The number of images that torch compiles the network for; 0 runs it as it is. See `Graph`.
    """

    def __init__(
        self,
        backbone: Backbone,
        taps: Sequence[Tap],
        target_sizes: Sequence[int],
        tokens: Tokens = "paper",
        *,
        statistics: Statistics = MEAN,
        amp: bool = False,
        compiled_for: int = 0,
    ) -> None:
        self._backbone = backbone
        self._autocast = torch.autocast(backbone.device.type, AMP_DTYPES[backbone.device.type], enabled=amp)
        self._indices = {size: layer_index(taps, size, tokens, statistics) for size in target_sizes}
        layers = [Layer(tap, size) for size in self._indices for tap in taps]
        self._reader = LayerReader(backbone.model, layers, tokens, statistics)
        self._graph = Graph(self._reader, compiled_for) if compiled_for else None

    def __call__(self, batch: torch.Tensor) -> dict[int, Features]:
        """Read the features of a batch.

        Parameters
        ----------
        batch : torch.Tensor
            (n, 3, s, s) uint8.

        Returns
        -------
        dict
            Target size to layer name to (n, width) float32.

        Raises
        ------
        MissingExtra, BadRequest
            The network is to be compiled and can't be; see `Graph`.
        """
        device = self._backbone.device
        with torch.inference_mode(), self._autocast:
            images = batch.to(device, non_blocking=True, memory_format=torch.channels_last)
            images = self._backbone.preprocessing.normalize(images)
            layers = iter(self._graph(images) if self._graph else self._reader(images))
        return {size: _to_host(index, [next(layers) for _ in index.names]) for size, index in self._indices.items()}

    def close(self) -> None:
        """Leave the backbone as it was."""
        if self._graph:
            self._graph.close()


def layer_index(
    taps: Sequence[Tap], target_size: int, tokens: Tokens = "paper", statistics: Statistics = MEAN
) -> LayerIndex:
    """Return which layer holds which columns after pooling to `target_size`."""
    widths = tuple(tap.width(target_size, tokens, statistics) for tap in taps)
    return LayerIndex(tuple(tap.name for tap in taps), widths)


def _to_host(index: LayerIndex, layers: Sequence[torch.Tensor]) -> Features:
    """Transfer all layers at once; the arrays are views of what arrives."""
    everything = torch.cat(list(layers), dim=1).cpu().numpy()
    return {name: everything[:, index.columns(name)] for name in index.names}
