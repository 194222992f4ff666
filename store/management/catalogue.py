"""The root folder with all stores, found by what determines their numbers."""

import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from head2toe.store.common.errors import BadRequest, StoreError
from head2toe.store.common.files import ANOTHER_ROOT, expanded, explained, make_folders, sync_folder
from head2toe.store.common.fingerprint import canonical
from head2toe.store.format.backends import FORMATS, backend
from head2toe.store.format.damage import damaged, default_root, is_key, remedy
from head2toe.store.format.key import DTYPES, default_rows_per_block, differing_fields, store_key, unique
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.format.layout import (
    Spec,
    check_images,
    folder_name,
    read_spec_json,
    seal_file,
    spec_file,
    store_path,
)
from head2toe.store.reading.feature_store import FeatureStore
from head2toe.store.writing.file_system import require_access, require_file_system
from head2toe.store.writing.space import remaining, require_space
from head2toe.store.writing.writer import StoreWriter

TEMPORARY = "tmp."
"""How the names of folders below the root begin that are being made or removed."""


class Catalogue:
    """All stores below a root folder. Nothing is read or created before it is needed.

    Parameters
    ----------
    root : Path or str, optional
        The folder; without it, that of the environment's HEAD2TOE_STORE or else the platform's cache folder.

    Attributes
    ----------
    root : Path
        The folder, absolute.
    """

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = expanded(root).absolute() if root else default_root()

    def paths(self) -> Iterator[Path]:
        """Yield the folders of all stores, finished or not, damaged or not, and links to such, in the order of keys.

        Raises
        ------
        StoreError
            The root is there and can't be read, which must not pass for one without stores.
        """
        if self.root.exists():
            with explained(self.root, ANOTHER_ROOT):
                os.scandir(self.root).close()
        for path in sorted(self.root.glob("??/*")):
            if is_key(path.name) and (path.is_symlink() or path.is_dir()):
                yield path

    def bring(self, name: str) -> None:
        """Fetch the store whose key begins so, if it is elsewhere and is not here; nothing of a folder is elsewhere."""

    def require_folder(self, what: str) -> None:
        """Raise `BadRequest` if the stores are no folder's, for something that goes into a folder alone."""

    def elsewhere(self) -> dict[str, int]:
        """Return the stores that are not here, by their keys, with how many row blocks there are of each."""
        return {}

    def find(self, identity: Mapping[str, Any], images: Sequence[str]) -> FeatureStore | None:
        """Find a complete store with this identity that holds all these images; the smallest, if there are several.

        Parameters
        ----------
        identity : mapping
            Everything but the images that determines the numbers.
        images : sequence of str
            Sha256 (hex) of each image's content, in any order.

        Returns
        -------
        FeatureStore or None
            The store, opened and marked as used; it may hold more images, in another order.

        Raises
        ------
        StoreError
            There is one, but it is damaged, and no other will do.
        """
        check_images(images)
        exact = store_path(self.root, store_key(identity, images))
        errors: list[StoreError] = []
        matches: list[FeatureStore] = []
        for path in sorted(self._complete(identity), key=lambda path: path != exact):
            try:
                store = FeatureStore.open(path, mark_used=False)
            except StoreError as error:
                errors.append(error)
                continue
            if store.holds(images):
                matches.append(store)
            if path == exact:
                break
        if matches:
            smallest = min(matches, key=lambda store: (store.n_rows, store.key))
            smallest.mark_used()
            return smallest
        if errors:
            raise errors[0]
        return None

    def nearest(
        self, identity: Mapping[str, Any], images: Sequence[str]
    ) -> tuple[FeatureStore, tuple[str, ...]] | None:
        """Find the complete store whose identity differs in the fewest fields from this one.

        Parameters
        ----------
        identity, images
            What is looked for; see `find`.

        Returns
        -------
        tuple or None
            The store and the names of the fields, dotted ("backbone.tag"); "images" is among them if the store lacks
            some of the images. None if there is no store at all.
        """
        check_images(images)
        wanted = set(images)
        best: tuple[tuple[int, int, str], FeatureStore, tuple[str, ...]] | None = None
        for path in self.paths():
            try:
                store = FeatureStore.open(path, mark_used=False)
            except StoreError:  # an unfinished, damaged or newer store is no neighbour to point at
                continue
            lacking = len(wanted - store.row_by_image.keys())
            fields = differing_fields(identity, store.identity) + (("images",) if lacking else ())
            rank = (len(fields), lacking, store.key)
            if best is None or rank < best[0]:
                best = (rank, store, fields)
        return None if best is None else best[1:]

    def writer(
        self,
        identity: Mapping[str, Any],
        images: Sequence[str],
        layers: LayerIndex,
        *,
        format: str = "zarr",
        provenance: Mapping[str, Any] | None = None,
        rows_per_block: int | None = None,
    ) -> StoreWriter:
        """Create the store of these images, or take up where somebody stopped.

        Parameters
        ----------
        identity : mapping
            What determines the numbers beside the images; its "dtype" is "float16" (where it is safe) or "float32".
        images : sequence of str
            Sha256 (hex) of each image's content; repeats are dropped.
        layers : LayerIndex
            The layers and their widths.
        format : {"zarr", "hdf5"}
            The file format. A store that is there already keeps its format, row order and blocks.
        provenance : mapping, optional
            What is recorded beside the store and not part of its key.
        rows_per_block : int, optional
            Rows in a block; tests alone should give it.

        Raises
        ------
        BadRequest
            The identity, an image, a layer's name or the format makes no sense.
        StoreError
            The root can't be written or has not enough room, or the store is there with other layers, or damaged.
        """
        spec = make_spec(identity, images, layers, format, provenance or {}, rows_per_block)
        path = store_path(self.root, spec.key)
        with explained(path, ANOTHER_ROOT):
            present = path.exists()
        if not present:
            require_space(self.root, [remaining(spec, range(spec.n_blocks))])
            create_store(self.root, path, spec)
        existing = Spec.read(path)
        if existing.layers != spec.layers:
            raise StoreError(
                f"{path}: has other layers than asked for, under the same identity: {remedy(path, repairable=False)}"
            )
        if seal_file(path).is_file():
            FeatureStore.open(path)  # a damaged one is reported, not written over
            return self._opened(path, existing, [])
        if present:
            require_access([path / "commit", path / "lock"])
            _try_file_system(self.root)
        writer = self._opened(path, existing, list(self._siblings(identity, spec)))
        require_space(self.root, [remaining(existing, writer.pending())])
        return writer

    def _opened(self, path: Path, spec: Spec, siblings: Sequence[FeatureStore]) -> StoreWriter:
        """Make the writer of a store that is there."""
        return StoreWriter(path, spec, siblings)

    def _complete(self, identity: Mapping[str, Any]) -> Iterator[Path]:
        """Yield the folders of complete stores with this identity."""
        wanted = canonical(identity)
        for path in self.paths():
            try:
                with explained(path, ANOTHER_ROOT):
                    complete = seal_file(path).is_file()
                content = read_spec_json(path) if complete else {}
            except StoreError:  # a damaged or newer store is no match; `ls` and `verify` report it
                continue
            if canonical(content.get("identity")) == wanted:
                yield path

    def _siblings(self, identity: Mapping[str, Any], spec: Spec) -> Iterator[FeatureStore]:
        """Yield the stores that rows can be taken from: they differ in nothing but the images."""
        for path in self._complete(identity):
            try:
                store = FeatureStore.open(path)
            except StoreError:  # a damaged sibling gives nothing; extracting is always possible
                continue
            if store.layers == spec.layers:
                yield store


