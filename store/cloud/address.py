"""Where a bucket is: the URL that follows `--store`, read, and where on this machine its copy lies."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from head2toe.store.common.errors import BadRequest
from head2toe.store.common.files import expanded
from head2toe.store.format.damage import ENVIRONMENT

CACHE = "HEAD2TOE_CACHE"
"""The environment's variable that names the folder in which buckets are copied."""

ANOTHER_CACHE = f"choose another folder with {CACHE}"
"""The remedy for a copy that can't be written where it is."""

SCHEMES = ("s3", "gs", "az")
"""What URLs of buckets begin with: Amazon S3 and whatever speaks like it, Google Cloud Storage, Azure Blob Storage."""

_URL = re.compile(rf"({'|'.join(SCHEMES)}):/{{1,2}}(.*)", re.DOTALL)  # a path has lost one of the two slashes
_PLAIN = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.=+-]+)*", re.ASCII)


@dataclass(frozen=True)
class Address:
    """A bucket and a prefix in it.

    Attributes
    ----------
    url : str
        "s3://bucket/prefix", without a slash at the end; it never holds credentials.
    """

    url: str

    @classmethod
    def of(cls, word: str | Path) -> "Address | None":
        """Read what stands for a root of stores; None if it is a folder.

        Raises
        ------
        BadRequest
            It is a URL with something in it that does not belong there, such as credentials, which are not repeated.
        """
        match = _URL.fullmatch(os.fspath(word))
        if match is None:
            if "://" in os.fspath(word):
                scheme = os.fspath(word).partition("://")[0][:20]
                raise BadRequest(f"--store {scheme}://…: a folder, or a bucket at s3://…, gs://… or az://…")
            return None
        scheme, rest = match[1], match[2].rstrip("/")
        if set("@?#") & set(rest):
            raise BadRequest(
                f"--store {scheme}://…: credentials and parameters don't belong into a URL: give it as "
                f"{scheme}://bucket/prefix, and credentials in the environment (docs/scale.md)"
            )
        parts = rest.split("/")
        if not _PLAIN.fullmatch(rest) or {".", ".."} & set(parts):
            raise BadRequest(f"--store {scheme}://{rest[:80]}: no URL of a bucket; one is {_example(scheme)}")
        return cls(f"{scheme}://{rest}")

    @classmethod
    def chosen(cls, root: str | Path | None) -> "Address | None":
        """Read what was chosen as the root of stores, by an option or else the environment; None for a folder."""
        word = os.environ.get(ENVIRONMENT) if root is None else root
        return cls.of(word) if word else None

    @property
    def mirror(self) -> Path:
        """The folder on this machine, absolute, in which the bucket's stores are copied."""
        name = re.sub(r"[^\w.-]+", "-", self.url)[:60]
        return cache_folder() / "buckets" / f"{name}-{hashlib.sha256(self.url.encode()).hexdigest()[:8]}"


def cache_folder() -> Path:
    """Return the folder, absolute, for copies of what is in buckets."""
    chosen = os.environ.get(CACHE)
    return (expanded(chosen) if chosen else platformdirs.user_cache_path("head2toe")).absolute()


def _example(scheme: str) -> str:
    return "az://container/prefix" if scheme == "az" else f"{scheme}://bucket/prefix"
