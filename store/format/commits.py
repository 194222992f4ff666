"""Commit records: for each row block, which files hold it, how long they are and what their checksums are."""

import errno
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from head2toe.store.common.errors import StoreError
from head2toe.store.common.files import ANOTHER_ROOT, explained
from head2toe.store.format.damage import damaged
from head2toe.store.format.key import DTYPES, FORMAT_VERSION
from head2toe.store.format.layout import Spec, commit_file, seal_file
from head2toe.store.format.records import read_record, write_record

_MOST_AROUND, _MOST_AROUND_LAYER = 1 << 20, 1 << 13  # bytes of a block's file that aren't features: HDF5's metadata


@dataclass(frozen=True)
class BlockFile:
    """A file of a committed block.

    Attributes
    ----------
    path : str
        Relative to the store's folder.
    nbytes : int
        The file's size.
    crc32c : int
        The checksum of the whole file.
    """

    path: str
    nbytes: int
    crc32c: int

    def fault(self, path: Path) -> str:
        """Say in a few words why the file in a store's folder can't be what was written; empty if it has its size.

        Raises
        ------
        OSError
            The operating system refuses to say, which is no fault of the file.
        """
        try:
            status = (path / self.path).stat()
        except FileNotFoundError:
            return "missing"
        except OSError as error:
            if error.errno == errno.ELOOP:
                return "a link that leads nowhere"
            raise
        if not stat.S_ISREG(status.st_mode):
            return "no regular file"
        if status.st_size != self.nbytes:
            return f"truncated or overwritten ({status.st_size} bytes instead of {self.nbytes})"
        return ""


@dataclass(frozen=True)
class Place:
    """Where one layer of one block lies: as (width, R) values in C order, little endian.

    Attributes
    ----------
    file : str
        Relative to the store's folder.
    offset : int
        The first byte in the file.
    dtype : {"float16", "float32"}
        What the values are.
    """

    file: str
    offset: int
    dtype: str


