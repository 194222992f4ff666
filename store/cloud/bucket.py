"""A bucket: objects read, and put where none is. The only place that imports obstore.

A reply may be lost after the bucket took an object. So every record that is put bears a write id of its own: what is
there afterwards says whether this writer put it, or another did.
"""

import os
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import google_crc32c
from head2toe.store.cloud.address import ANOTHER_CACHE, Address
from head2toe.store.cloud.refusals import BucketError, Refusal, refusal, unreachable
from head2toe.store.common.errors import BadRequest, MissingExtra
from head2toe.store.common.files import explained, json_bytes, partial_name, share, sync_folder

PATIENCE = 150.0
"""Seconds for which a request is tried again: a network that is cut for a minute is waited for."""

LONGEST_PAUSE = 10.0
"""Seconds between two tries, at most."""

TIMEOUT = timedelta(seconds=60)
"""How long one request may take, its body included."""

SLOW = 5.0
"""Seconds of trying after which a line says so."""

CHUNK = 8 << 20
"""Bytes that are fetched at once: one that fails is fetched again, and not the whole file."""

GAP = 1 << 17
"""Bytes between two parts of an object that are fetched along with them: these take less time than another request."""

Version = tuple[str, str]
"""What a bucket says of an object that tells whether it was replaced: its ETag and its size."""

T = TypeVar("T")


