"""Small stores of known content, in both formats."""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.management.catalogue import Catalogue
from head2toe.store.reading.feature_store import FeatureStore

LAYERS = LayerIndex(("stem", "blocks.0/attn", "blocks.0.mlp", "head"), (7, 12, 5, 3))


def image(i: int) -> str:
    """The content hash of an imaginary image."""
    return hashlib.sha256(f"image {i}".encode()).hexdigest()


def features_of(images: Sequence[str], layers: LayerIndex = LAYERS) -> dict[str, np.ndarray]:
    """What the imaginary backbone makes of images: a function of each image alone, exact in float16."""
    out = {}
    for name, width in zip(layers.names, layers.widths, strict=True):
        values = np.empty((len(images), width), np.float32)
        for row, digest in enumerate(images):
            seed = int(hashlib.sha256(f"{name} {digest}".encode()).hexdigest()[:8], 16)
            values[row] = np.random.default_rng(seed).standard_normal(width).astype(np.float16)
        out[name] = values
    return out


def identity_of(**changes: Any) -> dict[str, Any]:
    """An identity as stage one makes it."""
    return {
        "backbone": {"architecture": "toy", "tag": "a", "weights_sha256": "0" * 64},
        "preprocessing": {"mean": [0.5, 0.5, 0.5]},
        "input_size": 96,
        "taps": list(LAYERS.names),
        "target_size": 512,
        "tokens": "paper",
        "dtype": "float32",
    } | changes


def fill(writer: Any, extract: Callable[..., dict[str, np.ndarray]] = features_of, batch: int = 3) -> int:
    """Write every pending block as stage one does; returns how many rows were extracted."""
    extracted = 0
    for block in writer.pending():
        claimed = writer.claim(block)
        if claimed is None:
            continue
        with claimed:
            for start in range(0, len(claimed.missing), batch):
                rows = claimed.missing[start : start + batch]
                claimed.put(rows, extract([writer.images[row] for row in rows]))
                extracted += len(rows)
            claimed.commit()
    return extracted


@pytest.fixture(autouse=True)
def _disk_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test pulls the plug; that `fsync` is called where it must be is a test of its own (test_durability.py)."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(params=["zarr", "hdf5"])
def format(request: pytest.FixtureRequest) -> str:
    """Every test that asks for it runs on both formats."""
    return str(request.param)


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    """An empty root."""
    return Catalogue(tmp_path / "root")


@pytest.fixture
def toy(catalogue: Catalogue, format: str) -> SimpleNamespace:
    """The toys above, and `write(n or images, **options)`, which makes a complete store."""

    def write(
        images: int | Sequence[str], *, rows_per_block: int = 4, layers: LayerIndex = LAYERS, **changes: Any
    ) -> FeatureStore:
        names = [image(i) for i in range(images)] if isinstance(images, int) else images
        identity = identity_of(**changes)
        writer = catalogue.writer(identity, names, layers, format=format, rows_per_block=rows_per_block)
        fill(writer, lambda some: features_of(some, layers))
        return writer.seal()

    return SimpleNamespace(
        catalogue=catalogue, format=format, layers=LAYERS, image=image, features=features_of, identity=identity_of,
        fill=fill, write=write,
    )  # fmt: skip
