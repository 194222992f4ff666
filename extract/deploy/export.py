"""A deployed network as one file for other runtimes: ONNX, or torch.export's .pt2; checked before it is called done."""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from head2toe.extract.deploy.deployed import Deployed
from head2toe.store.common.errors import BadRequest, DataError, MissingExtra
from head2toe.store.common.files import partial_name

TOLERANCE = 1e-4
"""The largest difference of a probability that passes."""

Runner = Callable[[torch.Tensor], np.ndarray]
"""Runs an exported file: takes images (n, 3, s, s) float32 between 0 and 1, returns probabilities (n, classes)."""


def export(deployed: Deployed, file: Path, kind: str) -> float:
    """Write the graph from pixels to probabilities, and check it against the deployed network.

    The input is float32 (n, 3, s, s), RGB between 0 and 1, any n; the normalisation is part of the graph.

    Parameters
    ----------
    deployed : Deployed
        The network with its head.
    file : Path
        What to write.
    kind : {"onnx", "torch"}
        The format: ONNX, or torch.export's .pt2.

    Returns
    -------
    float
        The largest difference of a probability between the file and the network.

    Raises
    ------
    MissingExtra
        ONNX without its packages.
    BadRequest
        The model computes in half precision, the file has no folder or is one, or torch can't trace this backbone.
    DataError
        What was written does not compute the same; nothing is left.
    """
    if deployed.amp:
        raise BadRequest("a model that was extracted with --amp can't be exported: extract and train it without")
    if not file.parent.is_dir() or file.is_dir():
        raise BadRequest(f"{file}: {'is a folder' if file.is_dir() else f'there is no folder {file.parent}'}: -o FILE")
    if kind == "onnx":
        _require_onnx()
    shape = (2, 3, deployed.input_size, deployed.input_size)
    deployed.cut = False  # the tracer can't follow a forward pass that stops; what has no effect leaves the graph
    try:
        program = _traced(deployed, torch.zeros(shape, device=deployed.device))
    finally:
        deployed.cut = True
    partial = partial_name(file).with_suffix(file.suffix)  # both runtimes go by the suffix
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about versions and tensors of torch's own making
            run = _write_onnx(program, partial) if kind == "onnx" else _write_torch(program, partial)
            worst = difference(deployed, run)
        if not worst <= TOLERANCE:
            raise DataError(f"{file}: the exported graph differs by {worst:.1e} in a probability; it was not kept")
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    return worst


def difference(deployed: Deployed, run: Runner) -> float:
    """Return the largest difference of a probability, over batches of several sizes of plain images and noise."""
    generator = torch.Generator().manual_seed(0)
    worst, side = 0.0, deployed.input_size
    for n in (1, 3, 4):
        contrast = torch.linspace(0, 1, n).view(-1, 1, 1, 1)
        images = 0.5 + contrast * (torch.rand(n, 3, side, side, generator=generator) - 0.5)
        with torch.inference_mode():
            expected = deployed(images.to(deployed.device)).cpu().numpy()
        worst = max(worst, float(np.abs(run(images) - expected).max()))
    return worst


def _traced(deployed: Deployed, images: torch.Tensor) -> Any:
    """Trace the network for any number of images like these. Raises BadRequest where torch can't."""
    batch = torch.export.Dim("batch", min=1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.export(deployed, (images,), dynamic_shapes=({0: batch},))
    except Exception as error:  # torch raises whatever the network's own code does under its tracer
        reason = str(error).strip().partition("\n")[0][:200]
        raise BadRequest(f"torch.export can't trace this backbone ({type(error).__name__}: {reason})") from error


def _write_torch(program: Any, file: Path) -> Runner:
    """Write a traced network as .pt2, and read it again to run it."""
    torch.export.save(program, file)
    loaded = torch.export.load(file).module()
    device = next(iter(program.state_dict.values())).device
    return lambda images: loaded(images.to(device)).detach().cpu().numpy()


def _write_onnx(program: Any, file: Path) -> Runner:
    """Write a traced network as ONNX, and read it again to run it."""
    import onnxruntime

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    torch.onnx.export(
        program,
        f=file,
        dynamo=True,
        external_data=False,
        verbose=False,
        input_names=["images"],
        output_names=["probabilities"],
    )
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda images: np.asarray(session.run(None, {"images": images.numpy()})[0])


def _require_onnx() -> None:
    """Raise MissingExtra where one of ONNX's packages is missing."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtra(f"ONNX needs the package {error.name}: pip install 'head2toe[onnx]'") from error
