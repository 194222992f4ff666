"""URLs of buckets; records put once, whatever becomes of the replies; refusals in one line, without secrets."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import google_crc32c
import pytest
from head2toe.store.cloud import bucket as bucket_module
from head2toe.store.cloud.address import Address
from head2toe.store.cloud.bucket import Bucket
from head2toe.store.cloud.refusals import BucketError
from head2toe.store.common.errors import BadRequest
from head2toe.tests.store.cloud.server import SECRET, Fault, Flaky, every_service

MINE, THEIRS = {"write_id": "mine"}, {"write_id": "theirs"}


def put(bucket: Bucket, content: dict[str, str] = MINE) -> Any:
    """Whose record is there after this one was put."""
    return json.loads(bucket.create("a/record.json", content))["write_id"]


@pytest.mark.parametrize("how", ["drop", "lose", "fail", "fail after", "wait"])
def test_a_record_is_put_once_and_known_as_ones_own_whatever_becomes_of_the_reply(
    bucket: Bucket, server: Flaky, how: str
) -> None:
    server.faults.append(Fault(how, "PUT", "record", times=1))
    assert put(bucket) == "mine"
    assert server.faults[0].times == 0
    assert len(server.puts("record")) == 1
    assert put(bucket, THEIRS) == "mine"


@pytest.mark.parametrize("how", ["", "lose", "fail", "fail after"])
def test_a_lost_race_is_told_from_a_lost_reply(bucket: Bucket, server: Flaky, how: str) -> None:
    assert put(bucket, THEIRS) == "theirs"
    if how:
        server.faults.append(Fault(how, "PUT", "record"))
    assert put(bucket) == "theirs"
    assert len(server.puts("record")) == 1


@every_service
def test_of_writers_at_once_one_puts_the_record_and_all_know_which(bucket: Bucket) -> None:
    writers = [{"write_id": str(i)} for i in range(8)]
    with ThreadPoolExecutor(len(writers)) as pool:
        there = set(pool.map(lambda content: put(bucket, content), writers))
    assert len(there) == 1
    assert put(bucket) in there


def test_a_conflict_means_again(bucket: Bucket, server: Flaky) -> None:
    server.faults.append(Fault("fail", "PUT", "record", 2, status=409, code="ConditionalRequestConflict"))
    assert put(bucket) == "mine"
    assert server.faults[0].times == 0


def test_an_outage_that_ends_in_time_is_waited_for(bucket: Bucket, server: Flaky) -> None:
    server.faults += [Fault("drop", "PUT", "record", 3), Fault("fail", "GET", "record", 3, status=503, code="SlowDown")]
    assert put(bucket) == "mine"


def test_an_outage_that_lasts_is_one_line(bucket: Bucket, server: Flaky, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_module, "PATIENCE", 0.5)
    server.faults.append(Fault("drop", "GET", "record", 1000))
    said = r"s3://.*: tried for \d s in vain \(no connection\): look at the network and the endpoint; .* goes on"
    with pytest.raises(BucketError, match=said):
        bucket.read("a/record.json")


def nothing(_: int) -> None:
    """Count nothing."""


@pytest.mark.parametrize("how", ["", "drop", "fail", "cut", "slow", "wait"])
def test_a_file_is_fetched_whole_in_pieces(
    bucket: Bucket, server: Flaky, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_module, "CHUNK", 1000)
    content = bytes(range(256)) * 9
    (tmp_path / "sent").write_bytes(content)
    bucket.upload("data/x", tmp_path / "sent")
    if how:
        server.faults.append(Fault(how, "GET", "data/x", 2))
    bucket.download("data/x", tmp_path / "fetched", len(content), google_crc32c.value(content).__eq__, nothing, "")
    assert (tmp_path / "fetched").read_bytes() == content
    assert not how or server.faults[0].times == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["fetched", "sent"]


def test_what_was_not_written_gets_no_name(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "sent").write_bytes(b"other")
    bucket.upload("data/x", tmp_path / "sent")
    for name, size, said in (
        ("x", 5, "not what it should be"),
        ("x", 6, "shorter than it should be"),
        ("y", 5, "missing"),
    ):
        with pytest.raises(BucketError, match=f"data/{name}: {said}: mend it"):
            bucket.download(f"data/{name}", tmp_path / "fetched", size, (1).__eq__, nothing, "mend it")
    assert [file.name for file in tmp_path.iterdir()] == ["sent"]


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "AccessDenied", r"refuses \(AccessDenied\): look at the credentials in the environment"),
        (403, "RequestTimeTooSkewed", "this machine's clock is wrong, set it"),
        (404, "NoSuchBucket", "there is no such bucket: make it first"),
        (400, "AuthorizationHeaderMalformed", r"refuses the request \(AuthorizationHeaderMalformed\)"),
        (301, "PermanentRedirect", "the bucket is in another region, set AWS_REGION"),
    ],
)
def test_a_refusal_is_said_at_once_in_one_line_without_secrets(
    bucket: Bucket, server: Flaky, status: int, code: str, said: str
) -> None:
    server.faults.append(Fault("fail", "PUT", "record", status=status, code=code))
    with pytest.raises(BucketError, match=f"^{bucket.url}: .*{said}") as caught:
        put(bucket)
    error: BaseException | None = caught.value
    assert "\n" not in str(error)
    while error is not None and not error.__suppress_context__:  # what a traceback would show
        assert SECRET not in str(error)
        error = error.__cause__ or error.__context__


@pytest.mark.usefixtures("server")
def test_a_bucket_that_is_not_there() -> None:
    with pytest.raises(BucketError, match="s3://not-there/x: there is no such bucket"):
        put(Bucket(Address("s3://not-there/x")))


@pytest.mark.parametrize("word", ["s3://b", "s3://b/p", "gs://b/p/q", "az://container/p=1"])
def test_a_url_is_read_with_and_without_what_a_path_makes_of_it(word: str) -> None:
    for form in (word, f"{word}/", Path(word)):
        address = Address.of(form)
        assert address is not None
        assert address.url == word


@pytest.mark.parametrize("word", ["stores", "/data/s3", "./s3:b", Path("gs/x")])
def test_a_folder_is_no_bucket(word: str | Path) -> None:
    assert Address.of(word) is None


@pytest.mark.parametrize(
    "word",
    [
        "s3://key:s3cret@b/p",
        "s3://b/p?sig=s3cret",
        "s3://b#s3cret",
        "s3://",
        "s3://b/../c",
        "s3://b/a b",
        "az://b//c",
        "http://s3cret",
        "S3://b",
    ],
)
def test_what_is_no_url_is_refused_and_its_secrets_are_not_repeated(word: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Address.of(word)
    assert "s3cret" not in str(caught.value)


def test_each_url_has_a_copy_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEAD2TOE_CACHE", str(tmp_path))
    mirrors = {address.mirror for word in ("s3://b/p", "s3://b-p", "gs://b/p") if (address := Address.of(word))}
    assert len(mirrors) == 3
    assert all(mirror.parent == tmp_path / "buckets" for mirror in mirrors)
    monkeypatch.delenv("HEAD2TOE_CACHE")
    assert Address("s3://b").mirror.parts[-3:-1] == ("head2toe", "buckets")
