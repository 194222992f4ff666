"""Single objects of buckets as files of this machine: each is fetched once, and again when the bucket has another."""

import hashlib
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from head2toe.store.cloud.address import ANOTHER_CACHE, SCHEMES, Address
from head2toe.store.cloud.bucket import Bucket
from head2toe.store.cloud.refusals import BucketError
from head2toe.store.common.errors import BadRequest, DataError
from head2toe.store.common.files import explained, make_folders, write_bytes
from head2toe.store.console.progress import Counter, progress

AT_ONCE = 8
"""How many objects are fetched side by side: a small one takes a round trip, whatever its size."""

_URL = re.compile(rf"({'|'.join(SCHEMES)})://(.*)", re.DOTALL)


def is_url(word: str) -> bool:
    """Return whether a word is the URL of something in a bucket."""
    return _URL.fullmatch(word) is not None


@dataclass(frozen=True)
class ObjectUrl:
    """An object's URL, read.

    Attributes
    ----------
    url : str
        The URL; it never holds credentials.
    bucket : Address
        The bucket (of Azure: account and container), without a prefix.
    name : str
        The object's name in it.
    """

    url: str
    bucket: Address
    name: str

    @classmethod
    def of(cls, url: str) -> "ObjectUrl":
        """Read a URL.

        Raises
        ------
        BadRequest
            It names no object, or bears credentials or parameters, which are not repeated.
        """
        scheme, _, rest = url.partition("://")
        if set("?#") & set(rest) or "@" in rest.partition("/")[0]:
            raise BadRequest(
                f"{scheme}://…: credentials and parameters don't belong into a URL: give it as "
                f"{scheme}://bucket/image.jpg, and credentials in the environment (docs/scale.md)"
            )
        parts = rest.split("/", 2 if scheme == "az" else 1)
        place, name = "/".join(parts[:-1]), parts[-1]
        if not place or not name or len(parts) < (3 if scheme == "az" else 2) or {"", ".", ".."} & set(name.split("/")):
            raise BadRequest(f"{scheme}://{rest[:80]}: names no object; a URL is {scheme}://bucket/image.jpg")
        address = Address.of(f"{scheme}://{place}")
        assert address is not None
        return cls(url, address, name)


def fetched(urls: Iterable[str], unit: str = "img") -> dict[str, Path]:
    """Have objects in files of this machine, below `HEAD2TOE_CACHE`; what is there already is not fetched again.

    Parameters
    ----------
    urls : iterable of str
        The objects' URLs.
    unit : str
        What progress counts.

    Returns
    -------
    dict of str to Path
        The file of each URL, whose suffix is that of the URL.

    Raises
    ------
    BadRequest
        A URL makes no sense.
    BucketError
        A bucket refuses, or does not answer; the message names the object.
    DataError
        There is no such object.
    MissingExtra
        obstore is not installed.
    Refused
        A file can't be written.
    """
    objects = [ObjectUrl.of(url) for url in dict.fromkeys(urls)]
    if not objects:
        return {}
    buckets = {address: Bucket(address, "") for address in {one.bucket for one in objects}}
    files = {}
    with progress("fetching", unit=unit) as report, ThreadPoolExecutor(AT_ONCE) as pool:
        counter = Counter(report, len(objects))
        try:
            for one, file in zip(objects, pool.map(lambda one: _fetch(buckets[one.bucket], one), objects), strict=True):
                files[one.url] = file
                counter.add()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return files


def _fetch(bucket: Bucket, one: ObjectUrl) -> Path:
    """The file of an object, named by what the bucket has now, so that a replaced object has another."""
    try:
        version = bucket.version(one.name)
        if version is None:
            raise DataError(f"{one.url}: no such object, or no such bucket: look at the name and the region")
        suffix = PurePosixPath(one.name).suffix
        key = hashlib.sha256("\n".join((one.url, *version)).encode()).hexdigest()
        folder = one.bucket.mirror.parent.parent / "images" / key[:2]
        file = folder / (key + (suffix if re.fullmatch(r"\.\w{1,10}", suffix, re.ASCII) else ""))
        with explained(file, ANOTHER_CACHE):
            if not file.is_file():
                content = bucket.read(one.name)
                if content is None:
                    raise DataError(f"{one.url}: removed from the bucket while it was fetched")
                make_folders(folder)
                write_bytes(file, content)
    except BucketError as error:
        raise BucketError(f"{one.url}{str(error).removeprefix(bucket.url)}") from None
    return file
