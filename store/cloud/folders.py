"""Folders of buckets as folders of this machine: the objects below a URL under the same names, each fetched once.

A copy is named by all that it holds and their versions, and gets its name when it is whole. So what is there is right,
and an object that is replaced in the bucket makes another copy, which shares the other objects' files with the first.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from threading import Lock

from head2toe.store.cloud.address import ANOTHER_CACHE, cache_folder
from head2toe.store.cloud.bucket import Bucket, Version
from head2toe.store.cloud.objects import ObjectUrl, fetched_object, named, side_by_side, version_of
from head2toe.store.common.errors import DataError
from head2toe.store.common.files import explained, make_folders, share
from head2toe.store.console.progress import Counter, Progress, progress


def copied_folder(url: str) -> Path:
    """Have all objects below a URL in a folder of this machine.

    Parameters
    ----------
    url : str
        The URL of a bucket or of something in it.

    Returns
    -------
    Path
        The folder, below `HEAD2TOE_CACHE`, absolute and without links.

    Raises
    ------
    BadRequest
        The URL makes no sense.
    BucketError
        The bucket refuses, or does not answer.
    DataError
        There is nothing below the URL, or an object's name is no file's.
    MissingExtra
        obstore is not installed.
    Refused
        A file can't be written.
    """
    folder = ObjectUrl.of(url, folder=True)
    bucket = Bucket(folder.bucket, "")
    with named(folder, bucket):
        listed = bucket.listed(folder.name)
    start = len(folder.name) + 1 if folder.name else 0
    objects = {name[start:]: version for name, version in listed.items() if len(name) > start}
    # Consoles make empty objects for folders, which bear the folder's name.
    folders = {name[:i] for name in objects for i, letter in enumerate(name) if letter == "/"}
    objects = {name: version for name, version in objects.items() if name not in folders}
    if not objects:
        raise DataError(f"{folder.url}: there is nothing below it: look at the name and the region")
    return _copy(bucket, folder, objects)


def copied_file(url: str, beside: Iterable[str] = ()) -> Path:
    """Have one object in a folder of this machine, under its own name.

    Parameters
    ----------
    url : str
        The object's URL.
    beside : iterable of str
        Names of files that belong to it; those that are beside it in the bucket are copied, too.

    Returns
    -------
    Path
        The file. Errors are those of `copied_folder`.
    """
    one = ObjectUrl.of(url)
    bucket, folder = Bucket(one.bucket, ""), ObjectUrl.of(one.parent, folder=True)
    objects = {url.rpartition("/")[2]: version_of(bucket, one)}
    for name in beside:
        other = folder.below(name)
        with named(other, bucket):
            if (version := bucket.version(other.name)) is not None:
                objects[name] = version
    return _copy(bucket, folder, objects) / url.rpartition("/")[2]


def _copy(bucket: Bucket, folder: ObjectUrl, objects: Mapping[str, Version]) -> Path:
    """The copy of a folder, by the names in it and their versions."""
    if wrong := [name for name in objects if {"", ".", ".."} & set(name.split("/")) or "\0" in name]:
        raise DataError(f"{folder.url}/{wrong[0][:80]!r}: a file can't have this name: rename the object")
    objects = dict(sorted(objects.items()))
    holds = "\n".join([folder.url, *("\t".join((name, *version)) for name, version in objects.items())])
    key = hashlib.sha256(holds.encode()).hexdigest()
    root = cache_folder() / "folders"
    copy = root / key[:2] / key
    with explained(copy, ANOTHER_CACHE):
        if copy.is_dir():
            return copy.resolve()
        make_folders(copy.parent)
        with tempfile.TemporaryDirectory(dir=root, prefix="tmp.") as place:
            made = Path(place) / key
            for name, file in zip(objects, _fetched(bucket, folder, objects), strict=True):
                make_folders((made / name).parent)
                _link(file, made / name)
            share(made, copy.parent)
            try:
                made.rename(copy)
            except OSError:
                if not copy.is_dir():  # else another process made the same
                    raise
    return copy.resolve()


def _fetched(bucket: Bucket, folder: ObjectUrl, objects: Mapping[str, Version]) -> Iterable[Path]:
    """Fetch objects of a folder, and yield their files in their order."""
    with progress(f"fetching {folder.url}", unit="MB") as report:
        counter, lock = Counter(_in_megabytes(report), sum(int(size) for _, size in objects.values())), Lock()

        def count(nbytes: int) -> None:
            with lock:
                counter.add(nbytes)

        def fetch(name: str) -> Path:
            return fetched_object(bucket, folder.below(name), objects[name], count)

        yield from side_by_side(fetch, objects)


def _in_megabytes(report: Progress) -> Progress:
    return lambda finished, total: report(finished // 10**6, -(-total // 10**6))


def _link(file: Path, name: Path) -> None:
    """Give a file another name; where the file system has no links, copy it."""
    try:
        name.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, name)
