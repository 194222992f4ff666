"""The store's records: JSON files that hold a checksum of themselves (docs/store-format.md)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import google_crc32c
from head2toe.store.common.errors import StoreError
from head2toe.store.common.files import read_json, write_json

_REPAIR = "run `head2toe store verify --repair`"


def write_record(path: Path, content: Mapping[str, Any], *, exclusive: bool = False) -> bool:
    """Write a mapping as JSON with one more field, `crc32c`: the checksum of all others.

    It is written atomically and durably; see `files.write_bytes` for `exclusive`, what is returned and what is raised.
    """
    return write_json(path, {**content, "crc32c": _checksum(content)}, exclusive=exclusive)


def read_record(path: Path) -> dict[str, Any]:
    """Read a record, without its checksum; raises `StoreError` if it isn't what was written."""
    content = read_json(path, remedy=_REPAIR)
    if content.pop("crc32c", None) not in (None, _checksum(content)):
        raise StoreError(f"{path}: damaged (not what was written): {_REPAIR}")
    return content


def _checksum(content: Mapping[str, Any]) -> int:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return int(google_crc32c.value(text.encode()))
