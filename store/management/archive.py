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
from head2toe.store.common.errors import BadRequest, StoreError
from head2toe.store.common.files import ANOTHER_ROOT, crc32c, explained, sync_file, sync_folder
from head2toe.store.common.outputs import staged_folder
from head2toe.store.common.progress import Counter, Progress
from head2toe.store.format.commits import Commit, Place, read_commits
from head2toe.store.format.damage import damaged, store_name
from head2toe.store.format.layout import Spec, folder_name, images_file, spec_file, store_path
from head2toe.store.management.catalogue import TEMPORARY, Catalogue
from head2toe.store.management.verify import verify
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
    group = _open(source)
    spec = Spec.read(source / _AROUND)
    commits = read_commits(source / _AROUND, spec)
    path = store_path(catalogue.root, spec.key)
    if spec_file(path).is_file():
        raise BadRequest(f"{path}: this store is there already; `head2toe store rm {store_name(path)}` removes it")
    temporary = catalogue.root / f"{TEMPORARY}{uuid.uuid4().hex}"
    with explained(catalogue.root, ANOTHER_ROOT):
        try:
            shutil.copytree(source / _AROUND, temporary)
            (temporary / "lock").mkdir()
            counter = Counter(progress, len(commits) * len(spec.layers))
            for commit in commits:
                _restore_block(group, spec, commit, temporary, counter)
            for file in temporary.rglob("*"):
                (sync_folder if file.is_dir() else sync_file)(file)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.rename(path)
            sync_folder(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return FeatureStore.open(path)


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
    for file in (images_file(store.path), spec_file(store.path), *sorted(store.path.rglob("*"))):
        relative = file.relative_to(store.path)
        if not file.is_file() or relative.parts[0] == "lock":
            continue
        copy = target / relative
        copy.parent.mkdir(parents=True, exist_ok=True)
        commit = data.get(relative.as_posix())
        if commit is None:
            shutil.copyfile(file, copy)
            continue
        with file.open("rb") as whole, copy.open("wb") as around:
            for start, stop in _gaps(store.spec, commit, relative.as_posix()):
                whole.seek(start)
                around.write(whole.read(stop - start))


def _gaps(spec: Spec, commit: Commit, name: str) -> list[tuple[int, int]]:
    """List the byte ranges [start, stop) of a data file that no layer covers, in order."""
    size = next(file.nbytes for file in commit.files if file.path == name)
    covered = sorted(
        (place.offset, place.offset + _layer_bytes(spec, place, width))
        for place, width in zip(commit.places, spec.layers.widths, strict=True)
        if place.file == name
    )
    starts = [0, *(stop for _, stop in covered)]
    stops = [*(start for start, _ in covered), size]
    return [(start, stop) for start, stop in zip(starts, stops, strict=True) if start < stop]


def _layer_bytes(spec: Spec, place: Place, width: int) -> int:
    return width * spec.rows_per_block * np.dtype(place.dtype).itemsize


def _open(source: Path) -> zarr.Group:
    """Open the zarr group of an archive; raises `StoreError` if there is none that can be read here."""
    try:
        group = zarr.open_group(source / _FEATURES, mode="r", zarr_format=3)
    except (FileNotFoundError, ValueError, LookupError, TypeError) as error:
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
            for start, stop in _gaps(spec, commit, file.path):
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
            raise StoreError(
                f"{group.store_path}: the archive is damaged ({file.path} differs from its record): get it anew"
            )


@contextmanager
def _decoded(group: zarr.Group, name: str) -> Iterator[None]:
    """Turn whatever zarr or a codec raises on what it can't read into a one-line `StoreError`."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())
        raise StoreError(f"{group.store_path}: the archive is damaged ({name}, {reason}): get it anew") from error


def _pieces(group: zarr.Group, spec: Spec, block: int, name: str, width: int) -> Iterator[np.ndarray]:
    """Yield a layer of a block as it lies on disk, some features at a time, padded with zeros as it was written."""
    rows = spec.block_rows(block)
    with _decoded(group, name):
        array = group[folder_name(name)]
        inner = array.chunks[1]
    at_once = inner * max(1, _TILE // (inner * spec.rows_per_block))
    for start in range(0, width, at_once):
        stop = min(start + at_once, width)
        with _decoded(group, name):
            values = np.asarray(array[rows.start : rows.stop, start:stop])
        piece = np.zeros((stop - start, spec.rows_per_block), values.dtype.newbyteorder("<"))
        piece[:, : len(rows)] = values.T
        yield piece
