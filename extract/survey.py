"""Which of timm's models can be backbones here, found by trying: every one is built with random weights and tapped."""

import gc
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import timm
import torch
from head2toe.extract.backbone.backbone import load_backbone
from head2toe.extract.backbone.taps import discover
from head2toe.store.common.errors import BadRequest, Head2ToeError

LARGEST = 2 * 10**9
"""Bytes of weights beyond which a model is not tried."""


class Refusal(NamedTuple):
    """A model that can't be read, and why."""

    name: str
    reason: str


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


def survey(names: Sequence[str], taps: str = "h2t") -> Iterator[Refusal | None]:
    """Try one model after the other.

    Parameters
    ----------
    names : sequence of str
        Names of timm's models.
    taps : str
        As for `discover`.

    Yields
    ------
    Refusal or None
        For each name, why the model can't be read; None for one that can.
    """
    for name in names:
        reason = _reason(name, taps)
        gc.collect()  # networks hold on to themselves in circles
        yield Refusal(name, reason) if reason else None


def _reason(name: str, taps: str) -> str:
    """Say why a model can't be read; empty for one that can."""
    size = bytes_of(name)
    if size is not None and size > LARGEST:
        return f"its weights take {size / 1e9:.1f} GB, more than the {LARGEST / 1e9:.0f} GB that are tried"
    try:
        tapped = discover(load_backbone(name, weights="random", device="cpu"), taps).taps
    except Head2ToeError as error:
        return str(error)
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        return f"{type(error).__name__}: {text}"
    return "" if tapped else "no layer of it can be tapped"


def bytes_of(name: str) -> int | None:
    """Return how many bytes a model's weights take, without making them; None where only making them tells."""
    try:
        with torch.device("meta"):
            model = timm.create_model(name)
    except Exception:
        return None
    tensors: list[torch.Tensor] = list(model.state_dict().values())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
