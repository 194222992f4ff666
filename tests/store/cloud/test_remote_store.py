"""A store in a bucket, read where it is: the numbers of its copy, few bytes for few columns, nothing unchecked."""

from pathlib import Path

import numpy as np
import pytest
from head2toe.store.cloud import bucket as bucket_module
from head2toe.store.cloud import remote_store
from head2toe.store.cloud.bucket import Bucket
from head2toe.store.cloud.refusals import BucketError
from head2toe.store.cloud.remote_store import RemoteStore
from head2toe.store.common.errors import BadRequest, DataError
from head2toe.store.reading.design_matrix import DesignMatrix
from head2toe.store.reading.feature_store import FeatureStore
from head2toe.tests.store.cloud.server import Fault, Flaky, every_service
from head2toe.tests.store.cloud.test_catalogue import IMAGES, Machine, begun, unsafe
from head2toe.tests.store.conftest import fill


@pytest.fixture
def copy(machine: Machine, format: str) -> FeatureStore:
    """A complete store in the bucket, as the machine has it that wrote it."""
    writer = begun(machine("one"), format)
    fill(writer)
    return writer.seal()


@every_service
def test_columns_and_streams_are_those_of_a_copy(copy: FeatureStore, url: str) -> None:
    remote = RemoteStore.open(url, copy.key)
    d = copy.layers.n_features
    for columns in ([d - 1, 0, 0, d // 2], [], range(d), range(1, d, 2)):
        assert np.array_equal(remote.columns(list(columns)), copy.columns(list(columns)))
    for ours, theirs in zip(remote.stream(max_bytes=100), copy.stream(max_bytes=100), strict=True):
        assert (ours.start, ours.stop) == (theirs.start, theirs.stop)
        assert np.array_equal(ours.values, theirs.values)
    images = [IMAGES[7], IMAGES[2], IMAGES[7]]
    assert np.array_equal(DesignMatrix.of([remote], images).columns([3]), DesignMatrix.of([copy], images).columns([3]))
    assert (remote.n_rows, remote.images, remote.dtypes) == (copy.n_rows, copy.images, copy.dtypes)


def test_a_layer_that_one_block_keeps_in_float32_is_float32(machine: Machine, url: str) -> None:
    writer = begun(machine("one"))
    fill(writer, unsafe)
    copy = writer.seal()
    remote = RemoteStore.open(url, copy.key)
    assert remote.dtypes == copy.dtypes
    assert "float32" in remote.dtypes
    every = list(range(copy.layers.n_features))
    assert np.array_equal(remote.columns(every), copy.columns(every))


@every_service
def test_few_columns_are_few_bytes_and_no_copy(
    copy: FeatureStore, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_module, "GAP", 0)
    monkeypatch.setenv("HEAD2TOE_CACHE", str(tmp_path / "two"))
    remote = RemoteStore.open(url, copy.key)
    fetched: list[int] = []
    ranges = Bucket.ranges

    def counted(self: Bucket, name: str, starts: list[int], lengths: list[int], remedy: str) -> list[bytes]:
        if "sums" not in name:
            fetched.append(sum(lengths))
        return ranges(self, name, starts, lengths, remedy)

    monkeypatch.setattr(Bucket, "ranges", counted)
    remote.columns([1])
    size = np.dtype(remote.dtypes[0]).itemsize
    assert fetched == [remote.rows_per_block * size] * 3
    assert not (tmp_path / "two").exists()


@pytest.mark.parametrize("how", ["drop", "fail", "cut", "slow"])
def test_a_request_that_fails_is_made_again(copy: FeatureStore, url: str, server: Flaky, how: str) -> None:
    remote = RemoteStore.open(url, copy.key)
    server.faults.append(Fault(how, "GET", "data/", 2))
    assert np.array_equal(remote.columns([2]), copy.columns([2]))
    assert server.faults[0].times == 0


@every_service
def test_a_flipped_bit_is_found(machine: Machine, url: str, bucket: Bucket, tmp_path: Path) -> None:
    writer = begun(machine("one"))
    fill(writer)
    key = writer.seal().key
    name = next(name for name in bucket.listed() if name.endswith("c.1.0"))
    name = name[name.index(key[:2] + "/") :]
    content = bytearray(bucket.read(name) or b"")
    content[0] ^= 1
    (tmp_path / "flipped").write_bytes(content)
    bucket.upload(name, tmp_path / "flipped")
    remote = RemoteStore.open(url, key)
    with pytest.raises(BucketError, match=r"c\.1\.0: feature 0: not what was written \(CRC-32C\): remove the record"):
        remote.columns(range(remote.layers.n_features))


def test_what_can_not_be_opened_is_one_line(machine: Machine, url: str) -> None:
    writer = begun(machine("one"))
    key = writer.spec.key
    block = writer.claim(0)
    assert block is not None
    block.close()
    with pytest.raises(DataError, match="has 0 of 3 row blocks: extract the rest"):
        RemoteStore.open(url, key)
    with pytest.raises(DataError, match="has no store 000000000000: `head2toe store ls --store` shows"):
        RemoteStore.open(url, "0" * 64)
    for root, name in ((url, "abc"), ("stores", key)):
        with pytest.raises(BadRequest, match="is opened by a URL"):
            RemoteStore.open(root, name)


def test_a_layer_of_several_pieces_is_fetched_side_by_side(
    copy: FeatureStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_store, "CHUNK", 64)
    every = list(range(copy.layers.n_features))
    assert np.array_equal(RemoteStore.open(url, copy.key).columns(every), copy.columns(every))
