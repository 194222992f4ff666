"""How much disk a store will need, which is checked before the backbone runs for an hour."""

import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from head2toe.store.common.errors import StoreError
from head2toe.store.common.files import ANOTHER_ROOT, explained, inodes_left
from head2toe.store.console.text import readable
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.format.layout import Spec

_METADATA = 1 << 16  # records, group metadata; images are counted apart
_FILES_OVERHEAD = 4096  # a file's last page, per layer and block


@dataclass(frozen=True)
class Estimate:
    """How many bytes a store will need.

    Attributes
    ----------
    nbytes : int
        Bytes of its files. A float16 store needs up to twice as much if layers turn out to need float32.
    scratch : int
        Bytes that each process needs beside them while it writes.
    files : int
        How many files it will have.
    """

    nbytes: int
    scratch: int
    files: int = 0


def remaining(spec: Spec, pending: Collection[int]) -> Estimate:
    """Estimate what the pending blocks of a store, by their numbers, will need."""
    whole = _estimate(spec.layers, spec.n_rows, spec.dtype, spec.rows_per_block)
    data_files = len(pending) * (3 + (len(spec.layers) if spec.format == "zarr" else 1))  # with record and lock
    metadata_files = 9 + (2 * len(spec.layers) if spec.format == "zarr" else 1)  # with folders
    return Estimate(
        whole.nbytes * len(pending) // spec.n_blocks, whole.scratch if pending else 0, data_files + metadata_files
    )


def require_space(root: Path, estimates: Sequence[Estimate], *, writers: int = 1) -> None:
    """Check that the root's disk has room for some stores.

    Parameters
    ----------
    root : Path
        The root folder, which need not be there yet.
    estimates : sequence of Estimate
        What each of the stores needs.
    writers : int
        How many processes write at once.

    Raises
    ------
    StoreError
        It has not; the message says what is needed and what is free, bytes or inodes.
    """
    needed = sum(estimate.nbytes + writers * estimate.scratch for estimate in estimates)
    existing = next(folder for folder in (root, *root.parents) if folder.exists())
    with explained(existing, ANOTHER_ROOT):
        free = shutil.disk_usage(existing).free
    if free < needed:
        raise StoreError(
            f"{root}: {readable(needed)} needed, {readable(free)} free: free some, choose another folder with "
            "--store DIR or HEAD2TOE_STORE, or take a smaller target size"
        )
    files, inodes = sum(estimate.files for estimate in estimates), inodes_left(existing)
    if inodes is not None and inodes < files:
        raise StoreError(
            f"{root}: {files} files needed, {inodes} inodes free (the disk has space, but no room for more files): "
            f"remove some files, {ANOTHER_ROOT}, or --format hdf5, which makes fewer"
        )


def _estimate(layers: LayerIndex, n_rows: int, dtype: str, rows_per_block: int) -> Estimate:
    n_blocks = -(-n_rows // rows_per_block)
    itemsize = 2 if dtype == "float16" else 4
    data = n_blocks * (layers.n_features * rows_per_block * itemsize + len(layers) * _FILES_OVERHEAD)
    scratch = layers.n_features * min(n_rows, rows_per_block) * 4
    return Estimate(data + n_rows * 65 + _METADATA, scratch)
