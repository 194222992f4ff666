"""A file of weights read safely: whatever is in it, nothing of it runs."""

import argparse
import codecs
import datetime
import json
import pathlib
import pickle
import re
import struct
import threading
import types
import warnings
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from head2toe.store.common.errors import DataError

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar")
"""How the names of weights files end, in small or capital letters."""
BROKEN = (
    *(OSError, RuntimeError, ValueError, EOFError, LookupError, AssertionError, TypeError, AttributeError),
    *(ArithmeticError, MemoryError, ImportError),
    *(struct.error, pickle.UnpicklingError, safetensors.SafetensorError),
)
"""What torch's and safetensors' readers raise when a file is damaged (found by damaging files at random)."""

_REFUSED = re.compile(r"(?:GLOBAL|Unsupported global:|Unsupported class) (?:GLOBAL )?([\w.]+)")
_KINDS_OF_NUMPY = [np.dtype(code) for code in "?bBhHiIlLqQefdgFDSUMm"]
_HARMLESS: list[Any] = [
    *(argparse.Namespace, types.SimpleNamespace, defaultdict),
    *(datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone),
    *(np.ndarray, np.dtype, *dict.fromkeys(type(kind) for kind in _KINDS_OF_NUMPY)),
    codecs.encode,  # how NumPy's scalars store their bytes
    *((getattr(pathlib, name), f"{home}.{name}") for home in ("pathlib", "pathlib._local") for name in pathlib.__all__),
    *(
        (value.__reduce__()[0], f"{home}.multiarray.{name}")
        for home in ("numpy.core", "numpy._core")
        for name, value in (("scalar", np.float64(0)), ("_reconstruct", np.empty(0)))
    ),
]
"""What training scripts put beside the tensors and does nothing when it is made: settings, dates, paths, numbers."""
_ONE_AT_A_TIME = threading.Lock()  # torch's list of safe globals is one for all threads


def read_file(path: Path) -> Mapping[str, Any]:
    """Read a `.safetensors` or a torch file; no code from the file is run.

    Parameters
    ----------
    path : Path
        The file, whose content tells the format; or the index of a network that was saved in several files
        (`model.safetensors.index.json`), or one of these files beside their index.

    Returns
    -------
    mapping
        What the file holds: tensors by their names, or a training script's checkpoint with such mappings inside.

    Raises
    ------
    DataError
        The file is damaged, holds objects that can't be read without running code, or something else than a mapping.
    """
    if (index := _index_of(path)) is not None:
        return {name: value for file in _files_of(index) for name, value in _read(file).items()}
    return _read(path)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        head = _head(path)
        if what := next((words for words, pattern in _OTHER_FILES if re.match(pattern, head, re.DOTALL)), ""):
            raise ValueError(what)
        if _is_safetensors(path, head):
            return safetensors.torch.load_file(path)
        with _ONE_AT_A_TIME, torch.serialization.safe_globals(_HARMLESS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch wonders at ends in an error that says it, or in tensors
            with path.open("rb") as file:  # of a path, torch would look at the suffix
                content = torch.load(file, map_location="cpu", weights_only=True)
    except BROKEN as error:
        raise DataError(f"can't read weights from {path}: {_reason(path, error)}") from error
    if not isinstance(content, Mapping):
        raise DataError(f"{path} holds no state dict (name to tensor) but a {type(content).__name__}: {_CONVERT}")
    return content


_CONVERT = "convert it where it was made, with torch.save(model.state_dict(), 'weights.pth')"
_OTHER_FILES = (
    ("a Git LFS pointer instead of the file: git lfs pull", rb"version https://git-lfs"),
    ("a web page instead of the file: fetch it again", rb"\s*<(?i:!doctype html|html|head)"),
    ("packed by gzip: unpack it", rb"\x1f\x8b"),
    (f"HDF5, as Keras writes it: {_CONVERT}", rb"\x89HDF"),
    ("JSON, and no index of files with weights", rb"\s*\{\s*\""),
)
"""What files are that pass for weights, by their first bytes."""
_ONE_OF_SEVERAL = re.compile(r"(.+)-\d+-of-\d+(\.\w+)")
_FIRST_BYTES_OF_TORCH = (b"PK", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.")
"""Those of a zip archive, and of the number that the older format begins with."""


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(64)


def _is_safetensors(path: Path, head: bytes) -> bool:
    """Tell by the length of the header, which is JSON; what is neither format is what its name says."""
    if head.startswith(_FIRST_BYTES_OF_TORCH):
        return False
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and length <= path.stat().st_size:
        return True
    return path.suffix.lower() == ".safetensors" and not head.startswith(b"\x80")  # as a pickle does


def _index_of(path: Path) -> Path | None:
    """Return the file that lists where each tensor of a network is which was saved in several files, if it is one."""
    if path.name.endswith(".index.json"):
        return path
    several = _ONE_OF_SEVERAL.fullmatch(path.name)
    index = path.with_name(f"{several[1]}{several[2]}.index.json") if several else path
    return index if index != path and index.is_file() else None


def _files_of(index: Path) -> list[Path]:
    """Return the files of an index, which stand beside it. Raises DataError if one does not."""
    try:
        names = sorted({str(name) for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()})
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"can't read weights from {index}: no index of files with weights (`weight_map`)") from error
    files = [index.parent / Path(name).name for name in names]
    if missing := [file.name for file in files if not file.is_file()]:
        raise DataError(f"{index} lists {len(files)} files of weights, of which {missing[0]} is not beside it")
    return files


def _reason(path: Path, error: BaseException) -> str:
    """Say in one line why a file can't be read, and how to convert one that holds objects of a program's own."""
    text = str(error)
    if path.is_file() and path.stat().st_size == 0:
        return "the file is empty"
    if "TorchScript" in text:
        return f"it is a TorchScript archive: {_CONVERT}"
    if isinstance(error, pickle.UnpicklingError) and (names := _refused(path, text)):
        return f"it holds objects that only running code could make ({', '.join(names)}): {_CONVERT}"
    if _is_plain_pickle(path):
        return f"a pickle that torch.save did not write: {_CONVERT}"
    if "inline_container" in text and "subdirectory" in text:
        return "a zip archive that torch.save did not write: unpack it, and pass the file in it"
    if isinstance(error, EOFError | pickle.UnpicklingError) or "PytorchStreamReader" in text:
        return "no file of torch.save, or one that was cut short or damaged: fetch it again"
    return text.strip().partition("\n")[0] or type(error).__name__


def _is_plain_pickle(path: Path) -> bool:
    head = _head(path)
    return head[:1] == b"\x80" and head[1:2] in b"\2\3\4\5" and not head.startswith(_FIRST_BYTES_OF_TORCH)


def _refused(path: Path, text: str) -> list[str]:
    """Name the classes and functions that torch refused to make."""
    try:
        with _ONE_AT_A_TIME, torch.serialization.safe_globals(_HARMLESS):
            names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except BROKEN:  # the older format, which torch does not look through
        names = []
    return sorted(set(names))[:4] or _REFUSED.findall(text)[:1]
