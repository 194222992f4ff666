"""Commit records: per row block, which files hold it, how long they are and what their checksums are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from head2toe.store.common.errors import StoreError
from head2toe.store.common.files import read_record, write_record
from head2toe.store.format.key import DTYPES, FORMAT_VERSION
from head2toe.store.format.layout import Spec, commit_file, damaged


@dataclass(frozen=True)
class BlockFile:
    """A file of a committed block: path relative to the store, size, CRC-32C."""

    path: str
    nbytes: int
    crc32c: int


@dataclass(frozen=True)
class Place:
    """Where one layer of one block lies: (width, R) values in C order, little endian, from `offset` in `file`."""

    file: str
    offset: int
    dtype: str


@dataclass(frozen=True)
class Commit:
    """The commit record of a block.

    Attributes
    ----------
    places
        One a layer, in the spec's order.
    reasons
        Why a layer that was to be float16 stayed float32, by name.
    generation
        0 as extracted; 1 after sealing widened some layers of this block.
    """

    block: int
    files: tuple[BlockFile, ...]
    places: tuple[Place, ...]
    reasons: Mapping[str, str] = field(default_factory=dict)
    generation: int = 0
    reused: int = 0

    def places_of(self, file: str) -> list[Place]:
        """Where the layers in one file lie."""
        return [place for place in self.places if place.file == file]

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return sum(file.nbytes for file in self.files)

    def to_json(self, spec: Spec) -> dict[str, Any]:
        """The record as it is written."""
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
            "float32_because": dict(self.reasons),
        }

    def write(self, path: Path, spec: Spec, *, exclusive: bool = True) -> bool:
        """Make the block committed; False if it was already (and `exclusive`)."""
        return write_record(commit_file(path, self.block), self.to_json(spec), exclusive=exclusive)

    @classmethod
    def read(cls, path: Path, spec: Spec, block: int) -> "Commit | None":
        """The record of a block, or None if the block isn't committed.

        Raises
        ------
        StoreError
            The record is damaged or belongs to another store.
        """
        file = commit_file(path, block)
        if not file.is_file():
            return None
        content = read_record(file)
        rows = spec.block_rows(block)
        try:
            if (content["key"], content["block"], content["rows"]) != (spec.key, block, [rows.start, rows.stop]):
                raise damaged(file, "belongs to another store or block")
            commit = cls(
                block=block,
                files=tuple(BlockFile(str(name), int(size), int(crc)) for name, size, crc in content["files"]),
                places=tuple(Place(str(name), int(offset), str(dtype)) for name, offset, dtype in content["layers"]),
                reasons=dict(content["float32_because"]),
                generation=int(content["generation"]),
                reused=int(content["reused"]),
            )
            commit._check(spec)
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(file, f"bad or missing field ({error})") from error
        return commit

    def _check(self, spec: Spec) -> None:
        """Every layer's bytes must lie inside its file: what is mapped later is what was checked here."""
        sizes = {file.path: file.nbytes for file in self.files}
        if len(self.places) != len(spec.layers):
            raise ValueError(f"{len(self.places)} layers instead of {len(spec.layers)}")
        for place, width in zip(self.places, spec.layers.widths, strict=True):
            if place.dtype not in DTYPES:
                raise ValueError(f"dtype {place.dtype!r}")
            nbytes = width * spec.rows_per_block * (2 if place.dtype == "float16" else 4)
            if place.offset < 0 or place.offset + nbytes > sizes[place.file]:
                raise ValueError(f"{place.file} is too short for its layer")
        if any(name.startswith("/") or ".." in Path(name).parts for name in sizes):
            raise ValueError("a file outside the store")

    def check_sizes(self, path: Path) -> None:
        """Every file must be there in its full size; raises `StoreError` naming the first that isn't."""
        for file in self.files:
            where = path / file.path
            try:
                size = where.stat().st_size
            except FileNotFoundError as error:
                raise damaged(where, "missing") from error
            except OSError as error:
                raise StoreError(f"{where}: {error.strerror}") from error
            if size != file.nbytes:
                raise damaged(where, f"truncated or overwritten ({size} bytes instead of {file.nbytes})")


def layer_dtypes(spec: Spec, commits: Sequence[Commit]) -> tuple[str, ...]:
    """The one dtype of every layer of a sealed store; raises `StoreError` if its blocks don't agree."""
    agreed = {tuple(place.dtype for place in commit.places) for commit in commits}
    if len(agreed) != 1:
        raise StoreError(f"store {spec.key[:12]}: blocks of different dtypes; extract again, which seals it")
    return agreed.pop()
