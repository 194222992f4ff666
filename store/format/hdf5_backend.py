"""Row blocks as HDF5 files: one file a block, and a virtual dataset over all of them as the index.

Never one growing file: a writer killed while HDF5 holds unflushed metadata loses every acknowledged chunk. Each layer
is one contiguous, page-aligned (width, R) dataset, so that its bytes can be mapped without the library.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from head2toe.store.common.files import (
    ANOTHER_ROOT,
    explained,
    make_folders,
    partial_name,
    share,
    sync_file,
    sync_folder,
)
from head2toe.store.common.fingerprint import canonical
from head2toe.store.format.commits import Commit, Place, layer_dtypes
from head2toe.store.format.damage import take_away
from head2toe.store.format.layout import Spec, folder_name

BLOCKS = "blocks"
"""The folder of the blocks' files."""

INDEX = "blocks/index.h5"
"""The file that shows all blocks as one."""


class Hdf5Backend:
    """One file per block: ``blocks/<block>.h5``, with one dataset a layer."""

    def create(self, path: Path, spec: Spec) -> None:  # noqa: ARG002
        """Make the folder of the blocks."""
        make_folders(path / BLOCKS)
        sync_folder(path)

    def place(self, spec: Spec, block: int, dtypes: Sequence[str], partial: Callable[[str], Path]) -> tuple[Place, ...]:
        """Create the block's file with every dataset allocated; its bytes are written past the library."""
        (name,) = self.block_files(spec, block)
        rows = spec.block_rows(block)
        places = []
        file_format: dict[str, Any] = {
            "libver": ("earliest", "v110"),
            "alignment_threshold": 1,
            "alignment_interval": 4096,
        }
        with _new_file(partial(name), **file_format) as file:
            file.attrs.update({"key": spec.key, "block": block, "first_row": rows.start, "rows": len(rows)})
            for layer, width, dtype in zip(spec.layers.names, spec.layers.widths, dtypes, strict=True):
                creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                creation.set_layout(h5py.h5d.CONTIGUOUS)
                creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
                creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
                creation.set_obj_track_times(False)  # the same features give the same bytes
                space = h5py.h5s.create_simple((width, spec.rows_per_block))
                kind = h5py.h5t.py_create(np.dtype(dtype).newbyteorder("<"))
                dataset = h5py.h5d.create(file.id, folder_name(layer).encode(), kind, space, creation)
                places.append(Place(name, int(dataset.get_offset()), dtype))
        return tuple(places)

    def block_files(self, spec: Spec, block: int) -> tuple[str, ...]:  # noqa: ARG002
        """Name the block's one file, which holds all layers."""
        return (f"{BLOCKS}/{block}.h5",)

    def index(self, path: Path, spec: Spec, commits: Sequence[Commit]) -> tuple[str, ...]:
        """Write index.h5, which has for each layer a virtual (width, N) dataset over the blocks."""
        dtypes = layer_dtypes(spec, commits)
        target = path / INDEX
        partial = partial_name(target)
        with explained(target, ANOTHER_ROOT), _removed_if_left(partial):
            with _new_file(partial, libver=("v110", "v110"), track_order=True) as file:
                file.attrs.update({"key": spec.key, "identity": canonical(spec.identity)})
                for name, width, dtype in zip(spec.layers.names, spec.layers.widths, dtypes, strict=True):
                    dataset = _virtual_dataset(file, spec, name, width, dtype)
                    dataset.attrs["layer"] = name
                    dataset.dims[0].label, dataset.dims[1].label = f"{name} feature", "image"
            share(partial, target.parent)
            sync_file(partial)
            partial.replace(target)
            sync_folder(target.parent)
        return (INDEX,)

    def index_files(self, spec: Spec) -> tuple[str, ...]:  # noqa: ARG002
        """Name index.h5."""
        return (INDEX,)

    def unindex(self, path: Path, spec: Spec) -> None:  # noqa: ARG002
        """Remove index.h5."""
        take_away(path / INDEX)
        sync_folder(path / BLOCKS)


@contextmanager
def _new_file(path: Path, **options: Any) -> Iterator[h5py.File]:
    """Write a new HDF5 file; what the operating system refuses is an `OSError` whenever the library finds out.

    It tells of a full disk by a `RuntimeError` when the file is closed.
    """
    try:
        with h5py.File(path, "w-", **options) as file:
            yield file
    except RuntimeError as error:
        if (number := re.search(r"errno = (\d+)", str(error))) is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


@contextmanager
def _removed_if_left(partial: Path) -> Iterator[None]:
    try:
        yield
    finally:
        partial.unlink(missing_ok=True)


def _virtual_dataset(file: h5py.File, spec: Spec, layer: str, width: int, dtype: str) -> h5py.Dataset:
    """Create the dataset of a layer: all blocks side by side by rows, without the last one's padding.

    By the low-level interface, for `create_virtual_dataset` writes the time of creation into the file, and the same
    blocks are to give the same bytes.
    """
    name = folder_name(layer)
    kind = np.dtype(dtype).newbyteorder("<")
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.VIRTUAL)
    creation.set_obj_track_times(False)
    creation.set_fill_value(np.full(1, np.nan, kind))
    all_rows = h5py.h5s.create_simple((width, spec.n_rows))
    of_block = h5py.h5s.create_simple((width, spec.rows_per_block))
    literal = name.replace("%", "%%").encode()  # HDF5 reads the name of a source as a printf format
    for block in range(spec.n_blocks):
        rows = spec.block_rows(block)
        all_rows.select_hyperslab((0, rows.start), (width, len(rows)))
        of_block.select_hyperslab((0, 0), (width, len(rows)))
        creation.set_virtual(all_rows, f"{block}.h5".encode(), literal, of_block)
    all_rows.select_all()
    return h5py.Dataset(h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(kind), all_rows, creation))
