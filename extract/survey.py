"""Which of timm's models can be backbones here, found by trying: every one is built with random weights and tapped."""

import gc
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import timm
import torch
from head2toe.extract.backbone.backbone import load_backbone
from head2toe.extract.backbone.taps import discover
from head2toe.store.common.errors import BadRequest, Head2ToeError

LARGEST = 2 * 10**9
"""Bytes of weights beyond which a model is not tried."""


SMALL_INPUT = 64
"""Pixels at which a model is tried first where time counts; many take any size."""

_SMALL = re.compile(r"^test_|atto|femto|pico|nano|tiny|mini|_xxt|_xxs|_xs|_050|_035|_s\d?(_|$)|small|18|10t|_b0|_m0")


class Trial(NamedTuple):
    """What came of trying a model.

    Attributes
    ----------
    name : str
        The model's name in timm.
    reason : str
        Why it can't be read; empty for one that can.
    pixels : int
        The input at which it was tapped, 0 if it was not.
    seconds : float
        What building and tapping it took.
    """

    name: str
    reason: str
    pixels: int
    seconds: float


def names_like(pattern: str) -> list[str]:
    """Return the names of timm's models that match a glob pattern.

    Raises
    ------
    BadRequest
        There is none.
    """
    names: list[str] = timm.list_models(pattern)
    if not names:
        raise BadRequest(f"no model of timm's matches {pattern!r}")
    return names


def families_of(names: Sequence[str]) -> dict[str, list[str]]:
    """Sort names of timm's models by the module that defines them, which is a family: in the order of the names."""
    families: dict[str, list[str]] = defaultdict(list)
    for name in names:
        families[timm.model_entrypoint(name).__module__.rpartition(".")[2]].append(name)
    return dict(families)


def smallest(names: Sequence[str]) -> str:
    """Return the model of the fewest bytes of weights, among those whose names say that they are small, if any do."""
    candidates = list(filter(_SMALL.search, names)) or list(names)
    return min(candidates, key=lambda name: bytes_of(name) or LARGEST)


def survey(names: Sequence[str], taps: str = "h2t", *, small_input: bool = False) -> Iterator[Trial]:
    """Try one model after the other.

    Parameters
    ----------
    names : sequence of str
        Names of timm's models.
    taps : str
        As for `discover`.
    small_input : bool
        Whether to try `SMALL_INPUT` pixels first, and the model's own size where it does not take these.

    Yields
    ------
    Trial
        What came of each.
    """
    for name in names:
        start = time.perf_counter()
        for input_size in (SMALL_INPUT, None) if small_input else (None,):
            reason, pixels = _try(name, taps, input_size)
            gc.collect()  # networks hold on to themselves in circles
            if not reason:
                break
        yield Trial(name, reason, pixels, time.perf_counter() - start)


def _try(name: str, taps: str, input_size: int | None) -> tuple[str, int]:
    """Say why a model can't be read, nothing for one that can; and at how many pixels it was tapped."""
    size = bytes_of(name)
    if size is not None and size > LARGEST:
        return f"its weights take {size / 1e9:.1f} GB, more than the {LARGEST / 1e9:.0f} GB that are tried", 0
    try:
        backbone = load_backbone(name, weights="random", device="cpu", input_size=input_size)
        tapped = discover(backbone, taps).taps
    except Head2ToeError as error:
        return str(error), 0
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        return f"{type(error).__name__}: {text}", 0
    return ("", backbone.input_size) if tapped else ("no layer of it can be tapped", 0)


def bytes_of(name: str) -> int | None:
    """Return how many bytes a model's weights take, without making them; None where only making them tells."""
    try:
        with torch.device("meta"):
            model = timm.create_model(name)
    except Exception:
        return None
    tensors: list[torch.Tensor] = list(model.state_dict().values())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
