"""Content address: a store's key is a hash of everything that determines its numbers, and of nothing else.

What determines them is the set of images, by the sha256 of their contents, and the *identity*: a nested mapping of
backbone, preprocessing, taps, dtype and so on.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from head2toe.store.common.fingerprint import canonical

FORMAT_VERSION = 1
"""The version of the format (docs/store-format.md); it is part of every key and every record."""

DTYPES = ("float16", "float32")
"""What features can be stored as."""

_PAGE = 4096  # bytes
_SMALLEST_BLOCK = 64  # rows


def unique(images: Iterable[str]) -> tuple[str, ...]:
    """Drop repeated images; each stays where it came first."""
    return tuple(dict.fromkeys(images))


def store_key(identity: Mapping[str, Any], images: Sequence[str]) -> str:
    """Compute the key of a store.

    Parameters
    ----------
    identity : mapping
        Everything but the images that determines the numbers.
    images : sequence of str
        Sha256 (hex) of each image's content; order and repeats make no difference.

    Returns
    -------
    str
        Sha256 in hex.

    Raises
    ------
    BadRequest
        The identity is not plain JSON.
    """
    text = canonical({"identity": identity, "images": sorted(set(images)), "format_version": FORMAT_VERSION})
    return hashlib.sha256(text.encode()).hexdigest()


def default_rows_per_block(dtype: str, n_rows: int) -> int:
    """Choose how many rows a block holds (R): a page of 4096 bytes for every feature, so that each starts on a page.

    R depends on the dtype and the number of images alone, so that stores of several target sizes over the same images
    have the same blocks. A store smaller than one block takes the next power of two instead of a page: no feature ever
    lies across two pages, and a thousand images in float16 don't take the room of two thousand.
    """
    page_rows = _PAGE // (2 if dtype == "float16" else 4)
    return min(page_rows, max(_SMALLEST_BLOCK, 1 << (n_rows - 1).bit_length()))


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Make one mapping of nested ones: {"backbone": {"tag": "x"}} becomes {"backbone.tag": "x"}."""
    flat: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(item, Mapping):
            flat |= flatten(item, f"{prefix}{name}.")
        else:
            flat[prefix + name] = item
    return flat


def differing_fields(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[str, ...]:
    """List the (dotted) names of the fields in which two identities differ, or which only one of them has."""
    left, right = flatten(a), flatten(b)
    names = dict.fromkeys([*left, *right])
    missing = object()
    return tuple(
        name for name in names if _json_value(left.get(name, missing)) != _json_value(right.get(name, missing))
    )


def store_prefixes(identities: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Make a short prefix for each of several stores that tells them apart, of as few identity fields as will do.

    Returns
    -------
    tuple of str
        The empty string for a single store; "target_size=2/" and "target_size=8/" for two sizes of one backbone.
    """
    if len(identities) == 1:
        return ("",)
    flat = [flatten(identity) for identity in identities]
    names = dict.fromkeys(name for identity in flat for name in identity)
    chosen: list[str] = []
    prefixes = [""] * len(flat)
    for name in names:
        values = [identity.get(name) for identity in flat]
        if len({canonical(value) for value in values}) == 1 or not all(_is_short(value) for value in values):
            continue
        longer = [_prefix(identity, [*chosen, name]) for identity in flat]
        if len(set(longer)) > len(set(prefixes)):
            chosen, prefixes = [*chosen, name], longer
    if len(set(prefixes)) < len(prefixes):
        prefixes = [f"{number}/{prefix}" for number, prefix in enumerate(prefixes)]
    return tuple(prefixes)


def _prefix(identity: Mapping[str, Any], names: Sequence[str]) -> str:
    return ",".join(f"{name.rpartition('.')[2]}={identity.get(name)}" for name in names) + "/"


def _is_short(value: Any) -> bool:
    return isinstance(value, str | int | float | None) and len(str(value)) <= 48


def _json_value(value: Any) -> Any:
    """Make a list of a tuple: JSON knows no difference."""
    return list(value) if isinstance(value, tuple) else value
