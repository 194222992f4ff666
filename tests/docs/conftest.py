"""The documentation as a script: its blocks, and a place where they run.

A block's language says what is done with it: `sh` and `python` run, top to bottom; `text` is a drawing, a layout or an
output; `csv` and `yaml` are files that a test reads. A comment may stand right above a block:

    <!-- not run: REASON -->    REASON is one of a few; commands and options are checked all the same
    <!-- slow -->               run by `make test-slow`
    <!-- output -->             what the commands above print, figures aside
"""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import Any

import datasets
import pytest
from click.testing import CliRunner
from head2toe.extract.tasks import embedded
from head2toe.extract.vtab.tasks import VTAB_TASKS
from head2toe.extract.weights import sources
from head2toe.extract.weights.fitting import create
from head2toe.pipeline import main
from head2toe.select import stage
from head2toe.store.cloud.address import Address
from head2toe.store.cloud.bucket import Bucket
from head2toe.tests.conftest import add_shared
from head2toe.tests.store.cloud.server import bucket_server, make_bucket
from PIL import Image

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
LARGE = re.compile(r"\b\d{5}\b")  # target sizes: with dtd's 47 classes, the paper's optimiser takes an hour at 32448
BLOCK = re.compile(r"^(?:<!-- ([^\n]*) -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

CALLER = """#!{python} -IS
# Hands its words to the test, which runs the command in its own process: starting torch takes seconds.
import os, sys
from multiprocessing.connection import Client
with Client({address!r}) as test:
    settings = {{name: value for name, value in os.environ.items() if name.startswith("HEAD2TOE_")}}
    test.send((sys.argv[1:], os.getcwd(), settings, sys.stdin.buffer.read() if "-" in sys.argv else b""))
    code, out, err = test.recv()
sys.stdout.buffer.write(out)
sys.stderr.buffer.write(err)
sys.exit(code)
"""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    mark: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def reason(self) -> str | None:
        """Why it is not run."""
        return self.mark.removeprefix("not run: ") if self.mark.startswith("not run: ") else None


def blocks(page: Path) -> list[Block]:
    """Of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, match.start()) + 1, match[1] or "", match[2], match[3])
        for match in BLOCK.finditer(text)
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for a `page` or a `block` gets every one."""
    if "page" in metafunc.fixturenames:
        metafunc.parametrize("page", PAGES, ids=[page.relative_to(ROOT).as_posix() for page in PAGES])
    if "block" in metafunc.fixturenames:
        every = [block for page in PAGES for block in blocks(page)]
        metafunc.parametrize("block", every, ids=map(str, every))


@pytest.fixture
def pages() -> list[Path]:
    """All pages."""
    return PAGES


@pytest.fixture
def blocks_of() -> Callable[[Path], list[Block]]:
    """The blocks of a page."""
    return blocks


@dataclass
class Shell:
    """Runs blocks in a folder: shell lines in bash, where `head2toe` is this process; Python in one namespace."""

    folder: Path
    listener: Listener
    printed: str = ""
    names: dict[str, Any] = field(default_factory=dict)

    def run(self, block: Block) -> None:
        """Run a block; what it printed is in `printed`. A failing line fails the test."""
        {"sh": self._sh, "python": self._python}[block.language](block)

    def _python(self, block: Block) -> None:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile("\n" * block.line + block.text, block.page, "exec"), self.names)
        self.printed = out.getvalue()

    def _sh(self, block: Block) -> None:
        completed: list[subprocess.CompletedProcess[str]] = []

        def bash() -> None:
            path = f"{self.folder / '.venv' / 'bin'}:{os.environ['PATH']}"
            text = block.text.replace("/path/to/data", str(self.folder / "data"))
            text = LARGE.sub(lambda size: size[0][:-1], text)
            command = ["bash", "-e", "-u", "-x", "-o", "pipefail", "-c", text]
            environment = os.environ | {"PATH": path}
            completed.append(
                subprocess.run(
                    command,
                    cwd=self.folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    check=False,
                )
            )
            with Client(self.listener.address) as over:
                over.send(None)

        thread = threading.Thread(target=bash)
        thread.start()
        while True:
            with self.listener.accept() as caller:
                request = caller.recv()
                if request is None:
                    break
                caller.send(_answer(*request))
        thread.join()
        self.printed = completed[0].stdout
        assert completed[0].returncode == 0, f"{block} fails:\n{completed[0].stdout}\n{completed[0].stderr}"


