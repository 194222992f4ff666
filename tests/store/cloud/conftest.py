"""A bucket of its own for every test, on one server for all."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from head2toe.store.cloud import bucket as bucket_module
from head2toe.store.cloud.address import Address
from head2toe.store.cloud.bucket import Bucket
from head2toe.store.cloud.catalogue import BucketCatalogue
from head2toe.tests.store.cloud.server import Flaky, bucket_server, make_bucket

pytest.importorskip("obstore")
pytest.importorskip("moto")


@pytest.fixture(scope="session")
def one_server() -> Iterator[Flaky]:
    """The server of all tests."""
    with bucket_server() as flaky:
        yield flaky


_names = iter(f"bucket-{i}" for i in range(10**6))


@pytest.fixture
def server(one_server: Flaky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flaky]:
    """The server, without faults, as this process's environment has it; requests are given up soon."""
    one_server.log.clear()
    for name, value in one_server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HEAD2TOE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(bucket_module, "PATIENCE", 3.0)
    yield one_server
    one_server.faults.clear()


@pytest.fixture
def url(server: Flaky) -> str:
    """The URL of stores in a bucket of the test's own."""
    name = next(_names)
    make_bucket(server, name)
    return f"s3://{name}/some/stores"


@pytest.fixture
def bucket(url: str) -> Bucket:
    """The bucket."""
    address = Address.of(url)
    assert address is not None
    return Bucket(address)


@pytest.fixture
def machine(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], BucketCatalogue]:
    """Make the catalogue of the bucket as another machine sees it, by the machine's name."""

    def make(name: str) -> BucketCatalogue:
        monkeypatch.setenv("HEAD2TOE_CACHE", str(tmp_path / name))
        address = Address.of(url)
        assert address is not None
        return BucketCatalogue(address)

    return make
