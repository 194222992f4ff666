"""Export and import: a compressed, sharded zarr v3 copy for an archive or an object store, and back, byte-identical.

The archive holds the features as arrays that any zarr reader opens, and beside them, as they are, all bytes of the
store that aren't features: spec, records, and of each data file what lies around its layers. Importing puts the two
together, checks every file against its record, and only then gives the store its name.
"""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import zarr
from head2toe.store.common.errors import BadRequest, Damaged, StoreError
from head2toe.store.common.files import ANOTHER_ROOT, crc32c, explained, make_folders, sync_file, sync_folder
from head2toe.store.common.outputs import share_contents, staged_folder
from head2toe.store.console.progress import Counter, Progress
from head2toe.store.format.commits import Commit, read_commits
from head2toe.store.format.damage import damaged, store_name
from head2toe.store.format.key import DTYPES
from head2toe.store.format.layout import Spec, folder_name, store_path
from head2toe.store.management.archive_files import (
    archive_damaged,
    check_sizes,
    copy_file,
    file_names,
    gaps,
    require_plain,
)
from head2toe.store.management.catalogue import TEMPORARY, Catalogue
from head2toe.store.management.verify import index_files, verify
from head2toe.store.reading.feature_store import FeatureStore
from zarr.codecs import BloscCodec, TransposeCodec

ARCHIVE_NAME = "head2toe feature archive"
"""The attribute `format_name` of an archive's zarr group."""

ARCHIVE_VERSION = 1
"""The version of the archive's format (docs/store-format.md)."""

_FEATURES = "features.zarr"
_AROUND = "store"  # the folder of all bytes that aren't features
_SMALL = 256  # features in an inner chunk, which is what a range read fetches
_TILE = 1 << 22  # values that are decoded at once


def export_store(path: Path, target: Path, *, progress: Progress | None = None) -> int:
    """Write a complete store as an archive; returns the archive's bytes.

    Parameters
    ----------
    path : Path
        The store's folder.
    target : Path
        The archive's folder, which must not exist yet. It takes its name once everything is written.
    progress : callable, optional
        Called with how many layers of row blocks are written and how many there are.

    Raises
    ------
    BadRequest
        The target exists.
    StoreError
        The store is incomplete or damaged (it is verified first), or the target can't be written.
    """
    target = Path(target).absolute()
    if target.exists():
        raise BadRequest(f"{target}: exists already; name a folder that doesn't")
    store = FeatureStore.open(path)
    if faults := verify(store.path).faults:
        raise damaged(faults[0].file, faults[0].what)
    another = "name another TARGET"
    with explained(target, another), staged_folder(target, another) as partial:
        _write_arrays(store, partial / _FEATURES, progress)
        _write_around(store, partial / _AROUND)
        share_contents(partial)
        for file in partial.rglob("*"):
            (sync_folder if file.is_dir() else sync_file)(file)
        partial.rename(target)
        sync_folder(target.parent)
        return sum(file.stat().st_size for file in target.rglob("*") if file.is_file())


