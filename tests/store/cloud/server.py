"""A bucket on this machine: moto's S3 server, and before it a proxy that loses replies, fails, and dawdles as asked.

The proxy also lets one conditional put of a name through at a time: moto looks for the object first and stores it then,
in threads, which S3 does in one step.

To Google's client the proxy answers as Google's XML interface does, which has S3's words but for conditions of puts.

Beside it Azurite, Microsoft's stand-in for Azure's blobs, where it is installed (`npm install -g azurite`).
"""

import base64
import hashlib
import hmac
import http.client
import json
import logging
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

SECRET = "d1stinctive/secret+of+the+tests"
"""The secret key of the tests, which must not turn up anywhere."""

GENERATION = "x-goog-if-generation-match"
"""Google's condition of a put: the generation of the object that is there, 0 for none."""

ERROR = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>asked for</Message></Error>'


@dataclass
class Fault:
    """What the proxy does to requests.

    Attributes
    ----------
    how : str
        `drop` (nothing is passed on, the connection ends), `lose` (passed on, the reply is lost), `fail` (an error
        instead of passing on), `fail after` (passed on, and an error all the same), `cut` (half of the body), `slow`
        (the body in drops of 16 bytes), `wait` (passed on after a second).
    method, path : str
        Which requests: a regular expression is searched for in the path.
    times : int
        How often.
    status, code : int, str
        Of the error.
    """

    how: str
    method: str
    path: str
    times: int = 1
    status: int = 500
    code: str = "InternalError"


