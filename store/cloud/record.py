"""Records in a bucket: a record of a store, who put it, and which objects hold the files that it speaks of.

The files lie under the write id of whoever put the record (`data/<write id>/<file>`), so that no two writers ever put
the same object; the record that is there says whose files count.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from head2toe.store.cloud.bucket import Bucket
from head2toe.store.cloud.refusals import BucketError
from head2toe.store.format.layout import FORMAT_NAME
from head2toe.store.format.records import sealed, unsealed

VERSION = 1
"""Of what is in a bucket; one that is higher is not read."""

TRANSFERS = 8
"""Files that are sent or fetched at once."""


@dataclass(frozen=True)
class Record:
    """A record in a bucket.

    Attributes
    ----------
    write_id : str
        Of whoever put it.
    objects : mapping
        The object of each file that it speaks of, by the file's name relative to the store; relative to the store, too.
    content : mapping
        The store's own record, as in a folder, without its checksum.
    """

    write_id: str
    objects: Mapping[str, str]
    content: Mapping[str, Any]

    @classmethod
    def read(cls, bucket: Bucket, name: str) -> "Record | None":
        """Read a record; None if there is none. Raises `BucketError`."""
        body = bucket.read(name)
        return None if body is None else cls._of(body, f"{bucket.url}/{name}")

    @classmethod
    def publish(
        cls, bucket: Bucket, folder: str, name: str, content: Mapping[str, Any], files: Mapping[str, Path]
    ) -> "Record":
        """Put files, and then a record of them where none is.

        Parameters
        ----------
        bucket : Bucket
            The bucket.
        folder, name : str
            The store's prefix in the bucket, and the record's name in it.
        content : mapping
            The store's record, without its checksum.
        files : mapping
            Where the files lie that it speaks of, by their names relative to the store.

        Returns
        -------
        Record
            The one that is there now: this one, or that of another writer who was first.

        Raises
        ------
        BucketError
            The bucket refuses, or does not answer.
        """
        write_id = uuid.uuid4().hex
        objects = {file: f"data/{write_id}/{file}" for file in files}

        def send(file: str) -> None:
            bucket.upload(f"{folder}/{objects[file]}", files[file])

        in_parallel(send, list(files))
        put = {
            "format_name": FORMAT_NAME,
            "bucket_version": VERSION,
            "write_id": write_id,
            "objects": objects,
            "record": sealed(content),
        }
        return cls._of(bucket.create(f"{folder}/{name}", put), f"{bucket.url}/{folder}/{name}")

    @classmethod
    def _of(cls, body: bytes, where: str) -> "Record":
        """Make a record of an object; raises `BucketError` if it is none."""
        try:
            document = json.loads(body)
            if document["format_name"] != FORMAT_NAME:
                raise ValueError
            newer = document["bucket_version"] > VERSION
            content = unsealed(document["record"])
            if content is None:
                raise ValueError
            objects = {str(file): str(name) for file, name in document["objects"].items()}
            record = cls(str(document["write_id"]), objects, content)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise BucketError(
                f"{where}: damaged (no record of a feature store): remove it, and extract again"
            ) from None
        if newer:
            raise BucketError(f"{where}: written by a newer head2toe: upgrade head2toe")
        return record


def in_parallel(action: Any, items: Sequence[Any]) -> None:
    """Do something with each of several items, a few at a time; raises what the first that failed raised."""
    with ThreadPoolExecutor(TRANSFERS) as pool:
        futures = [pool.submit(action, item) for item in items]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
