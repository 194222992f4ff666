"""Bytes that change on disk while sizes stay: whatever reads a layer's row block as a whole finds out, once."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import google_crc32c
import numpy as np
import pytest
from head2toe.store.common import files
from head2toe.store.common.errors import Damaged
from head2toe.store.format.commits import Commit
from head2toe.store.management.verify import verify
from head2toe.store.reading import mapping
from head2toe.store.reading.adapters import RowDataset
from head2toe.store.reading.design_matrix import DesignMatrix
from head2toe.store.reading.feature_store import FeatureStore


def place_of(store: FeatureStore, layer: int, block: int) -> tuple[Path, int]:
    """The file of a layer's row block, and the offset of its first byte."""
    place = store.commits[block].places[layer]
    return store.path / place.file, place.offset


def rot(store: FeatureStore, layer: int, block: int, at: int = 5) -> Path:
    """Flip one bit of a layer's row block; returns the file."""
    file, offset = place_of(store, layer, block)
    raw = bytearray(file.read_bytes())
    raw[offset + at] ^= 1
    file.write_bytes(raw)
    return file


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("layer", [0, 3])
@pytest.mark.parametrize("block", [0, 2])
def test_every_whole_pass_finds_a_flipped_bit(toy: SimpleNamespace, dtype: str, layer: int, block: int) -> None:
    store = toy.write(10, dtype=dtype)
    file = rot(store, layer, block)
    design = DesignMatrix.of([store], store.images)
    span = store.layers.offsets[layer : layer + 2].tolist()
    passes = {
        "stream": lambda: list(design.stream()),
        "stream in small blocks": lambda: list(design.stream(max_bytes=1)),
        "a span that begins in the layer": lambda: list(design.stream(within=(span[0] + 1, span[1]))),
        "a layer": lambda: design.columns(np.arange(*span)),
        "all": lambda: store.columns(np.arange(27)),
        "rows": lambda: RowDataset(store)[9 if block else 0],
    }
    for read in passes.values():
        with pytest.raises(Damaged, match=f"row block {block}: .*CRC-32C.*verify --repair") as error:
            read()
        assert error.value.file == file


def test_other_layers_and_rows_are_read_as_ever(toy: SimpleNamespace) -> None:
    store = toy.write(10)
    rot(store, 3, 2)
    if toy.format == "zarr":
        store.columns(np.arange(7))
    DesignMatrix.of([store], store.images[:8]).columns(np.arange(27))


