"""The stores of a bucket as a catalogue: found, begun and filled as in a folder, and in line with the bucket."""

import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from head2toe.store.cloud.address import Address
from head2toe.store.cloud.bucket import Bucket
from head2toe.store.cloud.lease import Lease, Seen
from head2toe.store.cloud.mirror import Mirror
from head2toe.store.common.errors import BadRequest
from head2toe.store.format.key import store_key
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.format.layout import Spec, commit_file, seal_file, store_path
from head2toe.store.management.catalogue import Catalogue, make_spec
from head2toe.store.reading.feature_store import FeatureStore
from head2toe.store.reading.store_lock import Lock
from head2toe.store.writing.reuse import Reuse
from head2toe.store.writing.writer import BlockWriter, StoreWriter

SECONDS_BETWEEN_LOOKS = 2.0
"""How long to leave the bucket alone about a block that another machine has."""

_RECORD = re.compile(r"(?:.*/)?[0-9a-f]{2}/(?P<key>[0-9a-f]{64})/(?P<name>spec|commit/\d+)\.json")


def catalogue_of(root: str | Path | None) -> Catalogue:
    """Return the catalogue of a root: a folder's, or a bucket's for a URL (`s3://…`, `gs://…`, `az://…`).

    Parameters
    ----------
    root : str or Path, optional
        What follows `--store`; without it, what the environment's HEAD2TOE_STORE says, or else the cache folder.

    Raises
    ------
    BadRequest
        It is a URL that makes no sense.
    MissingExtra
        It is a URL, and obstore is not installed.
    """
    address = Address.chosen(root)
    return Catalogue(root) if address is None else BucketCatalogue(address)


class BucketCatalogue(Catalogue):
    """All stores of a bucket that are copied on this machine, and those that are asked for.

    Parameters
    ----------
    address : Address
        The bucket.

    Attributes
    ----------
    root : Path
        The root of the copies, a folder like that of any stores.
    bucket : Bucket
        The bucket.
    """

    def __init__(self, address: Address) -> None:
        self.bucket = Bucket(address)
        super().__init__(address.mirror)
        self._mirrors: dict[str, Mirror] = {}

    def mirror(self, key: str) -> Mirror:
        """Return a store of the bucket, with its copy, by its key."""
        return self._mirrors.setdefault(key, Mirror(self.bucket, self.root, key))

    def bring(self, name: str) -> None:
        """Fetch the store whose key begins so, if the bucket alone has it. Raises `BucketError`."""
        for key in self.elsewhere() if not any(path.name.startswith(name) for path in self.paths()) else ():
            if key.startswith(name):
                self._fetched(self.mirror(key))

    def require_folder(self, what: str) -> None:
        """Raise `BadRequest`: this is a bucket."""
        raise BadRequest(f"{what} goes into a folder, not into {self.bucket.url}: give --store a folder")

    def elsewhere(self) -> dict[str, int]:
        """List what the bucket has and this machine does not. Raises `BucketError`."""
        here, blocks = {path.name for path in self.paths()}, Counter[str]()
        for match in filter(None, map(_RECORD.fullmatch, self.bucket.listed())):
            if match["key"] not in here:
                blocks[match["key"]] += match["name"] != "spec"
        return dict(sorted(blocks.items()))

    def find(self, identity: Mapping[str, Any], images: Sequence[str]) -> FeatureStore | None:
        """Find a complete store here, or else in the bucket, from which it is fetched; see `Catalogue.find`."""
        if (store := super().find(identity, images)) is not None:
            return store
        return super().find(identity, images) if self._fetched(self.mirror(store_key(identity, images))) else None

    def _fetched(self, mirror: Mirror) -> bool:
        """Fetch what the bucket has of a store; returns whether it is complete now."""
        if (spec := mirror.begin()) is None:
            return False
        mirror.settle_all(spec)
        if not all(commit_file(mirror.path, block).is_file() for block in range(spec.n_blocks)):
            return False
        BucketWriter(mirror, spec).seal()
        return True

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
        """Begin a store in the bucket and here, or take up what the bucket has; see `Catalogue.writer`."""
        wanted = make_spec(identity, images, layers, format, provenance or {}, rows_per_block)
        mirror = self.mirror(wanted.key)
        if not seal_file(mirror.path).is_file() and (spec := mirror.begin(wanted)) is not None:
            mirror.settle_all(spec)
        return super().writer(
            identity, images, layers, format=format, provenance=provenance, rows_per_block=rows_per_block
        )

    def _opened(self, path: Path, spec: Spec, siblings: Sequence[FeatureStore]) -> StoreWriter:
        assert path == store_path(self.root, spec.key)
        return BucketWriter(self.mirror(spec.key), spec, siblings)


