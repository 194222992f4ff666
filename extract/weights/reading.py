"""A file of weights read safely: whatever is in it, nothing of it runs."""

import argparse
import codecs
import datetime
import pathlib
import pickle
import re
import struct
import threading
import types
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
        The file. A name that ends in `.safetensors`, in small or capital letters, is of that format.

    Returns
    -------
    mapping
        What the file holds: tensors by their names, or a training script's checkpoint with such mappings inside.

    Raises
    ------
    DataError
        The file is damaged, holds objects that can't be read without running code, or something else than a mapping.
    """
    try:
        if path.suffix.lower() == ".safetensors":
            return safetensors.torch.load_file(path)
        with _ONE_AT_A_TIME, torch.serialization.safe_globals(_HARMLESS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except BROKEN as error:
        raise DataError(f"can't read weights from {path}: {_reason(path, error)}") from error
    if not isinstance(content, Mapping):
        raise DataError(f"{path} holds no state dict (name to tensor) but a {type(content).__name__}: {_CONVERT}")
    return content


_CONVERT = "convert it where it was made, with torch.save(model.state_dict(), 'weights.pth')"


def _reason(path: Path, error: BaseException) -> str:
    """Say in one line why a file can't be read, and how to convert one that holds objects of a program's own."""
    text = str(error)
    if path.is_file() and path.stat().st_size == 0:
        return "the file is empty"
    if "TorchScript" in text:
        return f"it is a TorchScript archive: {_CONVERT}"
    if isinstance(error, pickle.UnpicklingError) and (names := _refused(path, text)):
        return f"it holds objects that only running code could make ({', '.join(names)}): {_CONVERT}"
    if isinstance(error, EOFError | pickle.UnpicklingError) or "PytorchStreamReader" in text:
        return "no file of torch.save, or one that was cut short or damaged: fetch it again"
    return text.strip().partition("\n")[0] or type(error).__name__


def _refused(path: Path, text: str) -> list[str]:
    """Name the classes and functions that torch refused to make."""
    try:
        with _ONE_AT_A_TIME, torch.serialization.safe_globals(_HARMLESS):
            names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except BROKEN:  # the older format, which torch does not look through
        names = []
    return sorted(set(names))[:4] or _REFUSED.findall(text)[:1]
