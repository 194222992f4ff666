"""Buckets that can't be used, as stores' root."""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest import mock

from head2toe.store.cloud import bucket
from head2toe.tests.bad_inputs.bad_input import BadInput, Make, write

Around = Callable[[], AbstractContextManager[object]]
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
EXTRACT = "extract photos … --store s3://bucket/stores"
TABLE = "extract table.csv …"


def environment(**variables: str) -> Around:
    """Set variables of the environment."""
    return lambda: mock.patch.dict("os.environ", CREDENTIALS | variables)


def answering(status: int, body: str, **variables: str) -> Around:
    """Have an endpoint that answers everything in the same way; requests are given up soon."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), "ETag": '"1"', "Last-Modified": DATE}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body.encode())

        do_GET = do_PUT = do_DELETE = do_HEAD = answer

    @contextmanager
    def around() -> Iterator[None]:
        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            endpoint: Mapping[str, str] = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_address[1]}"}
            allowed = {"AWS_ALLOW_HTTP": "true"} | variables
            try:
                with environment(**endpoint, **allowed)(), mock.patch.object(bucket, "PATIENCE", 0.3):
                    yield
            finally:
                server.shutdown()
                thread.join()

    return around


DATE = "Fri, 27 Nov 2026 00:00:00 GMT"
NOTHING = (
    "<ListBucketResult><Name>bucket</Name><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"
)


def refusing(status: int, code: str) -> Around:
    """Have an endpoint that refuses everything."""
    return answering(status, f"<Error><Code>{code}</Code></Error>")


@contextmanager
def cut_off() -> Iterator[None]:
    """Have an endpoint at which nobody is."""
    variables = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ALLOW_HTTP": "true"}
    with environment(**variables)(), mock.patch.object(bucket, "PATIENCE", 0.3):
        yield


def table(url: str) -> Make:
    """Make a manifest of one image in a bucket."""
    return write("table.csv", f"path,label\n{url},cat\n")


ROWS = (
    BadInput(
        "credentials in a URL",
        "extract photos … --store s3://key:secret@bucket/stores",
        2,
        (
            "--store s3://…: credentials and parameters don't belong into a URL: give it as s3://bucket/prefix, and "
            "credentials in the environment (docs/scale.md)"
        ),
    ),
    BadInput(
        "",
        "store ls --store s3://",
        2,
        "--store s3://: no URL of a bucket; one is s3://bucket/prefix",
    ),
    BadInput(
        "",
        "store ls --store az://container/stores",
        2,
        "--store az://container/stores: of no account: name it in the environment, AZURE_STORAGE_ACCOUNT_NAME",
    ),
    BadInput(
        "",
        "store ls --store https://bucket.host/stores",
        2,
        "--store https://…: a folder, or a bucket at s3://…, gs://… or az://…",
    ),
    BadInput(
        "a bucket without the extra `cloud`",
        EXTRACT,
        1,
        "--store s3://bucket/stores needs obstore: pip install 'head2toe[cloud]' (…)",
        around=lambda: mock.patch.dict(sys.modules, {"obstore": None}),
    ),
    BadInput(
        "a bucket that isn't there",
        EXTRACT,
        1,
        "s3://bucket/stores: there is no such bucket: make it first, or look at its name and the region",
        around=refusing(404, "NoSuchBucket"),
    ),
    BadInput(
        "a bucket that refuses",
        EXTRACT,
        1,
        (
            "s3://bucket/stores: refuses (AccessDenied): look at the credentials in the environment and at what they "
            "may do there"
        ),
        around=refusing(403, "AccessDenied"),
    ),
    BadInput(
        "a clock that is wrong",
        EXTRACT,
        1,
        "s3://bucket/stores: refuses the request's time (RequestTimeTooSkewed): this machine's clock is wrong, set it",
        around=refusing(403, "RequestTimeTooSkewed"),
    ),
    BadInput(
        "a bucket of another region",
        EXTRACT,
        1,
        "s3://bucket/stores: redirects the request: the bucket is in another region, set AWS_REGION",
        around=refusing(301, "PermanentRedirect"),
    ),
    BadInput(
        "a network that stays cut",
        EXTRACT,
        1,
        (
            "s3://bucket/stores: tried for … s in vain (no connection): look at the network and the endpoint; what was "
            "finished is kept, and the same command goes on"
        ),
        around=cut_off,
    ),
    BadInput(
        "a bucket that fails again and again",
        EXTRACT,
        1,
        (
            "s3://bucket/stores: tried for … s in vain (SlowDown): look at the network and the endpoint; what was "
            "finished is kept, and the same command goes on"
        ),
        around=refusing(503, "SlowDown"),
    ),
    BadInput(
        "an endpoint without TLS",
        EXTRACT,
        1,
        "s3://bucket/stores: the endpoint is http, not https: set AWS_ALLOW_HTTP=true if that is meant",
        around=answering(200, "", AWS_ALLOW_HTTP="false"),
    ),
    BadInput(
        "a record in a bucket that is none",
        EXTRACT,
        1,
        "s3://bucket/stores/…/spec.json: damaged (no record of a feature store): remove it, and extract again",
        around=answering(200, "{"),
    ),
    BadInput(
        "the copies of buckets go where a file is",
        EXTRACT,
        1,
        "file: a file of this name is there already: choose another folder with HEAD2TOE_CACHE",
        write("file"),
        around=answering(404, "<Error><Code>NoSuchKey</Code></Error>", HEAD2TOE_CACHE="file"),
    ),
    BadInput(
        "credentials in the URL of an image",
        TABLE,
        2,
        (
            "s3://…: credentials and parameters don't belong into a URL: give it as s3://bucket/image.jpg, and "
            "credentials in the environment (docs/scale.md)"
        ),
        table("s3://key:secret@bucket/image.jpg"),
    ),
    BadInput(
        "the URL of a bucket where an image's should be",
        TABLE,
        2,
        "s3://bucket: names no object; a URL is s3://bucket/image.jpg",
        table("s3://bucket"),
    ),
    BadInput(
        "images in a bucket without the extra `cloud`",
        TABLE,
        1,
        "s3://bucket needs obstore: pip install 'head2toe[cloud]' (…)",
        table("s3://bucket/image.jpg"),
        around=lambda: mock.patch.dict(sys.modules, {"obstore": None}),
    ),
    BadInput(
        "an image that is not in the bucket",
        TABLE,
        1,
        "s3://bucket/image.jpg: no such object, or no such bucket: look at the name and the region",
        table("s3://bucket/image.jpg"),
        around=answering(404, ""),
    ),
    BadInput(
        "a bucket that refuses an image",
        TABLE,
        1,
        (
            "s3://bucket/image.jpg: refuses (403): look at the credentials in the environment and at what they may do "
            "there"
        ),
        table("s3://bucket/image.jpg"),
        around=answering(403, ""),
    ),
    BadInput(
        "a network that stays cut while images are fetched",
        TABLE,
        1,
        (
            "s3://bucket/image.jpg: tried for … s in vain (no connection): look at the network and the endpoint; what "
            "was finished is kept, and the same command goes on"
        ),
        table("s3://bucket/image.jpg"),
        around=cut_off,
    ),
    BadInput(
        "a task in a bucket where nothing is",
        "extract s3://bucket/pets …",
        1,
        "s3://bucket/pets: there is nothing below it: look at the name and the region",
        around=answering(200, NOTHING),
    ),
    BadInput(
        "credentials in the URL of a task",
        "extract s3://key:secret@bucket/pets …",
        2,
        (
            "s3://…: credentials and parameters don't belong into a URL: give it as s3://bucket/pets, and credentials "
            "in the environment (docs/scale.md)"
        ),
    ),
    BadInput(
        "a task in a bucket without the extra `cloud`",
        "extract s3://bucket/pets …",
        1,
        "s3://bucket needs obstore: pip install 'head2toe[cloud]' (…)",
        around=lambda: mock.patch.dict(sys.modules, {"obstore": None}),
    ),
    BadInput(
        "a shard in a bucket that refuses",
        "extract s3://bucket/pets.tar …",
        1,
        (
            "s3://bucket/pets.tar: refuses (403): look at the credentials in the environment and at what they may do "
            "there"
        ),
        around=answering(403, ""),
    ),
)
