"""Single objects of buckets as files of this machine: each is fetched once, and again when the bucket has another."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from head2toe.store.cloud.address import ANOTHER_CACHE, SCHEMES, Address, cache_folder
from head2toe.store.cloud.bucket import CHUNK, Bucket, Version
from head2toe.store.cloud.refusals import BucketError
from head2toe.store.common.errors import BadRequest, DataError
from head2toe.store.common.files import explained, make_folders
from head2toe.store.console.progress import Counter, progress

AT_ONCE = 8
"""How many objects are fetched side by side: a small one takes a round trip, whatever its size."""

T = TypeVar("T")

_URL = re.compile(rf"({'|'.join(SCHEMES)})://(.*)", re.DOTALL)
_REPLACED = "it was replaced or removed while it was fetched: run the command again"


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
        The object's name in it; of a folder, what its objects' names begin with: "" for the whole bucket.
    """

    url: str
    bucket: Address
    name: str

    @classmethod
    def of(cls, url: str, *, folder: bool = False) -> "ObjectUrl":
        """Read a URL, of an object or of a folder.

        Raises
        ------
        BadRequest
            It names none, or bears credentials or parameters, which are not repeated.
        """
        scheme, _, rest = url.partition("://")
        example = f"{scheme}://{'container' if scheme == 'az' else 'bucket'}/{'pets' if folder else 'image.jpg'}"
        if set("?#") & set(rest) or "@" in rest.partition("/")[0]:
            raise BadRequest(
                f"{scheme}://…: credentials and parameters don't belong into a URL: give it as {example}, and "
                "credentials in the environment (docs/scale.md)"
            )
        place, *names = (rest.rstrip("/") if folder else rest).split("/")
        if not place or not (names or folder) or {"", ".", ".."} & set(names):
            raise BadRequest(f"{scheme}://{rest[:80]}: names no {'folder' if folder else 'object'}; a URL is {example}")
        address = Address.of(f"{scheme}://{place}")
        assert address is not None
        return cls(url.rstrip("/") if folder else url, address, "/".join(names))

    @property
    def parent(self) -> str:
        """The URL of what the object is in, without a slash at the end."""
        return self.url.rpartition("/")[0]

    def below(self, name: str) -> "ObjectUrl":
        """An object in this folder by its name in it, whatever characters it has."""
        return ObjectUrl(f"{self.url}/{name}", self.bucket, f"{self.name}/{name}" if self.name else name)


def fetched(urls: Iterable[str]) -> dict[str, Path]:
    """Have images in files of this machine, below `HEAD2TOE_CACHE`; what is there already is not fetched again.

    Parameters
    ----------
    urls : iterable of str
        The URLs of images.

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
    with progress("fetching", unit="img") as report:
        counter = Counter(report, len(objects))

        def fetch(one: ObjectUrl) -> Path:
            return fetched_object(buckets[one.bucket], one, version_of(buckets[one.bucket], one), lambda _: None)

        files = {}
        for one, file in zip(objects, side_by_side(fetch, objects), strict=True):
            files[one.url] = file
            counter.add()
    return files


def side_by_side(fetch: Callable[[T], Path], objects: Iterable[T]) -> Iterator[Path]:
    """Fetch objects, `AT_ONCE` at a time, and yield their files in their order."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            yield from pool.map(fetch, objects)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def fetched_object(bucket: Bucket, one: ObjectUrl, version: Version, count: Callable[[int], object]) -> Path:
    """Have an object in a file of this machine, which is named by what the bucket has now.

    Parameters
    ----------
    bucket : Bucket
        The object's bucket.
    one : ObjectUrl
        The object.
    version : (str, str)
        Its ETag and size.
    count : callable
        Called with the bytes of every piece.

    Returns
    -------
    Path
        The file, whose suffix is that of the URL.

    Raises
    ------
    BucketError, DataError, Refused
        As of `fetched`.
    """
    suffix = PurePosixPath(one.name).suffix
    key = hashlib.sha256("\n".join((one.url, *version)).encode()).hexdigest()
    folder = cache_folder() / "objects" / key[:2]
    file, size = folder / (key + (suffix if re.fullmatch(r"\.\w{1,10}", suffix, re.ASCII) else "")), int(version[1])
    with explained(file, ANOTHER_CACHE):
        if file.is_file():
            count(size)
            return file
        make_folders(folder)
    with named(one, bucket):
        # A look at the version afterwards: pieces of an object that was replaced meanwhile may be of both.
        bucket.download(
            one.name, file, size, lambda _: size <= CHUNK or bucket.version(one.name) == version, count, _REPLACED
        )
    return file


def version_of(bucket: Bucket, one: ObjectUrl) -> Version:
    """Return an object's version. Raises BucketError, or DataError if there is no such object."""
    with named(one, bucket):
        version = bucket.version(one.name)
    if version is None:
        raise DataError(f"{one.url}: no such object, or no such bucket: look at the name and the region")
    return version


@contextmanager
def named(one: ObjectUrl, bucket: Bucket) -> Iterator[None]:
    """Let errors of the bucket name the object by its URL."""
    try:
        yield
    except BucketError as error:
        said = str(error).removeprefix(bucket.url).removeprefix(f"/{one.name}")
        raise BucketError(f"{one.url}{said}") from None
