"""Damage and misfortune: a one-line error that names the file and the remedy; never a crash, never a wrong number."""

import errno
import fcntl
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from head2toe.store.common.errors import StoreError
from head2toe.store.management.catalogue import Catalogue
from head2toe.store.management.maintenance import remove
from head2toe.store.management.verify import verify
from head2toe.store.reading.design_matrix import DesignMatrix
from head2toe.store.reading.feature_store import FeatureStore
from head2toe.store.reading.store_lock import NoFlock


def says(error: pytest.ExceptionInfo[StoreError], *words: object) -> None:
    """The message is one line, and holds all these words."""
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert str(word) in message


def data_file(store: FeatureStore, block: int = 1) -> Path:
    return store.path / store.commits[block].places[-1].file


def flip(file: Path, at: int) -> None:
    raw = bytearray(file.read_bytes())
    raw[at] ^= 0x10
    file.write_bytes(raw)


def test_a_truncated_chunk(toy: SimpleNamespace) -> None:
    store = toy.write(10)
    file = data_file(store)
    os.truncate(file, file.stat().st_size - 1)
    for read in (lambda: FeatureStore.open(store.path), lambda: toy.catalogue.find(toy.identity(), store.images)):
        with pytest.raises(StoreError) as error:
            read()
        says(error, file, "truncated", f"verify --repair {store.path}")


def test_truncated_while_it_is_open(toy: SimpleNamespace) -> None:
    """No SIGBUS, even if the file was mapped before."""
    store = toy.write(10)
    design = DesignMatrix.of([store], store.images)
    design.columns(np.arange(27))
    os.truncate(data_file(store), 0)
    for read in (lambda: list(design.stream()), lambda: design.columns([0, 26])):
        with pytest.raises(StoreError, match="truncated"):
            read()


def test_a_missing_chunk(toy: SimpleNamespace) -> None:
    store = toy.write(10)
    data_file(store).unlink()
    with pytest.raises(StoreError) as error:
        FeatureStore.open(store.path)
    says(error, data_file(store), "missing", "verify --repair")


def test_a_missing_commit(toy: SimpleNamespace) -> None:
    store = toy.write(10)
    (store.path / "commit" / "1.json").unlink()
    for read in (lambda: FeatureStore.open(store.path), lambda: toy.catalogue.find(toy.identity(), store.images)):
        with pytest.raises(StoreError) as error:
            read()
        says(error, "commit/1.json", "missing", "verify --repair")


def test_a_flipped_byte_of_a_record_is_found_on_opening(toy: SimpleNamespace) -> None:
    store = toy.write(10)
    file = store.path / "commit" / "1.json"
    good = file.read_bytes()
    for at in np.random.default_rng(0).integers(0, len(good), 150):
        flip(file, at)
        with suppress(StoreError):  # else it was white space, or the name of the checksum
            assert FeatureStore.open(store.path).commits == store.commits
        file.write_bytes(good)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"key": 1}', b"\xff\xfe"])
@pytest.mark.parametrize("name", ["spec.json", "commit/0.json", "images.txt"])
def test_a_damaged_record(toy: SimpleNamespace, name: str, content: bytes) -> None:
    store = toy.write(10)
    (store.path / name).write_bytes(content)
    with pytest.raises(StoreError) as error:
        FeatureStore.open(store.path)
    says(error, store.path, "`head2toe store ")


def test_every_flipped_byte_is_found_by_verify(toy: SimpleNamespace) -> None:
    rng = np.random.default_rng(0)
    store = toy.write(10)
    for file in sorted(store.path.rglob("*")):
        name = file.relative_to(store.path).as_posix()
        if not file.is_file() or name.startswith(("lock", "spec", "images", "complete", "commit")):
            continue
        good = file.read_bytes()
        for at in rng.integers(0, len(good), 3):
            flip(file, at)
            faults = verify(store.path).faults
            assert [fault.file for fault in faults] == [file]
            file.write_bytes(good)
    assert verify(store.path).faults == ()


def test_a_flipped_byte_of_the_spec_is_found_on_opening(toy: SimpleNamespace) -> None:
    store = toy.write(10)
    file = store.path / "spec.json"
    good = file.read_bytes()
    for at in np.random.default_rng(0).integers(0, good.index(b'"provenance"'), 150):
        flip(file, at)
        with suppress(StoreError):  # else it was white space
            opened = FeatureStore.open(store.path)
            assert (opened.images, opened.identity, opened.layers) == (store.images, store.identity, store.layers)
        file.write_bytes(good)


def test_repair_marks_and_extraction_fills_in(toy: SimpleNamespace) -> None:
    store = toy.write(10)
    path, images = store.path, store.images
    flip(data_file(store, 1), 20)
    with pytest.raises(StoreError, match="in use"):
        verify(path, repair=True)
    del store
    verification = verify(path, repair=True)
    assert (verification.bad_blocks, verification.repaired) == ((1,), True)
    with pytest.raises(StoreError, match="not finished"):
        FeatureStore.open(path)
    writer = toy.catalogue.writer(toy.identity(), images, toy.layers, format=toy.format)
    assert toy.fill(writer) == 4
    expected = np.concatenate(list(toy.features(images).values()), axis=1)
    np.testing.assert_array_equal(DesignMatrix.of([writer.seal()], images).columns(np.arange(27)).T, expected)
    assert verify(path).faults == ()


