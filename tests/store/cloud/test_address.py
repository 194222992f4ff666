"""URLs of buckets: which are taken, which are refused, and where their copies lie."""

from pathlib import Path

import pytest
from head2toe.store.cloud.address import Address
from head2toe.store.common.errors import BadRequest


@pytest.mark.parametrize("word", ["s3://b", "s3://b/p", "gs://b/p/q", "az://account/container/p=1"])
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
        "az://b",
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
