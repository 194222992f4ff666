"""The copy of a bucket's stores on this machine: every block is brought into line with the bucket.

The bucket's commit record decides. A block that is there is fetched; one that is here alone is sent, and if another
writer's was first, it is replaced by that one. So all copies have the same bytes, and sealing, which happens in each
copy for itself, makes the same of them. A sealed store is whole, and the bucket is not asked about it any more.
"""

import tempfile
from pathlib import Path
from typing import Any

from head2toe.store.cloud.address import ANOTHER_CACHE
from head2toe.store.cloud.bucket import Bucket
from head2toe.store.cloud.record import Record, in_parallel
from head2toe.store.cloud.refusals import BucketError
from head2toe.store.common.files import explained, make_folders, sync_folder
from head2toe.store.console.progress import Counter, progress
from head2toe.store.format.backends import backend
from head2toe.store.format.commits import BlockFile, Commit
from head2toe.store.format.damage import store_name
from head2toe.store.format.layout import Spec, commit_file, images_file, lock_file, seal_file, spec_file, sums_name
from head2toe.store.format.records import read_record, write_record
from head2toe.store.management.catalogue import create_store
from head2toe.store.reading.store_lock import Lock, holder
from head2toe.store.writing.waiting import Waiting

_MOST_IMAGES = 1 << 28  # bytes of the list of images
DAMAGED = "remove the record of its block (commit/*.json) from the bucket, and extract again"
"""What to do about an object of a store that is not what its record says."""


