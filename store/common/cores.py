"""What this process may compute on: how many processors there are, and which devices a word names."""

import os
import re

from head2toe.store.common.errors import BadRequest

_ONE_OF_SEVERAL = re.compile(r"cuda:\d{1,4}", re.ASCII)


def usable_cores() -> int:
    """Return the number of processors that this process may use, or of all where a system does not tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def named_devices(word: str) -> tuple[str, ...]:
    """Return the devices that `--device` names: one, whatever it is, or several GPUs with commas (`cuda:0,cuda:1`).

    Whether they are there is asked elsewhere, of torch and of CuPy.

    Raises
    ------
    BadRequest
        Of several, one is empty, has a space, is no GPU with a number, or is named twice.
    """
    if "," not in word:
        return (word,)
    names, shown = tuple(word.split(",")), f"--device {word[:80]!r}"
    if any(letter.isspace() for letter in word):
        raise BadRequest(f"{shown}: write several devices without spaces: cuda:0,cuda:1")
    for name in names:
        if not name:
            raise BadRequest(f"{shown}: a name is missing beside a comma: cuda:0,cuda:1")
        if not _ONE_OF_SEVERAL.fullmatch(name):
            raise BadRequest(f"{shown}: {name!r} can't be one of several devices, which are GPUs: cuda:0,cuda:1")
        if names.count(name) > 1:
            raise BadRequest(f"{shown}: {name} is named twice: name each once; --cluster local:N has more processes")
    return names
