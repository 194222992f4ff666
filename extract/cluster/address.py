"""Where the workers of a cluster are: the word that follows `--cluster`, read."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import yaml
from head2toe.store.common.errors import BadRequest
from head2toe.store.common.files import expanded
from head2toe.store.format.key import default_rows_per_block

MOST_LOCAL = 1024
"""More processes than this on one machine are a slip of the finger."""

KINDS = ("dask_jobqueue", "dask_cuda", "distributed")
"""The packages whose clusters a file may name."""

LEAST_ROWS = 32
"""Rows of the smallest block: a batch on a CPU, and enough to show whether float16 is safe (`FEW_ROWS`)."""

MOST_SHARES = 64
"""So many blocks are enough to share."""

_KNOWN = "local:N, a scheduler as tcp://host:port, or a YAML file"


@dataclass(frozen=True)
class Address:
    """Where workers are, or how they are started.

    Attributes
    ----------
    word : str
        What was given, for messages.
    processes : int
        How many processes to start on this machine; 0 for none.
    devices : tuple of str
        What those processes compute on, dealt out in turn; empty where all do on the one that the options name.
    scheduler : str
        The address of a scheduler that runs; empty for none.
    kind : str
        The class of a file's cluster ("dask_jobqueue.SLURMCluster"); empty for none.
    workers : int
        How many workers a file's cluster is asked for.
    settings : dict
        What else the file says, handed to that class.
    """

    word: str
    processes: int = 0
    devices: tuple[str, ...] = ()
    scheduler: str = ""
    kind: str = ""
    workers: int = 1
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def asked(cls, word: str | None, devices: Sequence[str]) -> "Address | None":
        """Read `--cluster` and `--device` together; None where neither asks for several processes.

        Parameters
        ----------
        word : str, optional
            As of `of`.
        devices : sequence of str
            One, or several of this machine: a process for each, or as many as `local:N` says.

        Raises
        ------
        BadRequest
            As of `of`, or there are fewer processes than devices.
        """
        given = cls.of(word) if word else None
        if len(devices) < 2:
            return given
        address = given or cls(f"local:{len(devices)}", processes=len(devices))
        if address.processes < len(devices):
            raise BadRequest(
                f"--cluster {address.word} --device {','.join(devices)}: fewer processes of this machine than devices: "
                f"--cluster local:{len(devices)} or more, or leave it out"
            )
        return replace(address, devices=tuple(devices))

    @classmethod
    def of(cls, word: str) -> "Address":
        """Read `local:N`, `tcp://host:port` or the path of a YAML file. Raises BadRequest for anything else."""
        if word.startswith("local:"):
            number = word.removeprefix("local:")
            if not (number.isascii() and number.isdecimal()) or not 1 <= int(number[:9]) <= MOST_LOCAL:
                raise BadRequest(f"--cluster {word[:80]}: give a number of processes from 1 to {MOST_LOCAL}: local:2")
            return cls(word, processes=int(number))
        if word.startswith(("tcp://", "tls://")):
            if not re.fullmatch(r"t(cp|ls)://[^/\s]+:\d{1,5}", word, re.ASCII):
                raise BadRequest(f"--cluster {word[:80]}: give the host and the port of a scheduler: tcp://host:8786")
            return cls(word, scheduler=word)
        if word.endswith((".yaml", ".yml")):
            return cls._of_file(word)
        raise BadRequest(f"--cluster {word[:80]!r} is none of {_KNOWN}")

    @classmethod
    def _of_file(cls, word: str) -> "Address":
        try:
            content = yaml.safe_load(expanded(word).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            said = " ".join(str(error).split())[:200]
            raise BadRequest(f"--cluster {word}: not a YAML file that can be read: {said}") from error
        content = dict(content) if isinstance(content, dict) else {}
        kind, workers = content.pop("cluster", None), content.pop("workers", 1)
        if not isinstance(kind, str) or kind.partition(".")[0] not in KINDS or kind.count(".") != 1:
            raise BadRequest(
                f"--cluster {word}: its field cluster names a class of {', '.join(KINDS)}: dask_jobqueue.SLURMCluster"
            )
        if type(workers) is not int or workers < 1:
            raise BadRequest(f"--cluster {word}: its field workers is a number from 1 on")
        return cls(word, kind=kind, workers=workers, settings={str(key): value for key, value in content.items()})


def rows_per_block(n_images: int, dtype: str) -> int:
    """Return how many rows a block of a new store has, so that many workers can share few images.

    It depends on the number of images alone: the store is the same for any number of workers.

    Parameters
    ----------
    n_images : int
        How many images there are.
    dtype : str
        What is stored: a block never has more rows than without a cluster.
    """
    shared = LEAST_ROWS * max(1, -(-n_images // (LEAST_ROWS * MOST_SHARES)))
    return min(default_rows_per_block(dtype, n_images), shared)
