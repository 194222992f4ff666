"""Names of networks: everything that `timm.create_model` takes, looked up without building anything."""

import difflib
import json
import socket
import urllib.parse
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import huggingface_hub
import timm
import torch
from head2toe.store.common.errors import BadRequest, DataError
from head2toe.store.common.files import expanded
from head2toe.store.common.fingerprint import canonical
from timm.models import get_deprecated_models

CONFIG = "config.json"
WEIGHTS_FILES = (
    *("model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth"),
    *("open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
)
"""How weights are called in a Hugging Face repository, in timm's order of preference."""
DESCRIBES_WEIGHTS = ("num_classes", "img_size", "in_chans")
"""Arguments of a saved model that the tensors or the preprocessing show as well."""


@dataclass(frozen=True)
class ModelName:
    """What a name stands for.

    Attributes
    ----------
    name : str
        What timm is told; with the current name for one that timm has renamed.
    architecture : str
        timm's name without a tag; with the saved arguments, for a folder whose network has some of its own.
    heads : tuple of str
        Paths of the classifiers.
    fixed_size : bool
        Whether the network is built for one input size.
    hub_id : str
        `owner/name` (and `@revision`) of a name that begins with `hf-hub:`, else the empty string.
    folder : Path, optional
        Where configuration and weights lie, for `local-dir:` and for what the hub's cache holds.
    """

    name: str
    architecture: str
    heads: tuple[str, ...]
    fixed_size: bool
    hub_id: str = ""
    folder: Path | None = None


def look_up(name: str) -> ModelName:
    """Find out what a name stands for.

    Parameters
    ----------
    name : str
        A name of timm's with or without a tag, `hf-hub:owner/name` or `local-dir:FOLDER`.

    Raises
    ------
    BadRequest
        There is no such model, tag or folder; the message gives those that are near.
    DataError
        The configuration can't be had or read.
    """
    source, colon, rest = name.partition(":")
    if not colon:
        return _registered(name)
    source = source.lower().replace("_", "-")
    if source == "local-dir" and rest:
        return _in_folder(expanded(rest))
    if source == "hf-hub" and rest:
        return _on_hub(rest)
    raise BadRequest(f"unknown backbone {name!r}: a name of timm's, hf-hub:owner/name or local-dir:FOLDER")


def hub_out_of_reach() -> bool:
    """Tell whether the hub is not to be asked, or its host's name can't be looked up (a proxy does that itself)."""
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return True
    if urllib.request.getproxies():
        return False
    try:
        socket.getaddrinfo(urllib.parse.urlsplit(huggingface_hub.constants.ENDPOINT).hostname, 443)
    except socket.gaierror:
        return True
    return False


def cached(hub_id: str, file: str) -> Path | None:
    """Return a file of a hub's repository (`owner/name`, `owner/name@revision`) where its cache has it."""
    repository, _, revision = hub_id.partition("@")
    try:
        path = huggingface_hub.try_to_load_from_cache(repository, file, revision=revision or None)
    except (ValueError, OSError):  # no name of a repository's
        return None
    return Path(path) if isinstance(path, str) else None


def _registered(name: str) -> ModelName:
    """Look up a name of timm's own list."""
    architecture, _, tag = name.partition(".")
    current = get_deprecated_models().get(architecture, architecture)
    if current is None:
        raise BadRequest(f"unknown backbone {name!r}: timm no longer has it")
    if current != architecture:
        return _registered(current if "." in current or not tag else f"{current}.{tag}")
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else "timm.list_models() lists them."
        if (expanded(name) / CONFIG).is_file():
            hint = f"local-dir:{name} is the folder."
        elif "/" in name:
            hint = f"hf-hub:{name} is a repository's name, local-dir:{name} a folder's."
        raise BadRequest(f"unknown backbone {name!r}: {hint}")
    if tag:
        tags = [full.partition(".")[2] for full in timm.list_models(architecture, include_tags=True)]
        if tag not in tags:
            there = f"timm has {', '.join(filter(None, tags))}" if any(tags) else "timm knows none of it"
            raise BadRequest(f"unknown tag {tag!r} of the backbone {architecture}: {there}")
    config = timm.get_pretrained_cfg(architecture, allow_unregistered=True)
    settings = {} if config is None else {"classifier": config.classifier, "fixed_input_size": config.fixed_input_size}
    return ModelName(name, architecture, _heads(settings), bool(settings.get("fixed_input_size")))


def _on_hub(hub_id: str) -> ModelName:
    """Look up a repository of the hub: in its cache, where the hub is out of reach or the cache has all of it."""
    name = f"hf-hub:{hub_id}"
    if hub_out_of_reach():
        config = cached(hub_id, CONFIG)
        if config is None:
            raise DataError(
                f"can't get {name}: the hub is out of reach, and {CONFIG} not in its cache; go online once to fill the "
                "cache, or pass local-dir:FOLDER"
            )
        return replace(_in_folder(config.parent), hub_id=hub_id)
    repository, _, revision = hub_id.partition("@")
    try:
        file = huggingface_hub.hf_hub_download(repository, CONFIG, revision=revision or None)
    except (OSError, ValueError) as error:  # what requests and the hub raise are OSErrors
        reason = str(error).strip().partition("\n")[0]
        raise DataError(
            f"can't get {name} from the hub ({reason}): check the name, or pass local-dir:FOLDER"
        ) from error
    return replace(_in_folder(Path(file).parent), name=name, hub_id=hub_id, folder=None)


def _in_folder(folder: Path) -> ModelName:
    """Look up a network whose configuration lies in a folder."""
    file = folder / CONFIG
    if not file.is_file():
        raise BadRequest(f"no backbone in {folder}: expected {CONFIG} and weights, as timm and the hub save them")
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        architecture = document["architecture"]
        config = document.get("pretrained_cfg", document)
        arguments = {key: value for key, value in document.get("model_args", {}).items() if value is not None}
        fixed_size = bool(config.get("fixed_input_size"))
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        why = _other_library(file) or "no `architecture`, or no JSON"
        raise DataError(f"{file} describes no model of timm's ({why})") from error
    if not isinstance(architecture, str) or not timm.is_model(architecture):
        raise DataError(f"{file} names the architecture {architecture!r}, which timm {timm.__version__} does not have")
    own = {key: value for key, value in arguments.items() if key not in DESCRIBES_WEIGHTS}
    label = f"{architecture} {canonical(own)}" if own and _changes(architecture, own) else architecture
    heads = _heads(config) or _registered(architecture).heads
    return ModelName(f"local-dir:{folder}", label, heads, fixed_size, folder=folder)


def _other_library(file: Path) -> str:
    """Return whose configuration it is, where it is that of Hugging Face transformers; else the empty string."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return ""
    kind = document.get("model_type") if isinstance(document, dict) else None
    return f"it is of Hugging Face transformers, model_type {str(kind)[:80]!r}" if kind else ""


def _changes(architecture: str, arguments: dict[str, Any]) -> bool:
    """Tell whether saved arguments make another network than the name alone does; shapes and modules are compared."""
    try:
        with torch.device("meta"):
            plain, own = timm.create_model(architecture), timm.create_model(architecture, **arguments)
    except (RuntimeError, ValueError, TypeError, AssertionError, LookupError, NotImplementedError):
        return True
    pools = [getattr(model, "global_pool", None) for model in (plain, own)]
    return repr(plain) != repr(own) or repr(pools[0]) != repr(pools[1])


def _heads(config: dict[str, Any]) -> tuple[str, ...]:
    classifier = config.get("classifier") or ()
    return (classifier,) if isinstance(classifier, str) else tuple(classifier)
