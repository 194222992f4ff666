"""Blocks keep features on pages; identities are compared and told apart by their fields."""

import pytest
from head2toe.store.format.key import default_rows_per_block, differing_fields, store_prefixes


@pytest.mark.parametrize(("dtype", "itemsize"), [("float16", 2), ("float32", 4)])
def test_features_lie_on_pages_and_never_across_two(dtype: str, itemsize: int) -> None:
    for n in (1, 63, 64, 65, 1000, 1024, 1025, 2048, 5000, 10**6):
        nbytes = default_rows_per_block(dtype, n) * itemsize
        assert nbytes == 4096 or (4096 % nbytes == 0 and n * itemsize <= nbytes)


def test_what_differs_between_identities() -> None:
    a = {"backbone": {"tag": "x", "weights": "1"}, "taps": ["a", "b"], "size": 1}
    assert differing_fields(a, a) == ()
    assert differing_fields(a, a | {"taps": ("a", "b")}) == ()
    assert differing_fields(a, {"backbone": {"tag": "y", "weights": "1"}, "taps": ["a"], "new": 0}) == (
        "backbone.tag", "taps", "size", "new",
    )  # fmt: skip


def test_prefixes_tell_stores_apart_with_few_words() -> None:
    base = {"backbone": {"architecture": "r50", "tag": "a"}, "target_size": 2, "taps": ["x"]}
    assert store_prefixes([base]) == ("",)
    assert store_prefixes([base, base | {"target_size": 8}]) == ("target_size=2/", "target_size=8/")
    other = {"backbone": {"architecture": "vit", "tag": "b"}, "target_size": 2, "taps": ["y"]}
    assert store_prefixes([base, other]) == ("architecture=r50/", "architecture=vit/")
    assert len(set(store_prefixes([base, other, base | {"target_size": 8}]))) == 3
    assert len(set(store_prefixes([base, base | {"taps": ["z"]}]))) == 2