def import_store(catalogue: Catalogue, source: Path, *, progress: Progress | None = None) -> FeatureStore:
    """Put an archive's store into the catalogue, byte for byte what was exported, and open it.

    Parameters
    ----------
    catalogue : Catalogue
        Where the store is put.
    source : Path
        The archive's folder.
    progress : callable, optional
        Called with how many layers of row blocks are restored and how many there are.

    Raises
    ------
    BadRequest
        The store is there already.
    StoreError
        The folder is not an archive, or one of a newer version, or a damaged one, or the root can't be written.
    """
    source = Path(source).absolute()
    require_plain(source)
    group = _open(source)
    around = source / _AROUND
    try:
        spec = Spec.read(around)
        commits = read_commits(around, spec)
        records = file_names(around, spec, commits)
        for commit in commits:
            check_sizes(around, spec, commit)
    except Damaged as error:
        raise archive_damaged(source, f"{error.file.relative_to(source)}: {error.what}") from error
    path = store_path(catalogue.root, spec.key)
    if path.is_dir() or path.is_symlink():
        raise BadRequest(f"{path}: this store is there already; `head2toe store rm {store_name(path)}` removes it")
    temporary = catalogue.root / f"{TEMPORARY}{uuid.uuid4().hex}"
    with explained(catalogue.root, ANOTHER_ROOT):
        try:
            make_folders(temporary / "lock")
            for name in records:
                copy_file(around, name, temporary)
            counter = Counter(progress, len(commits) * len(spec.layers))
            for commit in commits:
                _restore_block(group, spec, commit, temporary, counter)
            _check_index(source, temporary, spec)
            for file in temporary.rglob("*"):
                (sync_folder if file.is_dir() else sync_file)(file)
            make_folders(path.parent)
            temporary.rename(path)
            sync_folder(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return FeatureStore.open(path)


def _check_index(source: Path, path: Path, spec: Spec) -> None:
    """Check the format's metadata of a store that was put together; blocks are checked as they are."""
    for file in index_files(path, spec):
        fault = file.fault(path) or ("" if crc32c(path / file.path) == file.crc32c else "differs from its record")
        if fault:
            raise archive_damaged(source, f"{file.path}: {fault}")


def _write_arrays(store: FeatureStore, target: Path, progress: Progress | None) -> None:
    """Write the features: one array a layer, one shard a row block, compressed with lz4 after a shuffle of bits."""
    spec = store.spec
    counter = Counter(progress, spec.n_blocks * len(spec.layers))
    attributes = {
        "format_name": ARCHIVE_NAME,
        "format_version": ARCHIVE_VERSION,
        "key": spec.key,
        "identity": dict(spec.identity),
        "layers": list(spec.layers.names),
    }
    group = zarr.create_group(target, zarr_format=3, attributes=attributes)
    for layer, (name, width, dtype) in enumerate(zip(spec.layers.names, spec.layers.widths, store.dtypes, strict=True)):
        inner = min(_SMALL, width)
        array = group.create_array(
            folder_name(name),
            shape=(spec.n_rows, width),
            shards=(spec.rows_per_block, -(-width // inner) * inner),
            chunks=(spec.rows_per_block, inner),
            dtype=dtype,
            fill_value=np.nan,
            filters=[TransposeCodec(order=(1, 0))],
            compressors=[BloscCodec(cname="lz4", shuffle="bitshuffle", typesize=np.dtype(dtype).itemsize)],
            dimension_names=("image", f"{name} feature"),
            attributes={"layer": name},
            config={"write_empty_chunks": True},
        )
        for block in range(spec.n_blocks):
            rows = spec.block_rows(block)
            array[rows.start : rows.stop] = store.block(layer, block)[:, : len(rows)].T
            counter.add()


def _write_around(store: FeatureStore, target: Path) -> None:
    """Write everything else: small files as they are, and of data files what isn't inside a layer."""
    data = {file.path: commit for commit in store.commits for file in commit.files}
    for name in file_names(store.path, store.spec, store.commits):
        commit = data.get(name)
        if commit is None:
            copy_file(store.path, name, target)
            continue
        file, copy = store.path / name, target / name
        make_folders(copy.parent)
        with file.open("rb") as whole, copy.open("wb") as around:
            for start, stop in gaps(store.spec, commit, name):
                whole.seek(start)
                around.write(whole.read(stop - start))


def _open(source: Path) -> zarr.Group:
    """Open the zarr group of an archive; raises `StoreError` if there is none that can be read here."""
    try:
        group = zarr.open_group(source / _FEATURES, mode="r", zarr_format=3)
    except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(f"{source}: not an archive of a feature store; `head2toe store export` makes one") from error
    if group.attrs.get("format_name") != ARCHIVE_NAME:
        raise StoreError(f"{source}: not an archive of a feature store; `head2toe store export` makes one")
    version = group.attrs.get("format_version")
    if not isinstance(version, int) or version > ARCHIVE_VERSION:
        raise StoreError(f"{source}: written by a newer head2toe (archive format {version}): upgrade head2toe")
    return group


def _restore_block(group: zarr.Group, spec: Spec, commit: Commit, path: Path, counter: Counter) -> None:
    """Put a block's files together and compare them with their record."""
    for file in commit.files:
        full_path = path / file.path
        around = full_path.read_bytes()
        with full_path.open("wb") as out:
            for start, stop in gaps(spec, commit, file.path):
                out.seek(start)
                out.write(around[: stop - start])
                around = around[stop - start :]
            for name, width, place in zip(spec.layers.names, spec.layers.widths, commit.places, strict=True):
                if place.file == file.path:
                    out.seek(place.offset)
                    for piece in _pieces(group, spec, commit.block, name, width):
                        out.write(piece.data)
                    counter.add()
        if full_path.stat().st_size != file.nbytes or crc32c(full_path) != file.crc32c:
            raise archive_damaged(group.store_path, f"{file.path} differs from its record")


@contextmanager
def _decoded(group: zarr.Group, name: str) -> Iterator[None]:
    """Turn whatever zarr or a codec raises on what it can't read into a one-line `StoreError`."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())
        raise archive_damaged(group.store_path, f"{name}, {reason}") from error


def _pieces(group: zarr.Group, spec: Spec, block: int, name: str, width: int) -> Iterator[np.ndarray]:
    """Yield a layer of a block as it lies on disk, some features at a time, padded with zeros as it was written."""
    rows = spec.block_rows(block)
    inner = min(_SMALL, width)
    with _decoded(group, name):
        array = group[folder_name(name)]
        if (array.shape, array.chunks) != ((spec.n_rows, width), (spec.rows_per_block, inner)):
            raise ValueError(f"shape {array.shape} in chunks of {array.chunks}")
        if array.dtype not in DTYPES:
            raise ValueError(f"dtype {array.dtype}")
    at_once = inner * max(1, _TILE // (inner * spec.rows_per_block))
    for start in range(0, width, at_once):
        stop = min(start + at_once, width)
        with _decoded(group, name):
            values = np.asarray(array[rows.start : rows.stop, start:stop])
        piece = np.zeros((stop - start, spec.rows_per_block), values.dtype.newbyteorder("<"))
        piece[:, : len(rows)] = values.T
        yield piece
