"""What lies where in a store's folder, and the spec, which says what the store is (docs/store-format.md)."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import google_crc32c
from head2toe.store.common.errors import BadRequest, StoreError
from head2toe.store.common.files import ANOTHER_ROOT, explained, read_regular, write_bytes
from head2toe.store.common.fingerprint import canonical
from head2toe.store.format.damage import damaged, is_key, remedy
from head2toe.store.format.key import DTYPES, FORMAT_VERSION, store_key
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.format.records import read_record, write_record

FORMAT_NAME = "head2toe feature store"
"""What every spec begins with."""

FORMATS = ("zarr", "hdf5")
"""The names of the file formats."""

_MOST_ROWS_PER_BLOCK = 1 << 24
_WIDEST = 1 << 40  # features of all layers together


def store_path(root: Path, key: str) -> Path:
    """Return the folder of a store below the root."""
    return root / key[:2] / key


def spec_file(path: Path) -> Path:
    """Return the file that says what the store is (identity, rows, blocks, layers), written once, at its creation."""
    return path / "spec.json"


def images_file(path: Path) -> Path:
    """Return the file with the images' content hashes in row order, one a line."""
    return path / "images.txt"


def commit_file(path: Path, block: int) -> Path:
    """Return the commit record of a block, the only authority on whether the block is there."""
    return path / "commit" / f"{block}.json"


def sums_name(block: int) -> str:
    """Return the name, relative to the store, of a block's checksums: a little-endian uint32 for every feature."""
    return f"sums/{block}.crc32c"


def lock_file(path: Path, name: int | str) -> Path:
    """Return the file that writers of a block (by its number), or the sealing process ("seal"), hold a lock on."""
    return path / "lock" / str(name)


def seal_file(path: Path) -> Path:
    """Return the file whose presence says that the store is complete.

    Then all blocks are committed and of the same dtypes, and the file format's own metadata is written.
    """
    return path / "complete.json"


def folder_name(layer: str) -> str:
    """Percent-encode a layer's name where it must be, to stand in any file system, zarr group or HDF5 file.

    Raises
    ------
    BadRequest
        The name is too long for a file.
    """
    name = quote(layer, safe="")
    if name.startswith((".", "__")):
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if name == "zarr.json":
        name = "zarr%2Ejson"
    if len(name) > 200:
        raise BadRequest(f"layer name {layer[:40]!r}… is too long for a file name: give the tap a shorter one")
    return name