class Mirror:
    """One store of a bucket, and its copy.

    Parameters
    ----------
    bucket : Bucket
        The bucket.
    root : Path
        The root of the copies.
    key : str
        The store's name.

    Attributes
    ----------
    path : Path
        The copy's folder.
    """

    def __init__(self, bucket: Bucket, root: Path, key: str) -> None:
        self.bucket, self.root, self.key = bucket, root, key
        self.folder = f"{key[:2]}/{key}"
        self.path = root / self.folder
        self._settled: set[int] = set()

    def begin(self, wanted: Spec | None = None) -> Spec | None:
        """Agree with the bucket on what the store is, and make the copy's folder.

        Parameters
        ----------
        wanted : Spec, optional
            What to put into the bucket if the store is not there; without it, nothing is put.

        Returns
        -------
        Spec or None
            The bucket's, which may have other rows per block or another order of images; None if it has no such store.

        Raises
        ------
        BucketError
            The bucket refuses or does not answer, or the copy is of another store than the bucket's.
        """
        record = Record.read(self.bucket, f"{self.folder}/spec.json")
        if record is None and wanted is not None:
            record = self._publish(wanted)
        if record is None:
            return None
        with explained(self.root, ANOTHER_CACHE):
            make_folders(self.root)
            with tempfile.TemporaryDirectory(dir=self.root, prefix="tmp.") as folder:
                spec = self.spec_of(record, Path(folder) / self.key)
        if not spec_file(self.path).is_file():
            create_store(self.root, self.path, spec)
        elif read_record(spec_file(self.path)) != record.content:
            raise BucketError(
                f"{self.path}: is a copy of a store that {self.bucket.url} no longer has, for it has begun it anew: "
                f"remove the copy with `head2toe store rm {store_name(self.path)}`"
            )
        return spec

    def settle_all(self, spec: Spec, *, wait: bool = False) -> None:
        """Settle every block that is here or in the bucket; with `wait`, also those that another process is writing."""
        if seal_file(self.path).is_file():
            return
        blocks = [block for block in range(spec.n_blocks) if block not in self._settled]
        with progress(f"fetching {self.key[:12]}", unit="block") as report:
            counter = Counter(report, len(blocks))
            for block in blocks:
                self.settle(spec, block, wait=wait)
                counter.add()

    def settle(self, spec: Spec, block: int, *, wait: bool = False) -> bool:
        """Bring one block into line with the bucket.

        Parameters
        ----------
        spec : Spec
            The store's spec.
        block : int
            The block.
        wait : bool
            Whether to wait for another process of this machine that is writing the block.

        Returns
        -------
        bool
            Whether the block is here and in the bucket.

        Raises
        ------
        BucketError
            The bucket refuses or does not answer.
        StoreError
            The copy is damaged, or can't be written.
        """
        if block in self._settled:
            return True
        file, waiting = lock_file(self.path, block), Waiting()
        while (lock := Lock.take(file)) is None:
            if not wait:
                return False
            waiting.pause(0.1, lambda: f"row block {block} of store {self.key[:12]}, which {holder(file)} has")
        with lock:
            if seal_file(self.path).is_file() or self._settle(spec, block):
                self._settled.add(block)
        return block in self._settled

    def _settle(self, spec: Spec, block: int) -> bool:
        """Do the work of `settle`, with the block's lock held."""
        name = f"commit/{block}.json"
        theirs = Record.read(self.bucket, f"{self.folder}/{name}")
        ours = Commit.read(self.path, spec, block)
        if theirs is None:
            if ours is None:
                return False
            ours.check_sizes(self.path)
            files = {file.path: self.path / file.path for file in ours.files}
            theirs = Record.publish(self.bucket, self.folder, name, ours.to_json(spec), files)
        # A block is widened when all blocks have been settled, and this one was among them.
        if ours is None or (ours.generation == 0 and ours.to_json(spec) != theirs.content):
            self._fetch(spec, block, theirs)
        return True

    def _fetch(self, spec: Spec, block: int, record: Record) -> None:
        """Put a block of the bucket's in place of what is here."""
        file, commit = commit_file(self.path, block), self.commit_of(spec, block, record)
        with explained(self.path, ANOTHER_CACHE):
            file.unlink(missing_ok=True)  # first: a block whose files are being replaced is not there
            sync_folder(file.parent)
            for one in commit.files:
                make_folders((self.path / one.path).parent)

            def fetch(one: BlockFile) -> None:
                self._object(record, one.path, self.path / one.path, one.nbytes, one.crc32c)

            in_parallel(fetch, commit.files)
            write_record(file, record.content)

    def commit_of(self, spec: Spec, block: int, record: Record) -> Commit:
        """Read the commit of a block in its record in the bucket; raises `StoreError` if it is none."""
        where = f"{self.bucket.url}/{self.folder}/commit/{block}.json"
        commit = Commit.of_record(record.content, spec, block, Path(where))
        known = {*backend(spec.format).block_files(spec, block), sums_name(block)}
        if not {one.path for one in commit.files} <= known & record.objects.keys():
            raise BucketError(f"{where}: names files that no block has")
        return commit

    def _object(self, record: Record, name: str, file: Path, nbytes: int, crc: int) -> None:
        """Fetch the object of a file that a record speaks of."""
        self.bucket.download(self.object_of(record, name), file, nbytes, crc.__eq__, lambda _: None, DAMAGED)

    def object_of(self, record: Record, name: str) -> str:
        """Return the name in the bucket of the object that holds a file; raises `BucketError` if it is no data."""
        where = record.objects[name]
        if not where.startswith("data/") or ".." in where.split("/"):
            raise BucketError(
                f"{self.bucket.url}/{self.folder}: a record names {where[:80]!r}, which is no data of its own"
            )
        return f"{self.folder}/{where}"

    def _publish(self, spec: Spec) -> Record:
        """Put a spec into the bucket, unless another writer is first."""
        with explained(self.root, ANOTHER_CACHE):
            make_folders(self.root)
            with tempfile.TemporaryDirectory(dir=self.root, prefix="tmp.") as folder:
                spec.write(Path(folder))
                content = read_record(spec_file(Path(folder)))
                files = {"images.txt": images_file(Path(folder))}
                return Record.publish(self.bucket, self.folder, "spec.json", content, files)

    def spec_of(self, record: Record, folder: Path) -> Spec:
        """Read the bucket's spec as if it lay in a folder, with all that is looked at there.

        Parameters
        ----------
        record : Record
            The bucket's record of it.
        folder : Path
            Where to put the spec; it must not exist.

        Raises
        ------
        BucketError
            The bucket refuses, does not answer, or holds something else.
        """
        folder.mkdir()
        rows: Any = record.content.get("rows")
        if type(rows) is not int or not 0 < 65 * rows <= _MOST_IMAGES or "images.txt" not in record.objects:
            raise BucketError(f"{self.bucket.url}/{self.folder}/spec.json: damaged: remove it, and extract again")
        images = record.content.get("images_crc32c")
        self._object(record, "images.txt", images_file(folder), 65 * rows, images if type(images) is int else -1)
        write_record(spec_file(folder), record.content)
        spec = Spec.read(folder)
        if spec.key != self.key:
            raise BucketError(f"{self.bucket.url}/{self.folder}/spec.json: is of another store: remove it")
        return spec