class Bucket:
    """Objects below a bucket's prefix. Credentials are those of the environment or of the platform.

    Parameters
    ----------
    address : Address
        The bucket and the prefix.
    option : str
        What messages put before the URL: the option that took it, and a blank.

    Raises
    ------
    MissingExtra
        obstore is not installed.
    BadRequest
        The URL, or what the environment says of it, makes no sense.
    """

    def __init__(self, address: Address, option: str = "--store ") -> None:
        self.url = address.url
        try:
            import obstore
            from obstore.store import from_url
        except ImportError as error:
            raise MissingExtra(f"{option}{self.url} needs obstore: pip install 'head2toe[cloud]' ({error})") from error
        self._client = obstore
        how: dict[str, Any] = {"retry_config": {"max_retries": 0}, "client_options": {"timeout": TIMEOUT}}
        if os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true", "yes"):
            how["client_options"]["allow_http"] = True
        try:
            self._store = from_url(self.url, **how)
        except Exception as error:  # obstore's errors have no base that all of them share
            said = f"can't be used so ({type(error).__name__}): look at its URL and the settings in the environment"
            if "Account must be specified" in str(error):
                said = "of no account: name it in the environment, AZURE_STORAGE_ACCOUNT_NAME"
            raise BadRequest(f"{option}{self.url}: {said}") from None

    def read(self, name: str) -> bytes | None:
        """Return an object; None if there is none. Raises `BucketError`."""
        return self._patiently(lambda: bytes(self._client.get(self._store, name).bytes()), none_if="absent")

    def version(self, name: str) -> Version | None:
        """Return an object's version; None if there is no such object.

        Raises `BucketError`.
        """
        about = self._patiently(lambda: self._client.head(self._store, name), none_if="absent")
        return None if about is None else _version(about)

    def create(self, name: str, content: Mapping[str, Any]) -> bytes:
        """Put a record where none is.

        Parameters
        ----------
        name : str
            The object's name.
        content : mapping
            The record, as JSON; a field of it is this writer's alone (`write_id`).

        Returns
        -------
        bytes
            The record that is there now, this one or another's.

        Raises
        ------
        BucketError
            The bucket refuses, or does not answer.
        """
        body = json_bytes(content)

        def attempt() -> bytes:
            try:
                self._client.put(self._store, name, body, mode="create", use_multipart=False)
            except Exception as error:
                if (why := _known(error)).kind == "final":
                    raise
                # Taken by another, or by an earlier try whose reply was lost, or by neither: what is there tells.
                if (there := self.read(name)) is not None:
                    return there
                raise _Again(why) from None
            return body

        return self._patiently(attempt)

    def write(self, name: str, content: Mapping[str, Any], *, patience: float | None = None) -> None:
        """Put a record, whatever is there: for what is advice alone. Raises `BucketError`, after `patience` seconds."""
        body = json_bytes(content)
        self._patiently(lambda: self._client.put(self._store, name, body, use_multipart=False), patience=patience)

    def remove(self, name: str) -> None:
        """Remove an object, if there is one, in one try. Raises `BucketError`."""
        self._patiently(lambda: self._client.delete(self._store, name), none_if="absent", patience=0)

    def upload(self, name: str, file: Path) -> None:
        """Put a file under a name that nobody else uses. Raises `BucketError`, or `Refused` if it can't be read."""
        with explained(file, ANOTHER_CACHE):
            file.open("rb").close()
        self._patiently(lambda: self._client.put(self._store, name, file))

    def listed(self, prefix: str = "") -> dict[str, Version]:
        """List all objects below a prefix, with the version of each; nothing that stores hold is found by it.

        Raises `BucketError`.
        """

        def listing() -> dict[str, Version]:
            batches = self._client.list(self._store, prefix or None)
            return {about["path"]: _version(about) for batch in batches for about in batch}

        return self._patiently(listing, none_if="absent") or {}

    def download(
        self,
        name: str,
        file: Path,
        nbytes: int,
        is_right: Callable[[int], bool],
        count: Callable[[int], object],
        remedy: str,
    ) -> None:
        """Fetch an object into a file, which gets its name when it is whole and what it should be.

        Parameters
        ----------
        name : str
            The object.
        file : Path
            The file; its folder must exist.
        nbytes : int
            The object's size.
        is_right : callable
            Called with the CRC-32C of all that was fetched; says whether it is what it should be.
        count : callable
            Called with the bytes of every piece.
        remedy : str
            What to do about an object that is not what it should be.

        Raises
        ------
        BucketError
            The bucket refuses, does not answer, or holds something else.
        Refused
            The disk is full, or refuses.
        """
        partial, crc = partial_name(file), 0
        with explained(file, ANOTHER_CACHE):
            try:
                with partial.open("xb") as opened:
                    share(opened.fileno(), file.parent)
                    for start in range(0, nbytes, CHUNK):
                        (piece,) = self.ranges(name, [start], [min(CHUNK, nbytes - start)], remedy)
                        crc = google_crc32c.extend(crc, piece)
                        opened.write(piece)
                        count(len(piece))
                    if not is_right(crc):
                        raise BucketError(f"{self.url}/{name}: not what it should be: {remedy}")
                    opened.flush()
                    os.fsync(opened.fileno())
                partial.replace(file)
            finally:
                partial.unlink(missing_ok=True)
            sync_folder(file.parent)

    def ranges(self, name: str, starts: Sequence[int], lengths: Sequence[int], remedy: str) -> list[bytes]:
        """Fetch parts of an object.

        Parameters
        ----------
        name : str
            The object.
        starts, lengths : sequence of int
            The first byte of each part, ascending, and how many they are.
        remedy : str
            What to do about an object that lacks them.

        Raises
        ------
        BucketError
            The bucket refuses, does not answer, or holds less.
        """

        def fetched() -> list[bytes]:
            parts = self._client.get_ranges(self._store, name, starts=starts, lengths=lengths, coalesce=GAP)
            return [bytes(part) for part in parts]

        parts = self._patiently(fetched, none_if="absent")
        if parts is None or [len(part) for part in parts] != list(lengths):
            raise BucketError(
                f"{self.url}/{name}: {'missing' if parts is None else 'shorter than it should be'}: {remedy}"
            )
        return list(parts)

    def _patiently(self, action: Callable[[], T], *, none_if: str = "", patience: float | None = None) -> T | Any:
        """Do something, again and again while that may help; None for a refusal of the kind `none_if`."""
        start, pause, told = time.monotonic(), 0.1, False
        patience = PATIENCE if patience is None else patience
        while True:
            try:
                return action()
            except BucketError:
                raise
            except Exception as error:
                why = error.refusal if isinstance(error, _Again) else _known(error)
            if why.kind == none_if:
                return None
            if why.kind != "again" and why.kind != "taken":
                raise BucketError(f"{self.url}: {why.said or 'the object is gone'}")
            waited = time.monotonic() - start
            if waited + pause > patience:
                raise unreachable(self.url, why.said or "a conflict", waited)
            if waited > SLOW and not told:
                told = True
                print(f"waiting for {self.url} ({why.said or 'a conflict'})", file=sys.stderr, flush=True)
            time.sleep(pause * random.uniform(0.5, 1))
            pause = min(2 * pause, LONGEST_PAUSE)


class _Again(Exception):
    """A try that came to nothing, and is worth another."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal


def _known(error: Exception) -> Refusal:
    """Read an error of obstore's; any other is a bug, or the disk's, and goes on its way."""
    homes = {cls.__module__.partition(".")[0] for cls in type(error).__mro__}
    if "obstore" not in homes and not isinstance(error, FileNotFoundError | ValueError | NotImplementedError):
        raise error
    return refusal(error)


def _version(about: Mapping[str, Any]) -> Version:
    return str(about["e_tag"] or about["last_modified"]), str(about["size"])
