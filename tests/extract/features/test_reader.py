"""On a GPU features are those of a CPU: full float32, batches ahead of one another."""

import numpy as np
import pytest
import torch
from head2toe.extract.backbone.backbone import load_backbone
from head2toe.extract.backbone.taps import discover
from head2toe.extract.features.precision import Precision
from head2toe.extract.features.reader import FeatureReader

SIZES = (16, 64)


def pixels(n: int, seed: int) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def reader(device: str, precision: Precision) -> FeatureReader:
    backbone = load_backbone("resnet18", weights="random", input_size=64, device=device)
    return FeatureReader(backbone, discover(backbone).taps, SIZES, precision=precision)


def apart(device: str, precision: Precision) -> float:
    """The largest difference from the CPU's features, of each layer's largest value."""
    ours, reference = (reader(*of) for of in ((device, precision), ("cpu", Precision("cpu"))))
    batches = [pixels(n, n) for n in (6, 5, 3)]
    begun = [ours.begin(batch.pin_memory() if device == "cuda" else batch) for batch in batches]
    worst = 0.0
    for batch, finish in zip(batches, begun, strict=True):
        features = finish()
        for size, of_size in reference(batch).items():
            for name, values in of_size.items():
                difference = np.abs(features[size][name] - values).max()
                worst = max(worst, float(difference / (np.abs(values).max() + 1e-6)))
    return worst


@pytest.mark.gpu
def test_features_of_a_gpu_are_those_of_the_cpu() -> None:
    assert apart("cuda", Precision("cuda")) <= 1e-4


@pytest.mark.gpu
def test_tf32_is_what_would_be_apart() -> None:
    assert apart("cuda", Precision("cuda", tf32=True)) > 2e-4
