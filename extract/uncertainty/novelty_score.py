"""The novelty of images as a part of the network: from kept features to a share of the training images."""

import torch
from head2toe.extract.uncertainty.novelty import Novelty
from torch import nn


class NoveltyScore(nn.Module):
    """Compares images with the training images that a `Novelty` keeps.

    Parameters
    ----------
    novelty : Novelty
        What to compare with.
    """

    positions: torch.Tensor
    centre: torch.Tensor
    axes: torch.Tensor
    rows: torch.Tensor
    distances: torch.Tensor

    def __init__(self, novelty: Novelty) -> None:
        super().__init__()
        self.neighbours = novelty.neighbours
        arrays = novelty.arrays
        self.register_buffer("positions", torch.from_numpy(arrays["positions"].astype("int64")))
        self.register_buffer("centre", torch.from_numpy(arrays["mean"]))
        self.register_buffer("axes", torch.from_numpy(arrays["scale"][:, None] * arrays["axes"].astype("float32")))
        self.register_buffer("rows", torch.from_numpy(arrays["rows"].astype("float32")))
        self.register_buffer("distances", torch.from_numpy(arrays["distances"]))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the novelty of images.

        Parameters
        ----------
        features : torch.Tensor
            The head's kept features (n, k) float32.

        Returns
        -------
        torch.Tensor
            (n,) float32: how many of the m held-out training images were nearer, divided by m + 1. So 1 minus it is a
            conformal p-value of the image's being like them (Bates, Candès, Lei, Romano & Sesia 2023).
        """
        nearer = self.distance(features)[:, None] > self.distances
        return nearer.float().sum(1) / (len(self.distances) + 1)

    def coordinates(self, features: torch.Tensor) -> torch.Tensor:
        """Return images (n, r) in the principal directions; the parameter is that of `forward`."""
        return (features.index_select(1, self.positions) - self.centre) @ self.axes

    def distance(self, features: torch.Tensor) -> torch.Tensor:
        """Return the mean distance (n,) to the nearest training images; the parameter is that of `forward`."""
        x = self.coordinates(features)
        squares = x.square().sum(1, keepdim=True) + self.rows.square().sum(1) - 2 * (x @ self.rows.T)
        nearest = torch.topk(squares, self.neighbours, dim=1, largest=False).values
        return nearest.clamp(min=0).sqrt().mean(1)
