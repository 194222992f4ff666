"""What a backend is. Both lay out the same bytes; they differ in the files these lie in, and in the metadata around."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from head2toe.store.common.errors import BadRequest
from head2toe.store.format.commits import Commit, Place
from head2toe.store.format.layout import Spec

FORMATS = ("zarr", "hdf5")


class Backend(Protocol):
    """How one file format holds row blocks. Stateless; every method takes the store's folder and spec."""

    def create(self, path: Path, spec: Spec) -> None:
        """Make the folders that blocks will be written into."""

    def place(self, spec: Spec, block: int, dtypes: Sequence[str], partial: Callable[[str], Path]) -> tuple[Place, ...]:
        """Decide where each layer of a block lies, and create files that need more than their layers' bytes.

        `partial` gives the temporary path at which a file (by its name relative to the store) is to be written.
        """

    def block_files(self, spec: Spec, block: int) -> tuple[str, ...]:
        """Names, relative to the store, of all files a block may consist of."""

    def index(self, path: Path, spec: Spec, commits: Sequence[Commit]) -> tuple[str, ...]:
        """Write the metadata that lets any other reader of the format open the store; returns the files' names."""

    def unindex(self, path: Path, spec: Spec) -> None:
        """Take the metadata away again, so that no other reader takes a store under repair for a whole one."""


def backend(format: str) -> Backend:
    """The backend of a format. Raises `BadRequest` for one there isn't."""
    if format == "zarr":
        from head2toe.store.format.zarr_backend import ZarrBackend

        return ZarrBackend()
    if format == "hdf5":
        from head2toe.store.format.hdf5_backend import Hdf5Backend

        return Hdf5Backend()
    raise BadRequest(f"no store format {format!r}; there are {', '.join(FORMATS)}")
