"""Export and import are each other's inverse, and damage never gets through."""

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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
    with pytest.raises(StoreError, match=rf"^{re.escape(str(file))}: .*verify --repair"):
        export_store(store.path, tmp_path / "archive")
    assert not (tmp_path / "archive").exists()


def exported(toy: SimpleNamespace, tmp_path: Path) -> Path:
    export_store(toy.write(10).path, tmp_path / "archive")
    return tmp_path / "archive"


@pytest.mark.parametrize("name", ["store/notes.txt", "store/images.txt", "features.zarr/stem/c/0/0", "store/more"])
@pytest.mark.parametrize("target", ["private", "/dev/zero", "folder", None])
def test_nothing_is_taken_from_behind_a_link_or_pipe(
    toy: SimpleNamespace, tmp_path: Path, name: str, target: str | None
) -> None:
    archive = exported(toy, tmp_path)
    (tmp_path / "private").write_text("secret")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "private").write_text("secret")
    (archive / name).unlink(missing_ok=True)
    if target is None:
        os.mkfifo(archive / name)
    else:
        (archive / name).symlink_to(tmp_path / target)
    with pytest.raises(StoreError, match=r"a link or special file.*`cp -rL") as error:
        import_store(Catalogue(tmp_path / "elsewhere"), archive)
    assert str(archive / name) in str(error.value)
    assert not list((tmp_path / "elsewhere").rglob("*"))


def test_what_no_record_names_stays_behind(toy: SimpleNamespace, tmp_path: Path) -> None:
    archive = exported(toy, tmp_path)
    before = contents(toy.write(10).path)
    (archive / "store" / "readme.txt").write_text("mine")
    (archive / "store" / "lock").mkdir()
    (archive / "store" / "lock" / "0").write_text("mine")
    assert contents(import_store(Catalogue(tmp_path / "elsewhere"), archive).path) == before


def test_an_archive_of_an_archive_that_is_a_link(toy: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(exported(toy, tmp_path))
    assert import_store(Catalogue(tmp_path / "elsewhere"), tmp_path / "link").n_rows == 10


@pytest.mark.parametrize(
    "change",
    [
        {"rows_per_block": -5},
        {"rows_per_block": 2**40},
        {"rows_per_block": 0},
        {"layers": [{"name": "stem", "width": 2**40}]},
        {"format": "hdf6"},
    ],
)
def test_senseless_numbers_are_one_line_at_once(toy: SimpleNamespace, tmp_path: Path, change: dict[str, Any]) -> None:
    archive = exported(toy, tmp_path)
    file = archive / "store" / "spec.json"
    content = json.loads(file.read_text()) | change
    content.pop("crc32c")
    file.write_text(json.dumps(content))
    refused(archive, tmp_path)


def test_files_of_senseless_sizes(toy: SimpleNamespace, tmp_path: Path) -> None:
    archive = exported(toy, tmp_path)
    file = archive / "store" / "commit" / "0.json"
    content = json.loads(file.read_text())
    content.pop("crc32c")
    content["files"][0][1] += 1 << 12
    file.write_text(json.dumps(content))
    refused(archive, tmp_path)
    content["files"][0][1] += 1 << 42
    file.write_text(json.dumps(content))
    refused(archive, tmp_path)


@pytest.mark.parametrize("shape", [[10, 2**40], [2**40, 7], [10]])
def test_arrays_of_senseless_shapes(toy: SimpleNamespace, tmp_path: Path, shape: list[int]) -> None:
    archive = exported(toy, tmp_path)
    file = archive / "features.zarr" / "stem" / "zarr.json"
    content = json.loads(file.read_text())
    content["shape"] = shape
    content["chunk_grid"]["configuration"]["chunk_shape"] = shape
    file.write_text(json.dumps(content))
    refused(archive, tmp_path)


def refused(archive: Path, tmp_path: Path) -> None:
    """The archive is damaged, in one line, and nothing gets a name."""
    with pytest.raises(StoreError, match="the archive is damaged") as error:
        import_store(Catalogue(tmp_path / "elsewhere"), archive)
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "elsewhere").rglob("*"))


def test_in_a_shared_folder_the_group_may_use_an_archive(toy: SimpleNamespace, tmp_path: Path) -> None:
    store = toy.write(10)
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o2770)
    before = os.umask(0o077)
    try:
        export_store(store.path, tmp_path / "shared" / "archive")
    finally:
        os.umask(before)
    for path in (tmp_path / "shared").rglob("*"):
        expected = 0o2770 if path.is_dir() else 0o660
        assert path.stat().st_mode & expected == expected, path
