"""Verifying reads every byte and says how far it is."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from head2toe.store.common.errors import StoreError
from head2toe.store.format.records import sealed
from head2toe.store.management.archive import export_store
from head2toe.store.management.verify import verify
from head2toe.store.reading.feature_store import FeatureStore


def test_verify_reports_progress(toy: SimpleNamespace) -> None:
    store = toy.write(10)
    seen: list[tuple[int, int]] = []
    verification = verify(store.path, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (verification.nbytes, verification.nbytes)
    assert verification.nbytes >= store.nbytes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key": "0" * 64}, "belongs to another store"),
        ({"key": None}, "belongs to another store"),
        ({"index": []}, "bad or missing field"),
        ({"index": [["spec.json", 3, 4]]}, "bad or missing field"),
    ],
)
def test_a_record_of_completeness_with_a_right_hash_over_wrong_values(
    toy: SimpleNamespace, changes: dict[str, Any], message: str
) -> None:
    """It is found, an archive is not made of it, and repairing writes it anew."""
    path = toy.write(10).path
    file = path / "complete.json"
    before = json.loads(file.read_text())
    content = {name: value for name, value in (before | changes).items() if name != "crc32c"}
    file.write_text(json.dumps(sealed(content)))
    (fault,) = verify(path).faults
    assert fault.file == file
    assert message in fault.what
    with pytest.raises(StoreError, match=message):
        export_store(path, path.parent / "archive")
    assert verify(path, repair=True).repaired
    assert json.loads(file.read_text()) == before
    assert not verify(path).faults
    assert FeatureStore.open(path).n_rows == 10