class BucketWriter(StoreWriter):
    """A store that is being written into a bucket: here first, and then there, a block at a time.

    Parameters
    ----------
    mirror : Mirror
        The store.
    spec : Spec
        Its spec, the bucket's.
    siblings : sequence of FeatureStore
        Stores that rows can be taken from.
    """

    def __init__(self, mirror: Mirror, spec: Spec, siblings: Sequence[FeatureStore] = ()) -> None:
        super().__init__(mirror.path, spec, siblings)
        self._mirror = mirror
        self._leases: dict[int, Lease] = {}
        self._seen: dict[int, Seen] = {}
        self._looked: dict[int, float] = {}

    def claim(self, block: int) -> BlockWriter | None:
        """Take a block for this process, as far as can be told; None if it is committed, or another has it.

        Raises
        ------
        BucketError
            The bucket refuses or does not answer.
        StoreError
            The copy can't be written.
        """
        if commit_file(self.path, block).is_file() or self._looked.get(block, 0.0) > time.monotonic():
            return None
        if self._mirror.settle(self.spec, block):
            return None
        name = f"{self._mirror.folder}/lease/{block}.json"
        lease = Lease.take(self._mirror.bucket, name, self._seen.setdefault(block, Seen()))
        if lease is None:
            self._looked[block] = time.monotonic() + SECONDS_BETWEEN_LOOKS
            return None
        self._leases[block] = lease
        claimed = None
        try:
            # Whoever had the lease before may have committed the block since it was looked for.
            if not self._mirror.settle(self.spec, block):
                claimed = super().claim(block)
        finally:
            if claimed is None:
                lease.release()
        return claimed

    def others(self) -> str:
        """Say who writes the blocks that are still missing."""
        elsewhere = [block for block in self.pending()[:3] if block in self._looked]
        said = ", ".join(
            f"row block {block} of store {self.key[:12]}, which another machine writes" for block in elsewhere
        )
        return said or super().others()

    def seal(self) -> FeatureStore:
        """Send what the bucket lacks yet, then make the copy complete and open it; see `StoreWriter.seal`."""
        self._mirror.settle_all(self.spec, wait=True)
        return super().seal()

    def _claimed(self, block: int, lock: Lock) -> BlockWriter:
        return LeasedBlock(self._mirror, self.spec, block, lock, self._reuse, self._leases.pop(block))


class LeasedBlock(BlockWriter):
    """One claimed row block of a store in a bucket; see `BlockWriter`."""

    def __init__(self, mirror: Mirror, spec: Spec, block: int, lock: Lock, reuse: Reuse, lease: Lease) -> None:
        super().__init__(mirror.path, spec, block, lock, reuse)
        self._mirror, self._lease = mirror, lease
        self._sending = False

    def put(self, rows: Sequence[int], features: Mapping[str, np.ndarray]) -> None:
        """Supply the features of some rows, and let the lease hold on; see `BlockWriter.put`."""
        super().put(rows, features)
        self._lease.renew()

    def commit(self) -> None:
        """Commit the block here, and then in the bucket, where another's may be first: then it is that one.

        Raises
        ------
        StoreError
            Rows are missing, or the disk or the bucket refuses; what was committed here is sent the next time.
        """
        self._sending = True
        try:
            super().commit()
            self._mirror.settle(self._spec, self._block, wait=True)
        finally:
            self._sending = False
            self.close()

    def close(self) -> None:
        """Give the claim back, and the lease, too, once the block is in the bucket or given up."""
        super().close()
        if not self._sending:
            self._lease.release()