def _answer(words: list[str], folder: str, settings: dict[str, str], given: bytes) -> tuple[int, bytes, bytes]:
    """Exit code, stdout and stderr of a command."""
    with contextlib.chdir(folder):
        result = CliRunner().invoke(main, words, input=given, env=settings)
    crash = (
        ""
        if result.exc_info is None or result.exc_info[0] is SystemExit
        else "".join(traceback.format_exception(*result.exc_info))
    )
    return result.exit_code, result.stdout_bytes, result.stderr_bytes + crash.encode()


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all pages: what one extracted, the next one finds."""
    return tmp_path_factory.mktemp("stores")


@pytest.fixture(scope="session")
def shared_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all pages: what one selected and probed, the next one finds."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture
def my_bucket(image_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The bucket `my-bucket` on a server of this machine: a few pictures below `pets/`, their shard and manifest."""
    with bucket_server() as server:
        make_bucket(server, "my-bucket")
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        address = Address.of("s3://my-bucket")
        assert address is not None
        bucket, shard, manifest = Bucket(address), image_folder.parent / "pets.tar", image_folder.parent / "pets.csv"
        names = []
        with tarfile.open(shard, "w") as tar:
            for folder, animal in (("across", "cat"), ("down", "dog")):
                (label := image_folder.parent / "label").write_text(animal)
                for picture in sorted((image_folder / "train" / folder).glob("0[0-3].png")):
                    names.append(f"pets/{animal}/{picture.name},{animal}")
                    bucket.upload(f"pets/{animal}/{picture.name}", picture)
                    tar.add(picture, f"{animal}{picture.name}")
                    tar.add(label, f"{animal}{picture.stem}.cls")
        manifest.write_text("\n".join(["path,label", *names]))
        for file in (shard, manifest):
            bucket.upload(file.name, file)
            file.unlink()
        yield


@pytest.fixture
def shell(
    tmp_path: Path,
    image_folder: Path,
    shared_store: Path,
    shared_results: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[Shell]:
    """A folder with what the documentation speaks of, made small.

    `my_task` and `photos` are a few striped pictures, `digits` has 60 + 20 images, `/path/to/data` holds VTAB-1k's
    tasks with 36 + 15 images each, and the hub has random weights. The paper's optimiser takes few steps, and of target
    sizes over 9999 a tenth will do.
    """
    if "page" in request.fixturenames and "s3://my-bucket" in request.getfixturevalue("page").read_text("utf-8"):
        request.getfixturevalue("my_bucket")
    monkeypatch.setattr(stage, "RECIPE_STEPS", 5)
    monkeypatch.setenv("HEAD2TOE_STORE", str(shared_store))
    image_folder.rename(tmp_path / "my_task")
    photos(tmp_path)
    vtab_tasks(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    few = replace(embedded.EMBEDDED_TASKS["digits"], read=few_digits(embedded.digits()))
    monkeypatch.setitem(embedded.EMBEDDED_TASKS, "digits", few)
    monkeypatch.setattr(sources, "_from_hub", lambda name, options: sources.Weighted(create(name, options), "random:0"))
    with Listener(family="AF_UNIX") as listener:
        installed(tmp_path, listener)
        add_shared(shared_results, tmp_path / "results")
        yield Shell(tmp_path, listener)
        add_shared(tmp_path / "results", shared_results)


def photos(folder: Path) -> None:
    """JPEG files without labels."""
    (folder / "photos").mkdir()
    for i, picture in enumerate(sorted((folder / "my_task" / "test").rglob("*.png"))[::3]):
        with Image.open(picture) as image:
            image.save(folder / "photos" / f"{i}.jpg")


def vtab_tasks(folder: Path) -> None:
    """All nineteen, on the same images, so that they are extracted once."""
    lists = {}
    for split, name in (("train", "train800val200"), ("test", "test")):
        files = sorted((folder / "my_task" / split).rglob("*.png"))
        lists[name] = [(file, i % 2) for i, file in enumerate(files)]
    for task in VTAB_TASKS:
        there = folder / "data" / "vtab-1k" / task.folder
        there.mkdir(parents=True)
        for name, rows in lists.items():
            (there / f"{name}.txt").write_text("".join(f"{os.path.relpath(file, there)} {y}\n" for file, y in rows))


def few_digits(whole: Any) -> Callable[[], Any]:
    """The task digits with rows left out."""
    return lambda: replace(whole, train=whole.train[:60], test=whole.test[:20])


def installed(folder: Path, listener: Listener) -> None:
    """A clone in which everything has been installed, as far as `make` can tell."""
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "pyproject.toml").touch()
    binaries = folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for extra in ("demo", "dev", "docs", "bench"):
        (folder / ".venv" / extra).touch()
    command = binaries / "head2toe"
    command.write_text(CALLER.format(python=sys.executable, address=listener.address))
    command.chmod(0o755)
