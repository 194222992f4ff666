"""Export and import are each other's inverse, and damage never gets through."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import zarr
from head2toe.store.common.errors import BadRequest, StoreError
from head2toe.store.management.archive import export_store, import_store
from head2toe.store.management.catalogue import Catalogue


def contents(path: Path) -> dict[str, bytes]:
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file() and file.relative_to(path).parts[0] != "lock"
    }


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("rows_per_block", [4, 64])
def test_round_trip_is_byte_identical(toy: SimpleNamespace, tmp_path: Path, dtype: str, rows_per_block: int) -> None:
    store = toy.write(10, dtype=dtype, rows_per_block=rows_per_block)
    steps: list[tuple[int, int]] = []
    nbytes = export_store(store.path, tmp_path / "archive", progress=lambda *step: steps.append(step))
    assert nbytes == sum(file.stat().st_size for file in (tmp_path / "archive").rglob("*") if file.is_file())
    assert steps[-1][0] == steps[-1][1] == len(steps)
    copy = import_store(Catalogue(tmp_path / "elsewhere"), tmp_path / "archive")
    assert copy.path != store.path
    assert contents(copy.path) == contents(store.path)


def test_the_archive_is_plain_zarr_in_shards(toy: SimpleNamespace, tmp_path: Path) -> None:
    store = toy.write(10)
    export_store(store.path, tmp_path / "archive")
    group = zarr.open_group(tmp_path / "archive" / "features.zarr", mode="r")
    for _, array in group.arrays():
        assert array.shards[0] == 4
        np.testing.assert_array_equal(array[:], toy.features(store.images)[array.attrs["layer"]])


def test_what_export_and_import_refuse(toy: SimpleNamespace, tmp_path: Path) -> None:
    store = toy.write(10)
    archive = tmp_path / "archive"
    export_store(store.path, archive)
    with pytest.raises(BadRequest, match="exists already"):
        export_store(store.path, archive)
    with pytest.raises(BadRequest, match="there already"):
        import_store(toy.catalogue, archive)
    with pytest.raises(StoreError, match="not an archive"):
        import_store(toy.catalogue, tmp_path / "nothing")
    zarr.create_group(tmp_path / "other" / "features.zarr")
    with pytest.raises(StoreError, match="not an archive"):
        import_store(toy.catalogue, tmp_path / "other")


def test_a_damaged_archive_is_not_imported(toy: SimpleNamespace, tmp_path: Path) -> None:
    store = toy.write(10)
    archive = tmp_path / "archive"
    export_store(store.path, archive)
    chunk = max((archive / "features.zarr" / "stem").rglob("c/*/*"), key=lambda file: file.stat().st_size)
    raw = bytearray(chunk.read_bytes())
    raw[len(raw) // 3] ^= 0xFF
    chunk.write_bytes(raw)
    elsewhere = Catalogue(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="the archive is damaged"):
        import_store(elsewhere, archive)
    assert list(elsewhere.paths()) == []
    assert list(elsewhere.root.iterdir()) == []


@pytest.mark.parametrize("content", [None, "{", "[]"])
@pytest.mark.parametrize("of", ["", "stem"])
def test_damaged_metadata_of_an_archive_is_named(
    toy: SimpleNamespace, tmp_path: Path, of: str, content: str | None
) -> None:
    export_store(toy.write(10).path, tmp_path / "archive")
    file = tmp_path / "archive" / "features.zarr" / of / "zarr.json"
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(StoreError, match="not an archive" if not of else "damaged") as error:
        import_store(Catalogue(tmp_path / "elsewhere"), tmp_path / "archive")
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "elsewhere").glob("*"))


def test_a_damaged_store_is_not_exported(toy: SimpleNamespace, tmp_path: Path) -> None:
    store = toy.write(10)
    file = store.path / store.commits[1].files[0].path
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    with pytest.raises(StoreError, match="verify --repair"):
        export_store(store.path, tmp_path / "archive")
    assert not (tmp_path / "archive").exists()