def test_repair_of_metadata_alone_extracts_nothing(toy: SimpleNamespace) -> None:
    path = toy.write(10).path
    index = path / ("data.zarr/zarr.json" if toy.format == "zarr" else "blocks/index.h5")
    index.unlink()
    assert verify(path, repair=True).repaired
    assert verify(path).faults == ()
    assert FeatureStore.open(path).n_rows == 10


def test_repair_of_a_missing_commit(toy: SimpleNamespace) -> None:
    path = toy.write(10).path
    (path / "commit" / "2.json").unlink()
    assert verify(path, repair=True).bad_blocks == (2,)
    assert verify(path).pending == (2,)


def test_a_newer_version(toy: SimpleNamespace) -> None:
    store = toy.write(10)
    file = store.path / "spec.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format_version": 2, "crc32c": None}))
    for read in (FeatureStore.open, verify):
        with pytest.raises(StoreError) as error:
            read(store.path)
        says(error, file, "newer head2toe (format 2", "upgrade")


def test_a_foreign_folder(toy: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for read in (FeatureStore.open, verify, remove):
        for folder in (tmp_path / "photos", tmp_path / "nowhere"):
            with pytest.raises(StoreError) as error:
                read(folder)
            says(error, folder, "not a feature store")
    (tmp_path / "photos" / "spec.json").write_text('{"name": "something else"}')
    with pytest.raises(StoreError, match="not a feature store"):
        FeatureStore.open(tmp_path / "photos")
    store = toy.write(4)
    shutil.copytree(store.path, store.path.parent / "copy of it")
    assert [path.name for path in toy.catalogue.paths()] == [store.key]


def refuse(code: int):
    def refusal(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return refusal


@pytest.mark.parametrize("call", ["posix_fallocate", "pwrite", "fsync", "link"])
def test_a_full_disk(toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Wherever in writing a block the disk fills up: an error, nothing left behind, and it goes on afterwards."""
    images = [toy.image(i) for i in range(8)]
    writer = toy.catalogue.writer(toy.identity(), images, toy.layers, format=toy.format, rows_per_block=4)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse(errno.ENOSPC))
        with pytest.raises(StoreError) as error:
            toy.fill(writer)
    says(error, writer.path, "no space left", "--store")
    assert writer.pending() == [0, 1]
    assert not list(writer.path.rglob("*.partial"))
    assert toy.fill(writer) == 8
    assert writer.seal().n_rows == 8


def test_too_little_space_is_an_error_up_front(toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=50_000))
    with pytest.raises(StoreError) as error:
        toy.write(100)
    says(error, toy.catalogue.root, "needed", "50.0 kB free", "--store")


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_read_only_root(toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    store = toy.write(10)
    path, images = store.path, store.images
    del store
    real = os.open

    def read_only(file: object, flags: int, *rest: object, **options: object) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(code, os.strerror(code), str(file))
        return real(file, flags, *rest, **options)

    for name in ("mkdir", "link", "rename", "utime", "unlink"):
        monkeypatch.setattr(os, name, refuse(code))
    monkeypatch.setattr(os, "open", read_only)
    store = toy.catalogue.find(toy.identity(), images)  # reading works as ever
    expected = np.concatenate(list(toy.features(images).values()), axis=1)
    np.testing.assert_array_equal(DesignMatrix.of([store], images).columns(np.arange(27)).T, expected)
    assert verify(path).faults == ()
    with pytest.raises(StoreError) as error:
        toy.write(11)
    says(error, toy.catalogue.root, "--store DIR")


def test_a_file_system_without_flock(toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    store = toy.write(10)
    monkeypatch.setattr(fcntl, "flock", refuse(errno.ENOLCK))
    assert FeatureStore.open(store.path).n_rows == 10  # reading needs no lock
    with pytest.raises(StoreError) as error:
        toy.write(11)
    says(error, "no flock", "local disk")
    with pytest.raises(NoFlock):
        remove(store.path)
    assert FeatureStore.open(store.path).n_rows == 10


def test_a_damaged_store_is_passed_over_for_a_whole_one(toy: SimpleNamespace) -> None:
    small, large = toy.write(6), toy.write(9)
    data_file(small).unlink()
    for images in (small.images, small.images[:5]):
        assert toy.catalogue.find(toy.identity(), images).key == large.key


def test_a_file_system_without_fallocate(toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "posix_fallocate", refuse(errno.EOPNOTSUPP))
    store = toy.write(6)
    monkeypatch.delattr(os, "posix_fallocate")
    other = toy.write(7)
    assert verify(store.path).faults == verify(other.path).faults == ()


def test_a_store_that_was_sealed_is_not_written_over(toy: SimpleNamespace) -> None:
    store = toy.write(10)
    data_file(store).unlink()
    with pytest.raises(StoreError, match="verify --repair"):
        toy.catalogue.writer(toy.identity(), store.images, toy.layers, format=toy.format)


def test_a_root_that_cannot_be_read_is_no_empty_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError) as error:
        list(Catalogue(tmp_path / "file").paths())
    says(error, tmp_path / "file", "Not a directory")
    assert not list(Catalogue(tmp_path / "nothing").paths())
