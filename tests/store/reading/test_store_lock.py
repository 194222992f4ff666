"""Who opens a store waits a moment for one that looks for leftovers, and gives up on one that removes it."""

import threading
from types import SimpleNamespace

import pytest
from head2toe.store.common.errors import StoreError
from head2toe.store.reading import store_lock
from head2toe.store.reading.feature_store import FeatureStore
from head2toe.store.reading.store_lock import lock_exclusive


def test_gc_looking_for_leftovers_disturbs_no_reader(toy: SimpleNamespace) -> None:
    path = toy.write(5).path
    lock = lock_exclusive(path)
    threading.Timer(0.2, lock.release).start()
    assert FeatureStore.open(path).n_rows == 5


def test_a_store_being_removed_is_not_opened(toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    path = toy.write(5).path
    monkeypatch.setattr(store_lock, "_PATIENCE", 2)
    with lock_exclusive(path), pytest.raises(StoreError, match="being removed or repaired"):
        FeatureStore.open(path)
