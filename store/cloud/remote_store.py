"""A store in a bucket, read where it is: the columns that are asked for are fetched by ranges, and nothing is kept.

A feature of a row block lies in one piece, and has a checksum of its own. So a few hundred columns of a hundred
thousand cost a few hundred ranges of every block; each is checked when it arrives.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import google_crc32c
import numpy as np
from head2toe.store.cloud.address import Address
from head2toe.store.cloud.bucket import CHUNK, Bucket
from head2toe.store.cloud.mirror import DAMAGED, Mirror
from head2toe.store.cloud.record import Record, in_parallel
from head2toe.store.cloud.refusals import BucketError
from head2toe.store.common.errors import BadRequest, DataError
from head2toe.store.format.damage import is_key
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.format.layout import Spec, sums_name
from head2toe.store.reading.design import DEFAULT_BYTES, Block, Span
from head2toe.store.reading.design_matrix import DesignMatrix
from head2toe.store.reading.mapping import RunningChecksum
from head2toe.store.reading.row_map import rows_of
from numpy.typing import ArrayLike


class RemoteStore:
    """A complete store in a bucket. `RemoteStore.open` makes one; `DesignMatrix.of` takes it like a store of files.

    Attributes
    ----------
    key : str
        The hash that is the store's name.
    identity : mapping
        Everything but the images that determines the numbers.
    images : tuple of str
        Sha256 (hex) of each row's image.
    layers : LayerIndex
        Which columns belong to which layer.
    dtypes : tuple of str
        What each layer is read as, "float16" or "float32", in the layers' order.
    rows_per_block : int
        How many rows a block holds.
    """

    def __init__(self, mirror: Mirror, spec: Spec, records: Sequence[Record]) -> None:
        self._mirror, self._spec, self._records = mirror, spec, records
        self._commits = [mirror.commit_of(spec, block, record) for block, record in enumerate(records)]
        self.key, self.identity, self.images = spec.key, spec.identity, spec.images
        self.layers: LayerIndex = spec.layers
        self.rows_per_block = spec.rows_per_block
        stored = [{commit.places[layer].dtype for commit in self._commits} for layer in range(len(spec.layers))]
        self.dtypes = tuple("float32" if "float32" in dtypes else "float16" for dtypes in stored)
        self._sums: dict[int, np.ndarray] = {}
        self._whole: dict[int, np.ndarray] = {}  # of one layer: the row blocks that were asked for as a whole
        self._layer = -1

    @classmethod
    def open(cls, root: str, key: str) -> "RemoteStore":
        """Open a store of a bucket.

        Parameters
        ----------
        root : str
            The URL of the stores, as of `--store`.
        key : str
            The store's whole key, as `head2toe store ls --json` shows it.

        Raises
        ------
        BadRequest
            The URL or the key makes no sense.
        BucketError
            The bucket refuses, does not answer, or what is there is damaged.
        DataError
            The bucket has no such store, or not all of its blocks.
        MissingExtra
            obstore is not installed.
        """
        address = Address.of(root)
        if address is None or not is_key(key):
            raise BadRequest(f"a store in a bucket is opened by a URL (s3://…) and a whole key, not {root!r}, {key!r}")
        with tempfile.TemporaryDirectory() as place:
            mirror = Mirror(Bucket(address, ""), Path(place), key)
            record = Record.read(mirror.bucket, f"{mirror.folder}/spec.json")
            if record is None:
                raise DataError(
                    f"{address.url}: has no store {key[:12]}: `head2toe store ls --store` shows those it has"
                )
            spec = mirror.spec_of(record, Path(place) / key)
        found: dict[int, Record] = {}

        def read(block: int) -> None:
            if (record := Record.read(mirror.bucket, f"{mirror.folder}/commit/{block}.json")) is not None:
                found[block] = record

        in_parallel(read, range(spec.n_blocks))
        if len(found) < spec.n_blocks:
            raise DataError(
                f"{address.url}: store {key[:12]} has {len(found)} of {spec.n_blocks} row blocks: extract the rest"
            )
        return cls(mirror, spec, [found[block] for block in range(spec.n_blocks)])

    @property
    def n_rows(self) -> int:
        """Number of rows, one an image."""
        return len(self.images)

    @cached_property
    def _row_by_image(self) -> Mapping[str, int]:
        return {image: row for row, image in enumerate(self.images)}

    def rows_of(self, images: Sequence[str]) -> np.ndarray:
        """Find the row number of each image, int64; raises `DataError` naming one that isn't there."""
        return rows_of(images, self._row_by_image, f"{self._mirror.bucket.url}/{self._mirror.folder}")

    def columns(self, indices: ArrayLike) -> np.ndarray:
        """Read some features of all rows: (k, n_rows) float32, in the order asked for; see `FeatureStore.columns`."""
        return DesignMatrix.of([self], self.images).columns(np.asarray(indices))

    def stream(self, *, max_bytes: int = DEFAULT_BYTES, within: Span | None = None) -> Iterator[Block]:
        """Read all features of all rows, a layer at a time; see `DesignMatrix.stream`."""
        return DesignMatrix.of([self], self.images).stream(max_bytes=max_bytes, within=within)

    def features(self, layer: int, block: int, features: "slice | np.ndarray") -> np.ndarray:
        """Fetch some features of a layer's row block, (k, R), each compared with its checksum.

        Raises
        ------
        BucketError
            The bucket refuses, does not answer, or a feature isn't what was written.
        """
        record, place = self._records[block], self._commits[block].places[layer]
        wanted = np.arange(self.layers.widths[layer])[features]
        numbers, position = np.unique(wanted, return_inverse=True)
        kind = np.dtype(place.dtype).newbyteorder("<")
        stride = self.rows_per_block * kind.itemsize
        runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1) if len(numbers) else []
        parts = self._mirror.bucket.ranges(
            self._mirror.object_of(record, place.file),
            [place.offset + int(run[0]) * stride for run in runs],
            [len(run) * stride for run in runs],
            DAMAGED,
        )
        values = np.frombuffer(b"".join(parts), kind).reshape(len(numbers), self.rows_per_block)
        sums = self._checksums(block)[self.layers.offsets[layer] + numbers]
        for number, value, expected in zip(numbers, values, sums, strict=True):
            if google_crc32c.value(value) != expected:
                where = f"{self._mirror.bucket.url}/{self._mirror.object_of(record, place.file)}"
                raise BucketError(f"{where}: feature {number}: not what was written (CRC-32C): {DAMAGED}")
        return values[position].astype(self.dtypes[layer], copy=False)

    def block(self, layer: int, block: int) -> np.ndarray:
        """Fetch a layer's row block, (width, R); those of one layer are kept, until another's is asked for."""
        if self._layer != layer:
            self._layer, self._whole = layer, {}
        if block not in self._whole:
            width, stride = self.layers.widths[layer], 4 * self.rows_per_block
            at_once = max(1, CHUNK // stride)
            whole = np.empty((width, self.rows_per_block), self.dtypes[layer])

            def fetch(span: Span) -> None:
                whole[slice(*span)] = self.features(layer, block, slice(*span))

            in_parallel(fetch, list(pairwise([*range(0, width, at_once), width])))
            self._whole[block] = whole
        return self._whole[block]

    def check(self, layer: int, block: int) -> None:
        """Do nothing: all that is fetched is compared with its checksum."""

    def running_checksum(self, layer: int, block: int) -> "RunningChecksum | None":  # noqa: ARG002
        """Return None: all that is fetched is compared with its checksum."""
        return None

    def read_ahead(self, layer: int, block: int, start: int, stop: int) -> None:
        """Do nothing: a layer is fetched as a whole."""

    def _checksums(self, block: int) -> np.ndarray:
        """The CRC-32C of every feature of a row block, (n_features,) uint32, fetched once."""
        if block not in self._sums:
            record, name = self._records[block], sums_name(block)
            size = {file.path: file for file in self._commits[block].files}
            if name not in size:
                raise BucketError(
                    f"{self._mirror.bucket.url}: store {self.key[:12]} was written before features had checksums: "
                    "copy it (`head2toe store info`), and open the copy"
                )
            body = self._mirror.bucket.ranges(self._mirror.object_of(record, name), [0], [size[name].nbytes], DAMAGED)[
                0
            ]
            if google_crc32c.value(body) != size[name].crc32c or len(body) != 4 * self.layers.n_features:
                raise BucketError(f"{self._mirror.bucket.url}: {name} isn't what was written (CRC-32C): {DAMAGED}")
            self._sums[block] = np.frombuffer(body, "<u4")
        return self._sums[block]
