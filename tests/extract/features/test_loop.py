"""The loop: several target sizes in one pass, blocks that survive an interruption, faults that are named."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from head2toe.extract.backbone.backbone import Backbone, load_backbone
from head2toe.extract.backbone.taps import Tap, discover
from head2toe.extract.features import loop
from head2toe.extract.features.reader import FeatureReader, layer_index
from head2toe.extract.images.batches import unreadable
from head2toe.extract.images.sources import ImageArray, ImageFile, ImageSource
from head2toe.extract.stage import store_identity
from head2toe.store.common.errors import DataError, StoreError
from head2toe.store.management.catalogue import Catalogue
from head2toe.store.reading.design_matrix import DesignMatrix
from head2toe.store.reading.feature_store import FeatureStore
from head2toe.store.writing.writer import StoreWriter


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("resnet18", weights="random", input_size=32, device="cpu")


@pytest.fixture(scope="module")
def taps(backbone: Backbone) -> tuple[Tap, ...]:
    return discover(backbone, "blocks").taps


def pictures(n: int) -> list[ImageSource]:
    rng = np.random.default_rng(0)
    return [ImageArray(f"picture {i}", rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)) for i in range(n)]


def writers(
    backbone: Backbone, taps: Sequence[Tap], images: Sequence[ImageSource], sizes: Sequence[int], rows: int = 4
) -> dict[int, StoreWriter]:
    digests = [image.digest() for image in images]
    return {
        size: Catalogue().writer(
            store_identity(backbone, taps, size, "paper", "float32"),
            digests,
            layer_index(taps, size),
            rows_per_block=rows,
        )
        for size in sizes
    }


def run(backbone: Backbone, taps: Sequence[Tap], images: Sequence[ImageSource], to: dict[int, StoreWriter]) -> int:
    return loop.run(images, [image.digest() for image in images], backbone, taps, to, batch_size=3)


def test_every_target_size_is_written_in_one_pass(backbone: Backbone, taps: tuple[Tap, ...]) -> None:
    images = pictures(10)
    to = writers(backbone, taps, images, (64, 256))
    assert run(backbone, taps, images, to) == 10
    resize = backbone.preprocessing.resizer()
    direct = FeatureReader(backbone, taps, (64, 256))(torch.stack([resize(i.load()) for i in images]))
    for size, writer in to.items():
        store = writer.seal()
        assert store.layers == layer_index(taps, size)
        values = DesignMatrix.of([store], [i.digest() for i in images]).columns(np.arange(store.layers.n_features))
        expected = np.concatenate([direct[size][name] for name in store.layers.names], axis=1).T
        np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-4)


def test_images_with_one_content_go_through_once(backbone: Backbone, taps: tuple[Tap, ...]) -> None:
    images = pictures(4) + pictures(4)
    to = writers(backbone, taps, images, (64,))
    assert run(backbone, taps, images, to) == 4
    assert to[64].seal().n_rows == 4


def test_a_target_size_with_rows_of_an_older_store_leaves_them_out(backbone: Backbone, taps: tuple[Tap, ...]) -> None:
    """The store of one size takes rows over that the other still misses: some batches hold nothing for it."""
    images = pictures(10)
    first = writers(backbone, taps, images[:7], (64,), rows=10)
    assert run(backbone, taps, images[:7], first) == 7
    first[64].seal()
    to = writers(backbone, taps, images, (64, 256), rows=10)
    assert to[64].reused == 7
    assert run(backbone, taps, images, to) == 10
    resize = backbone.preprocessing.resizer()
    direct = FeatureReader(backbone, taps, (64, 256))(torch.stack([resize(i.load()) for i in images]))
    for size, writer in to.items():
        store, digests = writer.seal(), [image.digest() for image in images]
        values = DesignMatrix.of([store], digests).columns(np.arange(store.layers.n_features))
        expected = np.concatenate([direct[size][name] for name in store.layers.names], axis=1).T
        np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-4)


class Interrupting:
    """An image whose decoding is interrupted, as by Ctrl-C."""

    name = "interrupting"

    def digest(self) -> str:
        return "f" * 64

    def load(self) -> None:
        raise KeyboardInterrupt


def test_an_interrupted_run_is_not_complete_and_goes_on_where_it_stopped(
    backbone: Backbone, taps: tuple[Tap, ...]
) -> None:
    images = pictures(9)
    digests = [image.digest() for image in images]
    to = writers(backbone, taps, images, (64,))
    broken = [*images[:6], Interrupting(), *images[7:]]  # in the second block of four
    with pytest.raises(KeyboardInterrupt):
        loop.run(broken, digests, backbone, taps, to, batch_size=3)  # type: ignore[arg-type]
    assert to[64].pending() == [1, 2]
    with pytest.raises(StoreError):
        to[64].seal()
    with pytest.raises(StoreError):
        FeatureStore.open(to[64].path)
    again = writers(backbone, taps, images, (64,))
    steps: list[tuple[int, ...]] = []
    extracted = loop.run(
        images, digests, backbone, taps, again, batch_size=3, progress=lambda *step: steps.append(step)
    )
    assert extracted == 5, "the first block is not extracted again"
    assert steps[-1] == (5, 5), "nor is it waited for"
    assert again[64].seal().n_rows == 9


def test_a_corrupt_image_stops_the_run_by_name(backbone: Backbone, taps: tuple[Tap, ...], tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    images = [*pictures(3), ImageFile(bad)]
    assert set(unreadable(images)) == {3}
    with pytest.raises(DataError, match=r"bad\.png"):
        run(backbone, taps, images, writers(backbone, taps, images, (64,)))


def test_nan_from_the_backbone_is_refused_naming_the_layer(taps: tuple[Tap, ...]) -> None:
    broken = load_backbone("resnet18", weights="random", input_size=32, device="cpu")
    broken.model.layer3[0].conv1.weight.data.fill_(float("nan"))
    images = pictures(3)
    with pytest.raises(DataError, match=r"layer 'layer3\.0'"):
        run(broken, taps, images, writers(broken, taps, images, (64,)))