@dataclass
class Flaky:
    """The proxy: its address, what it is to do to requests, and what went through it.

    Attributes
    ----------
    url : str
        Its address, the endpoint of the bucket.
    faults : list of Fault
        What it does; those that have been done as often as asked are left alone.
    log : list of (str, str, int)
        Method, path and status of every request that the server answered.
    """

    url: str
    faults: list[Fault] = field(default_factory=list)
    log: list[tuple[str, str, int]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def environment(self) -> dict[str, str]:
        """What a process needs to use it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "AKIATESTS",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def environment_of_google(self) -> dict[str, str]:
        """What a process needs beside it to use it as Google's."""
        key = {"gcs_base_url": self.url, "disable_oauth": True, "client_email": "", "private_key": ""}
        return {"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(key | {"private_key_id": ""})}

    def puts(self, pattern: str) -> list[str]:
        """The paths that were put successfully, one for each time."""
        return [
            path for method, path, status in self.log if (method, status) == ("PUT", 200) and re.search(pattern, path)
        ]

    def fault(self, method: str, path: str) -> Fault | None:
        """What to do to a request."""
        with self.lock:
            for one in self.faults:
                if one.times and one.method == method and re.search(one.path, path):
                    one.times -= 1
                    return one
        return None


def _of_s3(headers: dict[str, str]) -> dict[str, str]:
    """Say as S3 does what Google's client says in words of its own: who asks, and that no object shall be there yet."""
    headers = {name.lower(): value for name, value in headers.items()}
    if not headers.get("authorization", "").startswith("AWS4"):
        headers["authorization"] = "AWS4-HMAC-SHA256 Credential=AKIATESTS/20260101/us-east-1/s3/aws4_request"
    if headers.pop(GENERATION, "") == "0":
        headers["if-none-match"] = "*"
    return headers


@contextmanager
def bucket_server() -> Iterator[Flaky]:
    """Start the server and the proxy before it."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    one_at_a_time = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = flaky.fault(self.command, self.path)
            how = fault.how if fault else ""
            if how == "drop":
                self.close_connection = True
                return
            if fault and how == "fail":
                self.reply(fault.status, {}, ERROR.format(code=fault.code).encode())
                return
            if how == "wait":
                time.sleep(1)
            if "If-None-Match" in self.headers or GENERATION in self.headers:
                with one_at_a_time:
                    status, headers, content = self.passed_on(body)
            else:
                status, headers, content = self.passed_on(body)
            flaky.log.append((self.command, self.path, status))
            if how == "lose":
                self.close_connection = True
            elif fault and how == "fail after":
                self.reply(fault.status, {}, ERROR.format(code=fault.code).encode())
            else:
                self.reply(status, headers, content, how)

        def passed_on(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            _, name, *rest = self.path.split("/", 2)
            path = "/".join(["", unquote(name), *rest])  # Google's client writes bucket%2D1, which moto doesn't read
            connection.request(self.command, path, body, _of_s3(dict(self.headers)))
            response = connection.getresponse()
            content = response.read()
            connection.close()
            return response.status, dict(response.headers), content

        def reply(self, status: int, headers: Mapping[str, str], content: bytes, how: str = "") -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "connection", "date", "server", "transfer-encoding"):
                    self.send_header(name, value)
            self.send_header("Content-Length", headers.get("Content-Length", str(len(content))))
            self.end_headers()
            if how == "cut":
                self.wfile.write(content[: len(content) // 2])
                self.close_connection = True
            elif how == "slow":
                for start in range(0, len(content), 16):
                    self.wfile.write(content[start : start + 16])
                    time.sleep(0.01)
            else:
                self.wfile.write(content)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as proxy:
        proxy.daemon_threads = True
        flaky = Flaky(f"http://127.0.0.1:{proxy.server_address[1]}")
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        try:
            yield flaky
        finally:
            proxy.shutdown()
            thread.join()
            server.stop()


def make_bucket(flaky: Flaky, name: str) -> None:
    """Make a bucket."""
    connection = http.client.HTTPConnection(flaky.url.removeprefix("http://"), timeout=30)
    connection.request("PUT", f"/{name}")
    assert connection.getresponse().status == 200
    connection.close()


@dataclass(frozen=True)
class Azurite:
    """A server of Azure's blobs on this machine, with an account of its own.

    Attributes
    ----------
    port : int
        Where it listens.
    account, key : str
        Who may use it.
    """

    port: int
    account: str = "tests"
    key: str = base64.b64encode(SECRET.encode()).decode()

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which it is found."""
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": self.account,
            "AZURE_STORAGE_ACCOUNT_KEY": self.key,
            "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{self.port}/{self.account}",
            "AZURE_ALLOW_HTTP": "true",
        }

    def make_container(self, name: str) -> None:
        """Make what Azure calls a bucket, in a request signed as its documentation of `Shared Key` says."""
        path = f"/{self.account}/{name}"
        named = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
        text = "PUT" + "\n" * 12 + "".join(f"{name}:{value}\n" for name, value in named.items())
        text += f"/{self.account}{path}\nrestype:container"
        signed = hmac.new(base64.b64decode(self.key), text.encode(), hashlib.sha256).digest()
        named["Authorization"] = f"SharedKey {self.account}:{base64.b64encode(signed).decode()}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("PUT", f"{path}?restype=container", headers=named)
        assert connection.getresponse().status == 201
        connection.close()


@contextmanager
def azurite_server(program: str, folder: Path) -> Iterator[Azurite]:
    """Start Azurite, which keeps its blobs in a folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        azurite = Azurite(free.getsockname()[1])
    command = [program, "--silent", "--skipApiVersionCheck", "--location", str(folder), "--blobPort", str(azurite.port)]
    environment = {"AZURITE_ACCOUNTS": f"{azurite.account}:{azurite.key}"}
    with subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.DEVNULL) as process:
        try:
            for _ in range(200):
                with socket.socket() as there:
                    if there.connect_ex(("127.0.0.1", azurite.port)) == 0:
                        break
                time.sleep(0.1)
            yield azurite
        finally:
            process.terminate()


every_service = pytest.mark.parametrize("service", ["s3", "gs", "az"], indirect=True)
"""A test that runs in a bucket of S3's, one of Google's and a container of Azure's."""
