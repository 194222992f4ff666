"""A bucket of its own for every test, on one server for all."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from head2toe.store.cloud import bucket as bucket_module
from head2toe.store.cloud.address import Address
from head2toe.store.cloud.bucket import Bucket
from head2toe.store.cloud.catalogue import BucketCatalogue
from head2toe.tests.store.cloud.server import Azurite, Flaky, azurite_server, bucket_server, make_bucket

pytest.importorskip("obstore")
pytest.importorskip("moto")


@pytest.fixture(scope="session")
def one_server() -> Iterator[Flaky]:
    """The server of all tests."""
    with bucket_server() as flaky:
        yield flaky


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """Azure's blobs, for all tests."""
    program = shutil.which("azurite-blob")
    if program is None:
        pytest.skip("azurite-blob is not installed (npm install -g azurite)")
    with azurite_server(program, tmp_path_factory.mktemp("azurite")) as server:
        yield server


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
def service(request: pytest.FixtureRequest) -> str:
    """Whose bucket it is: S3's unless the test is marked by `every_service`."""
    return getattr(request, "param", "s3")


@pytest.fixture
def url(service: str, server: Flaky, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of stores in a bucket of the test's own."""
    name = next(_names)
    further: dict[str, str] = {}
    if service == "az":
        azurite = request.getfixturevalue("azurite")
        azurite.make_container(name)
        further = azurite.environment
    else:
        make_bucket(server, name)
        further = server.environment_of_google() if service == "gs" else {}
    for variable, value in further.items():
        monkeypatch.setenv(variable, value)
    return f"{service}://{name}/some/stores"


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
