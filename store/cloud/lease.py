"""Leases of row blocks in a bucket: advice, so that two machines seldom compute the same block.

A lease runs out unless it is renewed, and may be taken by two at once or too early, where clocks differ: then a block
is computed twice, and the commit record decides which of the two counts.
"""

import json
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field

from head2toe.store.cloud.bucket import Bucket
from head2toe.store.cloud.refusals import BucketError

SECONDS = 180.0
"""How long a lease holds after it was taken or renewed last."""

RENEWED_AFTER = 45.0
"""Seconds after which whoever is still at work renews a lease."""


@dataclass
class Seen:
    """Another's lease as it was seen last, and when that was first (seconds of this machine's own, steady clock)."""

    content: bytes = b""
    since: float = field(default_factory=time.monotonic)

    def unchanged(self, content: bytes) -> float:
        """Return for how many seconds the lease has been seen just so."""
        if content != self.content:
            self.content, self.since = content, time.monotonic()
        return time.monotonic() - self.since


class Lease:
    """A lease that this process has taken.

    Attributes
    ----------
    name : str
        The object.
    """

    def __init__(self, bucket: Bucket, name: str, write_id: str) -> None:
        self._bucket, self.name, self._write_id = bucket, name, write_id
        self._renewed, self._released = time.monotonic(), False

    @classmethod
    def take(cls, bucket: Bucket, name: str, seen: Seen) -> "Lease | None":
        """Take a lease, unless another has it.

        Parameters
        ----------
        bucket, name
            Where it is.
        seen : Seen
            What was seen of it before: one that stays as it is for `SECONDS` has run out, whatever the clocks say.

        Returns
        -------
        Lease or None
            None if another has it, as far as can be told.

        Raises
        ------
        BucketError
            The bucket refuses or does not answer.
        """
        write_id = uuid.uuid4().hex
        there = bucket.create(name, _document(write_id))
        if _holder(there)[0] != write_id:
            if time.time() < _holder(there)[1] and seen.unchanged(there) < SECONDS:
                return None
            bucket.write(name, _document(write_id))
            if _holder(bucket.read(name) or b"")[0] != write_id:  # another took it at the same time
                return None
        return cls(bucket, name, write_id)

    def renew(self) -> None:
        """Let it hold on, if it was not renewed just now; where that can't be done, it runs out."""
        if not self._released and time.monotonic() - self._renewed > RENEWED_AFTER:
            self._renewed = time.monotonic()
            with suppress(BucketError):
                self._bucket.write(self.name, _document(self._write_id), patience=0)

    def release(self) -> None:
        """Give it back, once; where that can't be done, it runs out."""
        if not self._released:
            self._released = True
            with suppress(BucketError):
                self._bucket.remove(self.name)


def _document(write_id: str) -> dict[str, object]:
    return {"write_id": write_id, "expires": time.time() + SECONDS}


def _holder(content: bytes) -> tuple[str, float]:
    """Return the write id of a lease and when it runs out; of one that can't be read, that it has."""
    try:
        document = json.loads(content)
        return str(document["write_id"]), float(document["expires"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return "", 0.0
