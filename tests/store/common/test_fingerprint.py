"""Equal values have equal names, and what JSON can't hold has none."""

import math
from typing import Any

import pytest
from head2toe.store.common.errors import BadRequest
from head2toe.store.common.fingerprint import PACKAGES, canonical, fingerprint, versions


def test_the_order_of_keys_makes_no_difference_and_any_value_does() -> None:
    value: dict[str, Any] = {"b": [1, 2.5, None], "a": {"λ": True}}
    same = {"a": {"λ": True}, "b": (1, 2.5, None)}
    assert canonical(value) == canonical(same) == '{"a":{"\\u03bb":true},"b":[1,2.5,null]}'
    assert fingerprint(value) == fingerprint(same)
    others = [value | {"b": [1, 2.5]}, value | {"a": {"λ": False}}, value | {"c": math.nan}]
    assert len({fingerprint(other) for other in [value, *others]}) == 4


@pytest.mark.parametrize("value", [object(), math.nan, -math.inf, {"x": {1, 2}}])
def test_what_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(BadRequest, match="must be plain JSON"):
        canonical(value)


def test_versions_are_those_of_all_packages() -> None:
    assert list(versions()) == list(PACKAGES)
    assert all(versions().values())
