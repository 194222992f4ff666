"""Images in a bucket that a manifest names by URLs: the same store as of the same files here, fetched once."""

import json
import re
from pathlib import Path

import pytest
from head2toe.extract.images.sources import ImageSource
from head2toe.extract.readers import manifest
from head2toe.store.cloud.address import Address
from head2toe.store.cloud.bucket import Bucket
from head2toe.store.cloud.objects import ObjectUrl
from head2toe.store.common.errors import BadRequest
from head2toe.tests.commands import call
from head2toe.tests.store.cloud.server import SECRET, Fault, Flaky
from head2toe.tests.store.cloud.test_commands import SMALL


@pytest.fixture
def tables(image_folder: Path, url: str) -> tuple[Path, Path]:
    """A manifest of files, and one of the same images in the bucket."""
    address = Address.of(url)
    assert address is not None
    bucket = Bucket(address)
    local, remote = ["path,label,split"], ["path,label,split"]
    for file in sorted(image_folder.rglob("*.png")):
        name = file.relative_to(image_folder).as_posix()
        bucket.upload(f"my {name}", file)
        split, label, _ = name.split("/")
        local.append(f"{name},{label},{split}")
        remote.append(f"{url}/my {name},{label},{split}")
    paths = image_folder / "here.csv", image_folder / "there.csv"
    for path, lines in zip(paths, (local, remote), strict=True):
        path.write_text("\n".join(lines), encoding="utf-8")
    return paths


def training(path: Path) -> list[ImageSource]:
    """The training images of a manifest, in its order."""
    return [image for image, _ in manifest.read(path).train]


def gets(server: Flaky) -> int:
    """How many objects were fetched."""
    return sum(method == "GET" and ".png" in path for method, path, _ in server.log)


def test_a_bucket_has_the_same_store_as_files(tables: tuple[Path, Path], url: str, server: Flaky) -> None:
    here, there = tables
    server.faults += [Fault("cut", "GET", "png", 2), Fault("fail", "HEAD", "png", 2, status=503, code="SlowDown")]
    first = call("extract", str(here), *SMALL)
    second = call("extract", str(there), *SMALL)
    assert (first.exit_code, second.exit_code) == (0, 0), second.output
    assert "nothing to extract: the store holds all images" in second.stdout
    assert len(json.loads(call("store", "ls", "--json").stdout)["stores"]) == 1
    assert SECRET not in second.output
    assert [image.digest() for image in training(here)] == [image.digest() for image in training(there)]
    assert training(there)[0].name == f"{url}/my train/across/00.png"


def test_an_object_is_fetched_once_and_again_when_it_is_replaced(
    tables: tuple[Path, Path], url: str, server: Flaky, image_folder: Path
) -> None:
    images = training(tables[1])
    assert gets(server) == 51
    manifest.read(tables[1])
    assert gets(server) == 51
    address = Address.of(url)
    assert address is not None
    Bucket(address).upload("my train/across/00.png", image_folder / "train/down/00.png")
    again = training(tables[1])
    assert gets(server) == 52
    changed = [one.name for one, two in zip(images, again, strict=True) if one.digest() != two.digest()]
    assert changed == [f"{url}/my train/across/00.png"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("fail", "GET", "down/03.png", 9, status=403, code="AccessDenied"), r"refuses \(AccessDenied\): look at"),
        (Fault("fail", "HEAD", "down/03.png", 9, status=403), r"refuses \(403\): look at"),
        (Fault("fail", "HEAD", "down/03.png", 9, status=404), "no such object, or no such bucket: look at"),
        (Fault("drop", "HEAD", "down/03.png", 99), r"tried for \d s in vain \(no connection\): look at"),
    ],
)
def test_what_a_bucket_refuses_is_one_line_that_names_the_image(
    tables: tuple[Path, Path], url: str, server: Flaky, fault: Fault, said: str
) -> None:
    server.faults.append(fault)
    result = call("extract", str(tables[1]), *SMALL)
    assert result.exit_code in (1, 2)
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"Error: {url}/my t")
    assert re.search(f"/down/03.png: {said}", last), last
    assert SECRET not in result.output


@pytest.mark.parametrize("url", ["s3://key:secret@bucket/a.jpg", "s3://bucket/a.jpg?X-Amz-Signature=secret"])
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(BadRequest, match="credentials and parameters don't belong into a URL") as refused:
        ObjectUrl.of(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["s3://", "s3://bucket", "s3://bucket/", "az://container", "gs://b/../a.jpg"])
def test_a_url_names_an_object(url: str) -> None:
    with pytest.raises(BadRequest, match="names no object"):
        ObjectUrl.of(url)
