"""The root is the folder that was named, or that of the environment, or the cache."""

import os
from pathlib import Path

import pytest
from head2toe.store.format.damage import ENVIRONMENT
from head2toe.store.management.catalogue import Catalogue
from head2toe.store.management.maintenance import entries


def test_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "a"))
    assert Catalogue().root == tmp_path / "a"
    assert Catalogue(tmp_path / "b").root == tmp_path / "b"
    monkeypatch.delenv(ENVIRONMENT)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    assert Catalogue().root.is_relative_to(tmp_path / "c") or os.name != "posix"
    assert entries(Catalogue(tmp_path / "nothing")) == []
