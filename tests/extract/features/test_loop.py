"""The loop: several target sizes in one pass, blocks that survive an interruption, faults that are named."""

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from head2toe.extract.backbone.backbone import Backbone, load_backbone
from head2toe.extract.backbone.taps import Tap, discover
from head2toe.extract.features import loop
from head2toe.extract.features.loop import Slot
from head2toe.extract.features.reader import FeatureReader, layer_index
from head2toe.extract.features.views import PLAIN, View
from head2toe.extract.images.batches import unreadable
from head2toe.extract.images.sources import ImageArray, ImageFile, ImageSource
from head2toe.extract.stage import store_identity
from head2toe.store.common.errors import DataError, StoreError
from head2toe.store.management.catalogue import Catalogue
from head2toe.store.reading.design_matrix import DesignMatrix
from head2toe.store.reading.feature_store import FeatureStore
from head2toe.store.writing.writer import BlockWriter, StoreWriter
from PIL import Image


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
    backbone: Backbone,
    taps: Sequence[Tap],
    images: Sequence[ImageSource],
    sizes: Sequence[int],
    rows: int = 4,
    views: Sequence[View] = (PLAIN,),
) -> dict[Slot, StoreWriter]:
    digests = [image.digest() for image in images]
    return {
        (view, size): Catalogue().writer(
            store_identity(backbone, taps, size, "paper", "float32", view=view),
            digests,
            layer_index(taps, size),
            rows_per_block=rows,
        )
        for view in views
        for size in sizes
    }