def test_what_was_checked_is_not_checked_again(toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    store = toy.write(10)
    design = DesignMatrix.of([store], store.images)
    list(design.stream())
    with monkeypatch.context() as patch:
        patch.setattr(mapping, "crc32c", lambda *_: pytest.fail("a checksum was computed again"))
        patch.setattr(mapping.google_crc32c, "extend", lambda *_: pytest.fail("a checksum was computed again"))
        list(design.stream())
        list(FeatureStore.open(store.path).stream(within=(3, 20)))
        design.columns(np.arange(27))
    rot(store, 1, 1)
    with pytest.raises(Damaged):  # for the file isn't the one that was checked
        list(design.stream())


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_gather_of_few_columns_checks_what_it_reads(
    toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    store = toy.write(10, dtype=dtype)
    expected = np.concatenate(list(toy.features(store.images).values()), axis=1).T
    read: list[Path] = []
    monkeypatch.setattr(mapping, "crc32c", lambda file: (read.append(file), files.crc32c(file))[1])
    np.testing.assert_array_equal(store.columns([1, 9]), expected[[1, 9]])
    assert {file.parent.name for file in read} == {"sums"}  # no whole data file
    itemsize = 2 if dtype == "float16" else 4
    rot(store, 1, 1, at=3 * 4 * itemsize)  # feature 3 of the layer, column 10 of the store
    np.testing.assert_array_equal(store.columns([1, 9]), expected[[1, 9]])
    with pytest.raises(Damaged, match="row block 1, feature 3"):
        store.columns([1, 10])


def test_a_feature_is_checked_once(toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    store = toy.write(10)
    store.columns([8, 9])
    again = FeatureStore.open(store.path)
    monkeypatch.setattr(mapping.google_crc32c, "value", lambda _: pytest.fail("a checksum was computed again"))
    store.columns([9, 8])
    again.columns([8])


def test_what_was_checked_of_a_file_that_has_changed_is_checked_again(toy: SimpleNamespace) -> None:
    """A feature that was good, in a file that was written over in its place: contiguous ones and scattered ones."""
    store = toy.write(10)
    for columns in ([7, 8], [7, 9]):
        store.columns(columns)
    file = rot(store, 1, 1, at=0)  # feature 0 of the layer, column 7 of the store
    for columns in ([7, 8], [7, 9]):
        with pytest.raises(Damaged, match="row block 1, feature 0") as error:
            store.columns(columns)
        assert error.value.file == file


def test_damaged_checksums_are_damage(toy: SimpleNamespace) -> None:
    store = toy.write(10)
    path = store.path
    file = path / "sums" / "1.crc32c"
    file.write_bytes(bytes(file.stat().st_size))
    with pytest.raises(Damaged, match="row block 1"):
        store.columns([1])
    del store
    assert verify(path, repair=True).bad_blocks == (1,)
    writer = toy.catalogue.writer(toy.identity(), [toy.image(i) for i in range(10)], toy.layers, format=toy.format)
    assert toy.fill(writer) == 4
    assert verify(writer.seal().path).faults == ()


def test_a_store_without_checksums_of_features_is_read_as_ever(toy: SimpleNamespace) -> None:
    """As all stores of earlier versions are; whole passes check these, too."""
    store = toy.write(10)
    expected = np.concatenate(list(toy.features(store.images).values()), axis=1).T
    for block in range(3):
        file = store.path / "commit" / f"{block}.json"
        content = json.loads(file.read_text())
        content["files"] = [entry for entry in content["files"] if not entry[0].startswith("sums/")]
        content.pop("crc32c")
        file.write_text(json.dumps(content))
    for file in (store.path / "sums").iterdir():
        file.unlink()
    (store.path / "sums").rmdir()
    old = FeatureStore.open(store.path)
    np.testing.assert_array_equal(old.columns([1, 9]), expected[[1, 9]])
    np.testing.assert_array_equal(old.columns(np.arange(27)), expected)
    rot(old, 1, 1)
    with pytest.raises(Damaged):
        list(old.stream())


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_checksums_of_features_are_those_of_what_lies_on_disk(toy: SimpleNamespace, dtype: str) -> None:
    """Layers that were widened on sealing among them."""
    images = [toy.image(i) for i in range(10)]
    writer = toy.catalogue.writer(toy.identity(dtype=dtype), images, toy.layers, format=toy.format, rows_per_block=4)
    for block in writer.pending():
        with writer.claim(block) as claimed:
            features = toy.features([images[row] for row in claimed.missing])
            features["head"] *= 1e6 if block == 2 else 1
            claimed.put(claimed.missing, features)
            claimed.commit()
    store = writer.seal()
    for block in range(3):
        sums = np.fromfile(store.path / "sums" / f"{block}.crc32c", "<u4")
        rows = [google_crc32c.value(row) for layer in range(4) for row in store.block(layer, block)]
        assert sums.tolist() == rows


def test_rows_of_a_damaged_store_are_extracted_and_not_copied(toy: SimpleNamespace) -> None:
    store = toy.write(8)
    rot(store, 1, 1)
    images = [toy.image(i) for i in range(9)]
    writer = toy.catalogue.writer(toy.identity(), images, toy.layers, format=toy.format, rows_per_block=4)
    assert toy.fill(writer) == 5  # four that are damaged, and the new one
    expected = np.concatenate(list(toy.features(images).values()), axis=1)
    np.testing.assert_array_equal(writer.seal().columns(np.arange(27)), expected.T)


def test_damage_gets_no_new_checksum_when_a_layer_is_widened(toy: SimpleNamespace) -> None:
    """A layer that is unsafe for float16 in the last block is written anew in the first."""
    images = [toy.image(i) for i in range(8)]
    writer = toy.catalogue.writer(
        toy.identity(dtype="float16"), images, toy.layers, format=toy.format, rows_per_block=4
    )
    for block in writer.pending():
        with writer.claim(block) as claimed:
            features = toy.features([images[row] for row in claimed.missing])
            features["head"] *= 1e6 if block else 1
            claimed.put(claimed.missing, features)
            claimed.commit()
    place = Commit.read(writer.path, writer.spec, 0).places[3]
    file = writer.path / place.file
    raw = bytearray(file.read_bytes())
    raw[place.offset] ^= 1
    file.write_bytes(raw)
    with pytest.raises(Damaged, match="row block 0"):
        writer.seal()


def test_a_forked_process_reads_the_same_numbers(toy: SimpleNamespace) -> None:
    """Even if another thread held the lock on the maps when it was forked."""
    store = toy.write(10)
    expected = store.columns(np.arange(27))
    with mapping._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if np.array_equal(store.columns(np.arange(27)), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0