@dataclass(frozen=True)
class Spec:
    """What is fixed when a store is created.

    Attributes
    ----------
    key : str
        Sha256 (hex) of the identity and the set of images.
    identity : mapping
        Everything but the images that determines the numbers.
    images : tuple of str
        Sha256 (hex) of each image's content, in row order.
    layers : LayerIndex
        Which columns belong to which layer.
    rows_per_block : int
        R; block b holds rows ``b * R`` to ``min((b + 1) * R, n_rows)``.
    format : {"zarr", "hdf5"}
        The file format that holds the features.
    provenance : mapping
        What is recorded beside it and not part of the key, such as versions of packages.
    """

    key: str
    identity: Mapping[str, Any]
    images: tuple[str, ...]
    layers: LayerIndex
    rows_per_block: int
    format: str
    provenance: Mapping[str, Any]

    @property
    def n_rows(self) -> int:
        """Number of rows, one an image."""
        return len(self.images)

    @property
    def n_blocks(self) -> int:
        """Number of row blocks."""
        return -(-self.n_rows // self.rows_per_block)

    @property
    def dtype(self) -> str:
        """The dtype that was asked for: "float16" (where it is safe) or "float32" (always)."""
        return str(self.identity["dtype"])

    def block_rows(self, block: int) -> range:
        """Return the rows of a block. Raises `BadRequest` if there is no such block."""
        if not 0 <= block < self.n_blocks:
            raise BadRequest(f"store {self.key[:12]} has no block {block}: it has {self.n_blocks}")
        start = block * self.rows_per_block
        return range(start, min(start + self.rows_per_block, self.n_rows))

    def write(self, path: Path) -> None:
        """Write spec.json and images.txt into a folder; raises `OSError` if that can't be done."""
        images = "".join(f"{image}\n" for image in self.images).encode()
        write_bytes(images_file(path), images)
        layers = [
            {"name": name, "width": width, "folder": folder_name(name)}
            for name, width in zip(self.layers.names, self.layers.widths, strict=True)
        ]
        content = {
            "format_name": FORMAT_NAME,
            "format_version": FORMAT_VERSION,
            "key": self.key,
            "format": self.format,
            "rows": self.n_rows,
            "rows_per_block": self.rows_per_block,
            "images_crc32c": google_crc32c.value(images),
            "identity": self.identity,
            "layers": layers,
            "provenance": self.provenance,
        }
        write_record(spec_file(path), content)

    @classmethod
    def read(cls, path: Path) -> "Spec":
        """Read the spec of a store, and check that its content has the key it claims.

        Raises
        ------
        StoreError
            The folder is not a feature store, or one of a newer version, or a damaged one.
        """
        content = read_spec_json(path)
        file = images_file(path)
        with explained(file, ANOTHER_ROOT):
            if not os.path.lexists(file) and spec_file(path).exists():
                raise damaged(file, "missing, as after a copy that was cut short", repairable=False)
        raw = read_regular(file, remedy=remedy(file, repairable=False), another=ANOTHER_ROOT)
        if google_crc32c.value(raw) != content.get("images_crc32c"):
            raise damaged(file, "it isn't what was written", repairable=False)
        try:
            spec = cls(
                key=content["key"],
                identity=content["identity"],
                images=tuple(raw.decode("ascii").split()),
                layers=_layers(content["layers"]),
                rows_per_block=content["rows_per_block"],
                format=content["format"],
                provenance=content["provenance"],
            )
            spec._check()
        except (KeyError, TypeError, ValueError, BadRequest) as error:
            raise damaged(spec_file(path), f"bad or missing field {error}", repairable=False) from error
        if len(spec.images) != content.get("rows"):
            raise damaged(file, f"{len(spec.images)} images, of {content.get('rows')}", repairable=False)
        if store_key(spec.identity, spec.images) != spec.key:
            raise damaged(spec_file(path), "its content doesn't have the key it claims", repairable=False)
        return spec

    def _check(self) -> None:
        """Check that the fields are what everybody who reads a spec takes them for; raises `ValueError`."""
        versions = self.provenance.get("versions", {}) if isinstance(self.provenance, dict) else None
        conditions = {
            "identity": isinstance(self.identity, dict) and self.identity.get("dtype") in DTYPES,
            "rows_per_block": type(self.rows_per_block) is int and 1 <= self.rows_per_block <= _MOST_ROWS_PER_BLOCK,
            "format": self.format in FORMATS,
            "provenance": isinstance(versions, dict),
            "images": bool(self.images) and all(map(is_key, self.images)),
        }
        if wrong := [name for name, right in conditions.items() if not right]:
            raise ValueError(", ".join(wrong))


def _layers(content: Any) -> LayerIndex:
    """Make the layers of a spec; raises `ValueError`, `KeyError`, `TypeError` or `BadRequest` if they make no sense."""
    names, widths = [layer["name"] for layer in content], [layer["width"] for layer in content]
    if not all(isinstance(name, str) for name in names) or not all(type(width) is int for width in widths):
        raise ValueError("layers")
    if not 0 < sum(widths) <= _WIDEST:
        raise ValueError(f"layers ({sum(widths)} features)")
    for name in names:
        folder_name(name)
    return LayerIndex(tuple(names), tuple(widths))


def read_spec_json(path: Path) -> dict[str, Any]:
    """Read spec.json as it stands.

    Raises
    ------
    StoreError
        The folder is not a feature store, the file is damaged, or of a version that can't be read here.
    """
    file = spec_file(path)
    with explained(file, ANOTHER_ROOT):
        present = file.exists()
    if not present:
        if is_key(path.name) and path.is_dir():
            raise damaged(file, "missing, as after a copy that was cut short", repairable=False)
        raise StoreError(f"{path}: not a feature store (no spec.json); `head2toe store ls` lists those there are")
    content = read_record(file, repairable=False)
    if content.get("format_name") != FORMAT_NAME:
        raise StoreError(f"{file}: not a feature store's; `head2toe store ls` lists those there are")
    version = content.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise StoreError(
            f"{file}: written by a newer head2toe (format {version}, this one reads {FORMAT_VERSION}): upgrade head2toe"
        )
    try:
        canonical(content.get("identity"))  # whoever looks for a store compares it so
    except BadRequest as error:
        raise damaged(file, f"bad or missing field ({error})", repairable=False) from error
    return content


def check_images(images: Sequence[str]) -> None:
    """Check that there are images and that each is named by the sha256 of its content, 64 hex digits in lower case.

    Raises
    ------
    BadRequest
        There are none, or a name is another.
    """
    if not images:
        raise BadRequest("no images: a feature store needs at least one")
    for image in images:
        if not isinstance(image, str) or not is_key(image):
            raise BadRequest(f"image {image!r}: an image is named by the sha256 of its content, 64 hex digits")