@dataclass(frozen=True)
class Commit:
    """The commit record of a block.

    Attributes
    ----------
    block : int
        The number of the block.
    files : tuple of BlockFile
        All files that hold it.
    places : tuple of Place
        One a layer, in the spec's order.
    float32_because : mapping
        The layers that were to be float16 and stayed float32, and why.
    generation : int
        0 as extracted, and one more for each time that sealing widened layers of this block.
    reused : int
        How many rows were copied from other stores.
    """

    block: int
    files: tuple[BlockFile, ...]
    places: tuple[Place, ...]
    float32_because: Mapping[str, str] = field(default_factory=dict)
    generation: int = 0
    reused: int = 0

    def places_of(self, file: str) -> list[Place]:
        """List the places of the layers that lie in one file."""
        return [place for place in self.places if place.file == file]

    @property
    def nbytes(self) -> int:
        """Bytes of all its files."""
        return sum(file.nbytes for file in self.files)

    def to_json(self, spec: Spec) -> dict[str, Any]:
        """Return the record as it is written."""
        rows = spec.block_rows(self.block)
        return {
            "format_version": FORMAT_VERSION,
            "key": spec.key,
            "block": self.block,
            "rows": [rows.start, rows.stop],
            "generation": self.generation,
            "reused": self.reused,
            "files": [[file.path, file.nbytes, file.crc32c] for file in self.files],
            "layers": [[place.file, place.offset, place.dtype] for place in self.places],
            "float32_because": dict(self.float32_because),
        }

    def write(self, path: Path, spec: Spec, *, exclusive: bool = True) -> bool:
        """Write the record, which makes the block committed.

        Parameters
        ----------
        path : Path
            The store's folder.
        spec : Spec
            The store's spec.
        exclusive : bool
            Whether a record that is there already stays; otherwise it is replaced.

        Returns
        -------
        bool
            False if a record was there already and stayed.
        """
        return write_record(commit_file(path, self.block), self.to_json(spec), exclusive=exclusive)

    @classmethod
    def read(cls, path: Path, spec: Spec, block: int) -> "Commit | None":
        """Read the record of a block; returns None if the block isn't committed.

        Raises
        ------
        StoreError
            The record is damaged or belongs to another store.
        """
        file = commit_file(path, block)
        with explained(file, ANOTHER_ROOT):
            present = file.exists()
        if not present:
            return None
        return cls.of_record(read_record(file), spec, block, file)

    @classmethod
    def of_record(cls, content: Mapping[str, Any], spec: Spec, block: int, file: Path) -> "Commit":
        """Make a commit of what a record holds, which was read from `file`; raises `Damaged` if it makes no sense."""
        rows = spec.block_rows(block)
        try:
            if (content["key"], content["block"], content["rows"]) != (spec.key, block, [rows.start, rows.stop]):
                raise damaged(file, "belongs to another store or block")
            commit = cls(
                block=block,
                files=tuple(BlockFile(str(name), int(size), int(crc)) for name, size, crc in content["files"]),
                places=tuple(Place(str(name), int(offset), str(dtype)) for name, offset, dtype in content["layers"]),
                float32_because={str(name): str(why) for name, why in content["float32_because"].items()},
                generation=int(content["generation"]),
                reused=int(content["reused"]),
            )
            commit._check(spec)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise damaged(file, f"bad or missing field ({error})") from error
        return commit

    def _check(self, spec: Spec) -> None:
        """Check that every layer's bytes lie inside its file, for later they are mapped without a look."""
        sizes = {file.path: file.nbytes for file in self.files}
        if len(self.places) != len(spec.layers):
            raise ValueError(f"{len(self.places)} layers instead of {len(spec.layers)}")
        for place, width in zip(self.places, spec.layers.widths, strict=True):
            if place.dtype not in DTYPES:
                raise ValueError(f"dtype {place.dtype!r}")
            nbytes = width * spec.rows_per_block * (2 if place.dtype == "float16" else 4)
            if place.offset < 0 or place.offset + nbytes > sizes[place.file]:
                raise ValueError(f"{place.file} is too short for its layer")
        for name in sizes:
            check_inside(name)
            layers = sum(
                width * spec.rows_per_block * (2 if place.dtype == "float16" else 4)
                for place, width in zip(self.places, spec.layers.widths, strict=True)
                if place.file == name
            )
            around = _MOST_AROUND + _MOST_AROUND_LAYER * len(spec.layers) + 4 * spec.layers.n_features
            if not layers <= sizes[name] <= layers + around:
                raise ValueError(f"{name} has {sizes[name]} bytes, of which {layers} are features")

    def check_sizes(self, path: Path) -> None:
        """Check that every file is there in its full size; raises `StoreError` naming the first that isn't."""
        for file in self.files:
            full_path = path / file.path
            with explained(full_path, ANOTHER_ROOT):
                fault = file.fault(path)
            if fault:
                raise damaged(full_path, fault)


def check_inside(name: str) -> None:
    """Check that a file named by a record lies in the store's folder; raises `ValueError` if it doesn't."""
    if not name or name.startswith("/") or ".." in Path(name).parts:
        raise ValueError(f"{name!r} is outside the store")


def read_commits(path: Path, spec: Spec) -> list[Commit]:
    """Read all commit records of a store.

    Raises
    ------
    StoreError
        A record is missing (the message says how many are) or damaged.
    """
    records = [Commit.read(path, spec, block) for block in range(spec.n_blocks)]
    absent = [block for block, record in enumerate(records) if record is None]
    if absent and seal_file(path).is_file():
        raise damaged(commit_file(path, absent[0]), "missing, though the store was complete")
    if absent:
        raise StoreError(
            f"{path}: not finished ({len(absent)} of {spec.n_blocks} row blocks missing, the first is {absent[0]}); "
            "run the extraction again, which takes up where it stopped"
        )
    return [record for record in records if record is not None]


def layer_dtypes(spec: Spec, commits: Sequence[Commit]) -> tuple[str, ...]:
    """Return the one dtype of every layer of a sealed store; raises `StoreError` if its blocks don't agree."""
    dtypes = {tuple(place.dtype for place in commit.places) for commit in commits}
    if len(dtypes) != 1:
        raise StoreError(f"store {spec.key[:12]}: blocks of different dtypes; extract again, which seals it")
    return dtypes.pop()
