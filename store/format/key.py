"""Content address: a store's key is a hash of everything that determines its numbers, and of nothing else."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from head2toe.store.common.fingerprint import canonical

FORMAT_VERSION = 1
DTYPES = ("float16", "float32")
_PAGE = 4096
_SMALLEST_BLOCK = 64


def unique(images: Iterable[str]) -> tuple[str, ...]:
    """The images in their order, each once: the first one counts."""
    return tuple(dict.fromkeys(images))


def store_key(identity: Mapping[str, Any], images: Sequence[str]) -> str:
    """The key (sha256, hex) of the store of these images under this identity, in whatever order they come."""
    text = canonical({"identity": identity, "images": sorted(set(images)), "format_version": FORMAT_VERSION})
    return hashlib.sha256(text.encode()).hexdigest()


def rows_per_block(dtype: str, n_rows: int) -> int:
    """Rows in a block (R): a page of 4096 bytes for every feature, so that each starts on a page.

    It depends on the dtype and the number of images alone, so that stores of several target sizes over the same images
    have the same blocks. A store smaller than one block takes the next power of two instead of a page: no feature ever
    lies across two pages, and a thousand images in float16 don't take the room of two thousand.
    """
    page_rows = _PAGE // (2 if dtype == "float16" else 4)
    return min(page_rows, max(_SMALLEST_BLOCK, 1 << (n_rows - 1).bit_length()))


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one: {"backbone": {"tag": "x"}} becomes {"backbone.tag": "x"}."""
    flat: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(item, Mapping):
            flat |= flatten(item, f"{prefix}{name}.")
        else:
            flat[prefix + name] = item
    return flat


def differing_fields(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[str, ...]:
    """Names (dotted) of the fields in which two identities differ, those only one of them has included."""
    left, right = flatten(a), flatten(b)
    names = dict.fromkeys([*left, *right])
    missing = object()
    return tuple(
        name for name in names if _json_value(left.get(name, missing)) != _json_value(right.get(name, missing))
    )


def labels(identities: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """A short prefix for each of several stores that tells them apart, of as few identity fields as will do.

    The empty string for a single store; "target_size=2/" and "target_size=8/" for two sizes of one backbone.
    """
    if len(identities) == 1:
        return ("",)
    flat = [flatten(identity) for identity in identities]
    candidates = [
        name
        for name in dict.fromkeys(name for one in flat for name in one)
        if len({canonical(one.get(name)) for one in flat}) > 1 and all(_is_short(one.get(name)) for one in flat)
    ]
    chosen: list[str] = []
    found = [""] * len(flat)
    for name in candidates:
        longer = [_label(one, [*chosen, name]) for one in flat]
        if len(set(longer)) > len(set(found)):
            chosen, found = [*chosen, name], longer
    if len(set(found)) < len(found):
        found = [f"{number}/{text}" for number, text in enumerate(found)]
    return tuple(found)


def _label(flat: Mapping[str, Any], names: Sequence[str]) -> str:
    return ",".join(f"{name.rpartition('.')[2]}={flat.get(name)}" for name in names) + "/"


def _is_short(value: Any) -> bool:
    return isinstance(value, str | int | float | None) and len(str(value)) <= 48


def _json_value(value: Any) -> Any:
    """Tuples and lists are the same thing in JSON."""
    return list(value) if isinstance(value, tuple) else value
