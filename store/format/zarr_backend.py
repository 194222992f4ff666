"""Row blocks as the chunks of a zarr v3 group: one array of shape (N, width) a layer, one chunk a block.

`transpose` + `bytes` is all there is of codecs, so that a chunk file is (width, R) values in C order, and nothing else:
what we map and what every zarr reader decodes are the same bytes. zarr-python itself is needed for the metadata alone.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import zarr
from head2toe.store.common.files import ANOTHER_ROOT, explained, make_folders, sync_folder, write_bytes
from head2toe.store.format.commits import Commit, Place, layer_dtypes
from head2toe.store.format.damage import take_away
from head2toe.store.format.layout import Spec, folder_name
from zarr.abc.buffer import Buffer
from zarr.codecs import TransposeCodec
from zarr.storage import MemoryStore

GROUP = "data.zarr"
"""The folder of the group."""

METADATA = "zarr.json"
"""The file that describes the group, and in each array's folder the array."""


class ZarrBackend:
    """One file per layer and block: ``data.zarr/<layer>/c.<block>.0``."""

    def create(self, path: Path, spec: Spec) -> None:
        """Make a folder for every layer."""
        for name in spec.layers.names:
            make_folders(path / GROUP / folder_name(name))
        sync_folder(path / GROUP)

    def place(self, spec: Spec, block: int, dtypes: Sequence[str], partial: Callable[[str], Path]) -> tuple[Place, ...]:  # noqa: ARG002
        """Place every layer at the beginning of a file of its own, which needs nothing else."""
        return tuple(Place(file, 0, dtype) for file, dtype in zip(self.block_files(spec, block), dtypes, strict=True))

    def block_files(self, spec: Spec, block: int) -> tuple[str, ...]:
        """Name the block's files, one chunk a layer."""
        return tuple(f"{GROUP}/{folder_name(name)}/c.{block}.0" for name in spec.layers.names)

    def index(self, path: Path, spec: Spec, commits: Sequence[Commit]) -> tuple[str, ...]:
        """Write every array's zarr.json, and the group's last: before that, nobody can open it."""
        files = _metadata_files(spec, layer_dtypes(spec, commits))
        names = sorted(files, key=len, reverse=True)
        with explained(path / GROUP, ANOTHER_ROOT):
            for name in names:
                write_bytes(path / GROUP / name, files[name])
        return tuple(f"{GROUP}/{name}" for name in names)

    def index_files(self, spec: Spec) -> tuple[str, ...]:
        """Name the zarr.json of the group, then those of the arrays."""
        arrays = (f"{GROUP}/{folder_name(layer)}/{METADATA}" for layer in spec.layers.names)
        return (f"{GROUP}/{METADATA}", *arrays)

    def unindex(self, path: Path, spec: Spec) -> None:
        """Remove the group's zarr.json first, then those of the arrays."""
        for name in self.index_files(spec):
            take_away(path / name)
        sync_folder(path / GROUP)


def _metadata_files(spec: Spec, dtypes: Sequence[str]) -> dict[str, bytes]:
    """Make the zarr.json files of a store, by their path in the group, as zarr-python itself writes them."""
    written: dict[str, Buffer] = {}
    attributes = {"key": spec.key, "identity": dict(spec.identity), "layers": list(spec.layers.names)}
    group = zarr.create_group(MemoryStore(written), zarr_format=3, attributes=attributes)
    for name, width, dtype in zip(spec.layers.names, spec.layers.widths, dtypes, strict=True):
        group.create_array(
            folder_name(name),
            shape=(spec.n_rows, width),
            chunks=(spec.rows_per_block, width),
            dtype=dtype,
            fill_value=np.nan,
            filters=[TransposeCodec(order=(1, 0))],
            compressors=None,
            chunk_key_encoding={"name": "default", "separator": "."},
            dimension_names=("image", f"{name} feature"),
            attributes={"layer": name},
            config={"write_empty_chunks": True},
        )
    return {name: buffer.to_bytes() for name, buffer in written.items()}