def make_spec(
    identity: Mapping[str, Any],
    images: Sequence[str],
    layers: LayerIndex,
    format: str,
    provenance: Mapping[str, Any],
    rows_per_block: int | None,
) -> Spec:
    """Make the spec of what is asked for; raises `BadRequest` if that makes no sense."""
    check_images(images)
    if identity.get("dtype") not in DTYPES:
        raise BadRequest(f"dtype {identity.get('dtype')!r}: choose {' or '.join(DTYPES)}")
    if format not in FORMATS:
        raise BadRequest(f"no store format {format!r}; there are {', '.join(FORMATS)}")
    if rows_per_block is not None and rows_per_block < 1:
        raise BadRequest(f"{rows_per_block} rows in a block: at least one is needed")
    canonical(provenance)  # which raises if JSON can't hold it
    for name in layers.names:
        folder_name(name)  # which raises if it is too long
    rows = unique(images)
    block_size = rows_per_block or default_rows_per_block(identity["dtype"], len(rows))
    return Spec(store_key(identity, rows), dict(identity), rows, layers, block_size, format, dict(provenance))


def _try_file_system(root: Path) -> None:
    """Try the file system beside the stores: in one, whoever seals it takes files of a moment for leftovers."""
    temporary = root / f"{TEMPORARY}{uuid.uuid4().hex}"
    with explained(root, ANOTHER_ROOT):
        make_folders(temporary)
        try:
            require_file_system(temporary)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def create_store(root: Path, path: Path, spec: Spec) -> None:
    """Make the store's folder under another name, then rename it.

    If several processes do so at once, one of them gives the store its name, and the others use its folder.
    """
    with explained(root, ANOTHER_ROOT):
        make_folders(path.parent)
        require_access([path.parent])
        temporary = root / f"{TEMPORARY}{uuid.uuid4().hex}"
        try:
            for name in ("commit", "lock", "sums"):
                make_folders(temporary / name)
            require_file_system(temporary / "lock")
            backend(spec.format).create(temporary, spec)
            spec.write(temporary)
            try:
                temporary.rename(path)
            except OSError:
                if path.is_symlink():
                    raise damaged(path, "is a link to nothing", repairable=False) from None
                if not spec_file(path).is_file():
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        for folder in (path.parent, root):
            sync_folder(folder)