@pytest.fixture(params=[False, True], ids=["at once", "threads"], autouse=True)
def _written(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everything here holds with and without threads that write, and none outlives a run."""
    monkeypatch.setattr(loop, "writes_behind", lambda _: request.param)
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "write-behind"]


def run(backbone: Backbone, taps: Sequence[Tap], images: Sequence[ImageSource], to: dict[Slot, StoreWriter]) -> int:
    return loop.run(images, [image.digest() for image in images], backbone, taps, to, batch_size=3)


def test_every_target_size_is_written_in_one_pass(backbone: Backbone, taps: tuple[Tap, ...]) -> None:
    images = pictures(10)
    to = writers(backbone, taps, images, (64, 256))
    assert run(backbone, taps, images, to) == 10
    resize = backbone.preprocessing.resizer()
    direct = FeatureReader(backbone, taps, (64, 256))(torch.stack([resize(i.load()) for i in images]))
    for (_, size), writer in to.items():
        store = writer.seal()
        assert store.layers == layer_index(taps, size)
        values = DesignMatrix.of([store], [i.digest() for i in images]).columns(np.arange(store.layers.n_features))
        expected = np.concatenate([direct[size][name] for name in store.layers.names], axis=1).T
        np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-4)


def test_images_with_one_content_go_through_once(backbone: Backbone, taps: tuple[Tap, ...]) -> None:
    images = pictures(4) + pictures(4)
    to = writers(backbone, taps, images, (64,))
    assert run(backbone, taps, images, to) == 4
    assert to[PLAIN, 64].seal().n_rows == 4


def test_a_target_size_with_rows_of_an_older_store_leaves_them_out(backbone: Backbone, taps: tuple[Tap, ...]) -> None:
    """The store of one size takes rows over that the other still misses: some batches hold nothing for it."""
    images = pictures(10)
    first = writers(backbone, taps, images[:7], (64,), rows=10)
    assert run(backbone, taps, images[:7], first) == 7
    first[PLAIN, 64].seal()
    to = writers(backbone, taps, images, (64, 256), rows=10)
    assert to[PLAIN, 64].reused == 7
    assert run(backbone, taps, images, to) == 10
    resize = backbone.preprocessing.resizer()
    direct = FeatureReader(backbone, taps, (64, 256))(torch.stack([resize(i.load()) for i in images]))
    for (_, size), writer in to.items():
        store, digests = writer.seal(), [image.digest() for image in images]
        values = DesignMatrix.of([store], digests).columns(np.arange(store.layers.n_features))
        expected = np.concatenate([direct[size][name] for name in store.layers.names], axis=1).T
        np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-4)


class Counting:
    """An image that counts how often it is decoded."""

    def __init__(self, source: ImageSource) -> None:
        self.source, self.name, self.decoded = source, source.name, 0

    def digest(self) -> str:
        return self.source.digest()

    def load(self) -> Image.Image:
        self.decoded += 1
        return self.source.load()


def test_an_image_is_decoded_once_for_all_views_and_each_has_its_features(
    backbone: Backbone, taps: tuple[Tap, ...]
) -> None:
    views = (PLAIN, View("flip"), View("crop#1"), View("scale#1"))
    images = [Counting(picture) for picture in pictures(10)]
    to = writers(backbone, taps, images, (64, 256), rows=16, views=views)  # type: ignore[arg-type]
    assert run(backbone, taps, images, to) == 40  # type: ignore[arg-type]
    assert [image.decoded for image in images] == [1] * 10
    resize, digests = backbone.preprocessing.resizer(), [image.digest() for image in images]
    reader = FeatureReader(backbone, taps, (64, 256))
    for (view, size), writer in to.items():
        store = writer.seal()
        direct = reader(torch.stack([resize(view(i.load(), i)) for i in images]))[size]  # type: ignore[arg-type]
        values = DesignMatrix.of([store], digests).columns(np.arange(store.layers.n_features))
        expected = np.concatenate([direct[name] for name in store.layers.names], axis=1).T
        np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-4)


def test_a_view_with_rows_of_an_older_store_leaves_them_out(backbone: Backbone, taps: tuple[Tap, ...]) -> None:
    images, flip = pictures(10), View("flip")
    first = writers(backbone, taps, images[:7], (64,), rows=16, views=(flip,))
    assert run(backbone, taps, images[:7], first) == 7
    first[flip, 64].seal()
    to = writers(backbone, taps, images, (64,), rows=16, views=(PLAIN, flip))
    assert {view: len(missing) for view, missing in loop.missing_by_view(to).items()} == {PLAIN: 10, flip: 3}
    assert run(backbone, taps, images, to) == 13


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
    assert to[PLAIN, 64].pending() == [1, 2]
    with pytest.raises(StoreError):
        to[PLAIN, 64].seal()
    with pytest.raises(StoreError):
        FeatureStore.open(to[PLAIN, 64].path)
    again = writers(backbone, taps, images, (64,))
    steps: list[tuple[int, ...]] = []
    extracted = loop.run(
        images, digests, backbone, taps, again, batch_size=3, progress=lambda *step: steps.append(step)
    )
    assert extracted == 5, "the first block is not extracted again"
    assert steps[-1] == (5, 5), "nor is it waited for"
    assert again[PLAIN, 64].seal().n_rows == 9


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


def test_a_disk_that_refuses_ends_the_run_and_keeps_what_was_committed(
    backbone: Backbone, taps: tuple[Tap, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = BlockWriter.commit

    def refusing(writer: BlockWriter) -> None:
        if writer.rows.start == 8:
            raise StoreError("the disk is full")
        commit(writer)

    monkeypatch.setattr(BlockWriter, "commit", refusing)
    images = pictures(40)
    to = writers(backbone, taps, images, (64,))
    with pytest.raises(StoreError, match="the disk is full"):
        run(backbone, taps, images, to)
    assert to[PLAIN, 64].pending() == list(range(2, 10))
    monkeypatch.undo()
    for block in (2, 3):
        claim = to[PLAIN, 64].claim(block)
        assert claim is not None, "its lock was given back"
        claim.close()


def test_no_more_blocks_are_claimed_than_two(
    backbone: Backbone, taps: tuple[Tap, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, close, open_now, most = StoreWriter.claim, BlockWriter.close, set(), []

    def claiming(writer: StoreWriter, block: int) -> BlockWriter | None:
        open_now.add(block)
        most.append(len(open_now))
        return claim(writer, block)

    def closing(writer: BlockWriter) -> None:
        time.sleep(0.02)  # a slow disk
        open_now.discard(writer.rows.start // 4)
        close(writer)

    monkeypatch.setattr(StoreWriter, "claim", claiming)
    monkeypatch.setattr(BlockWriter, "close", closing)
    images = pictures(40)
    assert run(backbone, taps, images, writers(backbone, taps, images, (64,))) == 40
    assert max(most) <= loop.MOST_BLOCKS


def test_batches_are_halved_until_they_fit(
    backbone: Backbone, taps: tuple[Tap, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, sizes, notes = FeatureReader.begin, [], []

    def begun(reader: FeatureReader, batch: torch.Tensor) -> Any:
        sizes.append(len(batch))
        if len(batch) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return begin(reader, batch)

    images = pictures(16)
    digests = [image.digest() for image in images]
    to = writers(backbone, taps, images, (64,), rows=16)
    monkeypatch.setattr(FeatureReader, "begin", begun)
    assert loop.run(images, digests, backbone, taps, to, batch_size=12, note=notes.append) == 16
    assert sizes == [12, 6, 3, 3, 3, 3, 3, 1], "found out once: later batches are cut at once"
    assert notes == [f"batches of {n} images instead of {2 * n}, which the GPU had no memory for" for n in (6, 3)]
    monkeypatch.undo()
    store = to[PLAIN, 64].seal()
    resize = backbone.preprocessing.resizer()
    direct = FeatureReader(backbone, taps, (64,))(torch.stack([resize(i.load()) for i in images]))[64]
    values = DesignMatrix.of([store], digests).columns(np.arange(store.layers.n_features))
    expected = np.concatenate([direct[name] for name in store.layers.names], axis=1).T
    np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-4)


def test_an_image_that_does_not_fit_alone_is_an_error(
    backbone: Backbone, taps: tuple[Tap, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def begun(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(FeatureReader, "begin", begun)
    images = pictures(4)
    with pytest.raises(torch.OutOfMemoryError):
        run(backbone, taps, images, writers(backbone, taps, images, (64,)))
