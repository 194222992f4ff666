"""The pooled features of every tap for a batch of images, as NumPy arrays."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from head2toe.extract.backbone.backbone import Backbone
from head2toe.extract.backbone.compiled import Graph
from head2toe.extract.backbone.layer_reader import Layer, LayerReader
from head2toe.extract.backbone.taps import Tap
from head2toe.extract.backbone.windows import MEAN, Statistics, Tokens
from head2toe.extract.features.precision import FLOAT32, Precision
from head2toe.extract.features.transfers import transfers_of
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
    precision : Precision
        What the network computes in; pooling is in float32 all the same.
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
        precision: Precision = FLOAT32,
        compiled_for: int = 0,
    ) -> None:
        self._backbone = backbone
        self._precision = precision
        self._transfers = transfers_of(backbone.device)
        self._indices = {size: layer_index(taps, size, tokens, statistics) for size in target_sizes}
        layers = [Layer(tap, size) for size in self._indices for tap in taps]
        self._reader = LayerReader(backbone.model, layers, tokens, statistics)
        self._graph = Graph(self._reader, compiled_for) if compiled_for else None

    def __call__(self, batch: torch.Tensor) -> dict[int, Features]:
        """Read the features of a batch; parameters and errors are those of `begin`.

        Returns
        -------
        dict
            Target size to layer name to (n, width) float32.
        """
        return self.begin(batch)()

    def begin(self, batch: torch.Tensor) -> Callable[[], dict[int, Features]]:
        """Begin to read the features of a batch: a GPU is given its work, and is not waited for.

        Parameters
        ----------
        batch : torch.Tensor
            (n, 3, s, s) uint8; pinned where the network is on a GPU, or copying is waited for.

        Returns
        -------
        callable
            Waits for the features and returns what `__call__` does; any thread may call it, once.

        Raises
        ------
        MissingExtra, BadRequest
            The network is to be compiled and can't be; see `Graph`.
        """
        with torch.inference_mode(), self._precision.computing(self._backbone.device):
            images = self._backbone.preprocessing.normalize(self._transfers.upload(batch))
            layers = self._graph(images) if self._graph else self._reader(images)
            arrived = self._transfers.download(layers)
        return lambda: self._by_size(arrived())

    def compile_for(self, batch_size: int) -> None:
        """Compile anew for smaller batches, if the network is compiled."""
        if self._graph:
            self._graph.close()
            self._graph = Graph(self._reader, batch_size)

    def close(self) -> None:
        """Leave the backbone as it was."""
        if self._graph:
            self._graph.close()

    def _by_size(self, everything: np.ndarray) -> dict[int, Features]:
        """Tell the layers of all target sizes apart, which stand side by side; they are views."""
        features, start = {}, 0
        for size, index in self._indices.items():
            own = everything[:, start : start + index.n_features]
            features[size] = {name: own[:, index.columns(name)] for name in index.names}
            start += index.n_features
        return features


def layer_index(
    taps: Sequence[Tap], target_size: int, tokens: Tokens = "paper", statistics: Statistics = MEAN
) -> LayerIndex:
    """Return which layer holds which columns after pooling to `target_size`."""
    widths = tuple(tap.width(target_size, tokens, statistics) for tap in taps)
    return LayerIndex(tuple(tap.name for tap in taps), widths)
