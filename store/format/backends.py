"""The two file formats. Both lay out the same bytes; they differ in the files these lie in and the metadata around."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from head2toe.store.common.errors import BadRequest
from head2toe.store.format.commits import Commit, Place
from head2toe.store.format.layout import FORMATS, Spec

__all__ = ["FORMATS", "Backend", "backend"]


class Backend(Protocol):
    """How one file format holds row blocks. A backend keeps no state: every method takes what it needs to know."""

    def create(self, path: Path, spec: Spec) -> None:
        """Make the folders that blocks will be written into, in the store's folder `path`."""

    def place(self, spec: Spec, block: int, dtypes: Sequence[str], partial: Callable[[str], Path]) -> tuple[Place, ...]:
        """Decide where each layer of a block lies, and create files that need more than their layers' bytes.

        Parameters
        ----------
        spec : Spec
            The store's spec.
        block : int
            The number of the block.
        dtypes : sequence of str
            The dtype of every layer.
        partial : callable
            Gives the temporary path at which a file (by its name relative to the store) is to be written.

        Returns
        -------
        tuple of Place
            One a layer, in the spec's order.
        """

    def block_files(self, spec: Spec, block: int) -> tuple[str, ...]:
        """List the files, by their names relative to the store, that a block may consist of."""

    def index(self, path: Path, spec: Spec, commits: Sequence[Commit]) -> tuple[str, ...]:
        """Write the metadata that lets any other reader of the format open the store; returns the files' names.

        Raises
        ------
        StoreError
            The blocks' dtypes differ, or a file can't be written.
        """

    def index_files(self, spec: Spec) -> tuple[str, ...]:
        """List the files of that metadata, by their names relative to the store."""

    def unindex(self, path: Path, spec: Spec) -> None:
        """Remove the metadata again, so that no other reader takes a store under repair for a whole one."""


def backend(format: str) -> Backend:
    """Return the backend of a format, by its name in `FORMATS`. Raises `BadRequest` for any other."""
    if format == "zarr":
        from head2toe.store.format.zarr_backend import ZarrBackend

        return ZarrBackend()
    if format == "hdf5":
        from head2toe.store.format.hdf5_backend import Hdf5Backend

        return Hdf5Backend()
    raise BadRequest(f"no store format {format!r}; there are {', '.join(FORMATS)}")
