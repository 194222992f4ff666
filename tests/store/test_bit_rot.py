"""Bytes that change on disk while sizes stay: whatever reads a layer's row block as a whole finds out, once."""

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from head2toe.store.common.errors import Damaged
from head2toe.store.format.commits import Commit
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


def test_a_gather_of_few_columns_reads_no_more_than_these(
    toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = toy.write(10)
    monkeypatch.setattr(mapping, "crc32c", lambda *_: pytest.fail("a whole file was read"))
    expected = np.concatenate(list(toy.features(store.images).values()), axis=1)
    np.testing.assert_array_equal(store.columns([1, 9]), expected.T[[1, 9]])


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
