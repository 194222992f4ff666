"""The state dict inside a checkpoint: which of its parts holds the network, and which is preferred."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from head2toe.store.common.errors import BadRequest, DataError

State = dict[str, torch.Tensor]
"""A state dict: the name of each tensor, and the tensor."""

ANYWHERE = ("_orig_mod", "_forward_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""What torch.compile, Fabric, FSDP and checkpointing put in front of a module's names, at whatever depth it lies."""
WRAPPERS = ("module", *ANYWHERE)
"""What these and DDP put in front of every name; never what tells two networks apart."""
MEAN_OF_STEPS = ("state_dict_ema", "model_ema", "ema", "ema_model", "ema_state_dict", "params_ema", "averaged_model")
"""Names of averages of the weights over steps, in the order in which they are preferred."""
_MEAN_OF_STEPS = re.compile(r"(?:.*_)?(?:ema|swa|averaged)(?:_.*)?")
"""Other names of such averages, preferred after these: `ema_state`, `swa_state_dict`."""
TRAILING = (
    "encoder_k",
    "momentum_encoder",
    "target_encoder",
    "target_network",
    "backbone_momentum",
    "momentum_backbone",
)
"""Names of the copy that trails the trained network in self-supervised training; the trained one is preferred."""
PREFIXES = frozenset(
    [
        *(*WRAPPERS, *MEAN_OF_STEPS, *TRAILING),
        *("model", "net", "network", "backbone", "encoder", "encoder_q", "base_encoder", "base_model"),
        *("teacher", "student", "online_network", "online_encoder", "feature_extractor", "timm_model"),
    ]
)
"""First parts of tensors' names that stand for a network inside of another, whatever the network is."""
DEEPEST = 6


@dataclass(frozen=True)
class Part:
    """One state dict of a checkpoint.

    Attributes
    ----------
    path : tuple of str
        The names of the dicts that it lies in, and then the prefixes that its tensors' names have lost.
    state : dict
        The tensors by their names without the prefixes.
    """

    path: tuple[str, ...]
    state: State

    @property
    def label(self) -> str:
        """How the part is named after `FILE#`; empty for a whole file."""
        return ".".join(word for word in self.path if word not in WRAPPERS)


def network_part(content: Mapping[str, Any], body: Collection[str], wanted: str, path: Path) -> Part:
    """Find the part of a checkpoint that holds a network.

    Parts that hold the most of the network's tensors by name are candidates. Of several, timm's order decides: an
    exponential moving average first, then `state_dict`, then `model`.

    Parameters
    ----------
    content : mapping
        What the file holds.
    body : collection of str
        Names of the network's tensors, but for its classifiers'. A file that has none of them may have been written
        by another library whose names timm knows: the largest part is the candidate.
    wanted : str
        Which part to take (`teacher`, `model.teacher`), or the empty string.
    path : Path
        The file, for messages.

    Raises
    ------
    BadRequest
        Several parts are equally good, or there is none of the name that is wanted.
    DataError
        There is no state dict in the file.
    """
    parts = [part for whole in _state_dicts(content) for part in _stripped(whole, frozenset(body))]
    if not parts:
        raise DataError(f"{path} holds no state dict (name to tensor)")
    chosen = _candidates([part for part in parts if _is_meant(part, wanted)], body)
    if not chosen:
        labels = dict.fromkeys(part.label for part in _candidates(parts, body) if part.label)
        there = f"there: {', '.join(labels)}" if labels else "the file has only one, without a name"
        raise BadRequest(f"{path} has no part {wanted!r} ({there})")
    best = min(map(_rank, chosen))
    preferred = [part for part in chosen if _rank(part) == best]
    if len(preferred) > 1:
        labels = dict.fromkeys(part.label or "(no name)" for part in preferred)
        raise BadRequest(
            f"{path} holds {len(preferred)} networks ({', '.join(labels)}): choose one with "
            f"--weights '{path.name}#{next(iter(labels))}'"
        )
    return preferred[0]


def _state_dicts(content: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[Part]:
    """Yield every mapping inside that holds tensors under names; an optimiser's have numbers."""
    named = ((_without_wrappers(key), _tensor(value)) for key, value in content.items() if isinstance(key, str))
    if tensors := {key: value for key, value in named if value is not None}:
        yield Part(path, tensors)
    for key, value in content.items():
        if isinstance(key, str) and isinstance(value, Mapping) and len(path) < DEEPEST:
            yield from _state_dicts(value, (*path, key))


def _tensor(value: Any) -> torch.Tensor | None:
    """Return a tensor, or an array of numbers as one; None for anything else."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu" and value.dtype.itemsize <= 8:
        return torch.from_numpy(value.astype(value.dtype.newbyteorder("=")))
    return value if isinstance(value, torch.Tensor) else None


def _without_wrappers(name: str) -> str:
    return ".".join(word for word in name.split(".") if word not in ANYWHERE)


def _stripped(part: Part, body: frozenset[str]) -> Iterator[Part]:
    """Yield a part as it is, and the networks within it that a prefix of the names tells.

    A prefix is one of `PREFIXES`, or whatever stands before most of the network's own names.
    """
    yield part
    prefixes = PREFIXES | _first_words(part.state, body)
    by_prefix: dict[str, State] = {}
    for key, value in part.state.items():
        first, dot, rest = key.partition(".")
        if dot and rest and first in prefixes:
            by_prefix.setdefault(first, {})[rest] = value
    if len(part.path) < 2 * DEEPEST:
        for prefix, state in by_prefix.items():
            yield from _stripped(Part((*part.path, prefix), state), body)


def _first_words(state: State, body: frozenset[str]) -> set[str]:
    """Return the first word of each prefix (`net.trunk`) that stands before half of a network's names or more."""
    before = Counter[str]()
    for key in state:
        words = key.split(".")
        before.update(".".join(words[:n]) for n in range(1, len(words)) if ".".join(words[n:]) in body)
    return {prefix.partition(".")[0] for prefix, count in before.items() if count >= len(body) / 2}


def _is_meant(part: Part, wanted: str) -> bool:
    """Tell whether the words of what is wanted stand in the part's path in their order."""
    words = iter(part.path)
    return all(word in words for word in wanted.replace("/", ".").split(".") if word)


def _candidates(parts: Sequence[Part], body: Collection[str]) -> list[Part]:
    """Return the parts that hold about as much of the network as the best of them."""
    names = frozenset(body)
    shares = [len(names & part.state.keys()) for part in parts]
    if parts and max(shares) >= len(names) / 2:
        return [part for part, share in zip(parts, shares, strict=True) if share >= 0.9 * max(shares)]
    # Under other names: the innermost large parts, of which each stands for those that it was stripped from.
    inner = [part for part in parts if not any(_is_most_of(other, part) for other in parts)]
    largest = max((len(part.state) for part in inner), default=0)
    return [part for part in inner if len(part.state) >= 0.5 * largest]


def _is_most_of(inner: Part, outer: Part) -> bool:
    nested = len(inner.path) > len(outer.path) and inner.path[: len(outer.path)] == outer.path
    return nested and len(inner.state) >= 0.4 * len(outer.state)


def _rank(part: Part) -> tuple[int, bool]:
    """Order parts by preference, the best first, as timm does: averages of the steps, `state_dict`, `model`."""
    order = (*MEAN_OF_STEPS, "", "state_dict", "model")
    words = ["" if word not in MEAN_OF_STEPS and _MEAN_OF_STEPS.fullmatch(word) else word for word in part.path]
    rank = min((order.index(word) for word in words if word in order), default=len(order))
    return rank, any(word in part.path for word in TRAILING)
