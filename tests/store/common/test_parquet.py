"""Pyarrow is there with its Parquet module, or the extra that brings it is named."""

import sys

import pytest
from head2toe.store.common.errors import MissingExtra
from head2toe.store.common.parquet import import_pyarrow


def test_the_module_that_reads_parquet_comes_with_it() -> None:
    pytest.importorskip("pyarrow")
    assert callable(import_pyarrow("this test").parquet.read_table)


@pytest.mark.parametrize("absent", ["pyarrow", "pyarrow.parquet"])
def test_the_purpose_and_the_extra_are_named(absent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(MissingExtra, match=r"^reading x needs pyarrow: pip install 'head2toe\[parquet\]'$"):
        import_pyarrow("reading x")
