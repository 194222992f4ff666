"""One bad input, and the ways in which they are made in the folder where a command runs.

That folder holds what a good run left: `photos/` (two classes), `results/`, `stores/` and `model/`.
"""

import json
import os
import shlex
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SMALL = "--backbone test_resnet --weights random --input-size 32 --target-size 16 --taps pre_logits"
"""What `…` stands for in a command: options under which everything takes a moment."""

Make = Callable[[Path], None]


@dataclass(frozen=True)
class BadInput:
    """A row of the table.

    Attributes
    ----------
    what : str
        The input in words; if empty, it is the command itself.
    command : str
        Words after `head2toe`; `…` stands for `SMALL`.
    code : int
        The exit code.
    says : str
        The line on stderr without `Error: `; `…` stands for any text. Paths are relative to the folder of the command.
    make : callable
        Puts the input into the folder in which the command runs.
    around : callable
        Gives a context manager: what is different while the command runs.
    """

    what: str
    command: str
    code: int
    says: str
    make: Make = lambda here: None  # noqa: ARG005
    around: Callable[[], AbstractContextManager[object]] = nullcontext

    def words(self) -> list[str]:
        """Return the command as it is run."""
        return shlex.split(self.command.replace("…", SMALL))


def both(*makes: Make) -> Make:
    """Do one after the other."""

    def make(here: Path) -> None:
        for each in makes:
            each(here)

    return make


def write(name: str, content: str | bytes = b"") -> Make:
    """Write a file, and the folders above it."""

    def make(here: Path) -> None:
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return make


def photo(*names: str) -> Make:
    """Copy a good photo to these names."""

    def make(here: Path) -> None:
        for name in names:
            (here / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(here / "photos/train/cat/0.png", here / name)

    return make


def remove(name: str) -> Make:
    """Remove what a pattern names, files or folders; there must be one."""

    def make(here: Path) -> None:
        found = list(here.glob(name))
        assert found, f"nothing is called {name}"
        for path in found:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    return make


def one(here: Path, name: str) -> Path:
    """Return the first file that a pattern names."""
    return min(here.glob(name))


def cut(name: str, size: int) -> Make:
    """Cut the file that a pattern names to a size in bytes."""
    return lambda here: os.truncate(one(here, name), size)


def flip(name: str, at: int) -> Make:
    """Turn a bit of the file that a pattern names."""

    def make(here: Path) -> None:
        content = bytearray(one(here, name).read_bytes())
        content[at] ^= 0x10
        one(here, name).write_bytes(content)

    return make


def replace(name: str, old: str, new: str) -> Make:
    """Put another text in place of one that the file has."""

    def make(here: Path) -> None:
        text = one(here, name).read_text(encoding="utf-8")
        assert old in text, f"{name} has no {old}"
        one(here, name).write_text(text.replace(old, new, 1), encoding="utf-8")

    return make


def change(name: str, **fields: Any) -> Make:
    """Set fields of a JSON file, whatever seal it has."""

    def make(here: Path) -> None:
        file = one(here, name)
        file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | fields), encoding="utf-8")

    return make


def overwrite(name: str, content: str) -> Make:
    """Put other content into the file that a pattern names."""
    return lambda here: one(here, name).write_text(content, encoding="utf-8") and None
