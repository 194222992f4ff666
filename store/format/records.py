"""The store's records: JSON files that hold a checksum of themselves (docs/store-format.md)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import google_crc32c
from head2toe.store.common.files import ANOTHER_ROOT, read_json, write_json
from head2toe.store.format.damage import damaged, remedy


def write_record(path: Path, content: Mapping[str, Any], *, exclusive: bool = False) -> bool:
    """Write a mapping as JSON with one more field, `crc32c`: the checksum of all others.

    It is written atomically and durably; see `files.write_bytes` for `exclusive`, what is returned and what is raised.
    """
    return write_json(path, sealed(content), exclusive=exclusive)


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record as it is written, with its checksum."""
    return {**content, "crc32c": _checksum(content)}


def unsealed(content: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a record without its checksum; None if it isn't what was written."""
    bare = dict(content)
    return bare if bare.pop("crc32c", None) in (None, _checksum(bare)) else None


def read_record(path: Path, *, repairable: bool = True) -> dict[str, Any]:
    """Read a record, without its checksum.

    Parameters
    ----------
    path : Path
        The file.
    repairable : bool
        Whether extracting again can write it anew; see `damage.remedy`.

    Raises
    ------
    Refused
        It can't be read.
    Damaged
        It isn't what was written.
    """
    content = unsealed(read_json(path, remedy=remedy(path, repairable=repairable), another=ANOTHER_ROOT))
    if content is None:
        raise damaged(path, "damaged (not what was written)", repairable=repairable)
    return content


def _checksum(content: Mapping[str, Any]) -> int:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return int(google_crc32c.value(text.encode()))
