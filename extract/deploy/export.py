"""A deployed network as one file for other runtimes: ONNX, or torch.export's .pt2; checked before it is called done."""

import json
import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from head2toe.extract.deploy.deployed import Deployed
from head2toe.extract.deploy.export_document import (
    EMBEDDED,
    INPUT,
    NOVELTY,
    OUTPUT,
    document_file,
    embedded,
    export_document,
)
from head2toe.store.common.errors import BadRequest, DataError, MissingExtra
from head2toe.store.common.files import explained
from head2toe.store.common.outputs import whole_file, write_json_output
from torch import nn

TOLERANCE = 1e-4
"""The largest difference of a probability that passes."""

OOD_TOLERANCE = 0.01
"""The largest difference of a novelty that passes: it is a share of the training images, and moves in steps."""

_ANOTHER = "choose another file with -o FILE"

Runner = Callable[[torch.Tensor], Sequence[np.ndarray]]
"""Runs an exported file: takes images (n, 3, s, s) float32 between 0 and 1, returns probabilities (n, classes) and,
where the file has that output, the novelty (n,)."""


class _WithNovelty(nn.Module):
    """A deployed network with a second output, the novelty of the images."""

    def __init__(self, deployed: Deployed) -> None:
        super().__init__()
        self.deployed = deployed

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        logits, novelty = self.deployed.averaged_scores(images, ood=True)
        return torch.softmax(logits, dim=1), novelty


def export(deployed: Deployed, file: Path, kind: str, *, views: Sequence[str] = ()) -> float:
    """Write the graph from pixels to probabilities, and check it against the deployed network.

    The input is float32 (n, 3, s, s), RGB between 0 and 1, any n; the normalisation is part of the graph. The file says
    its classes in order and what is done to an image before (see `export_document`), and so does a `.json` beside it.

    Parameters
    ----------
    deployed : Deployed
        The network with its head.
    file : Path
        What to write; folders above it that are missing are made.
    kind : {"onnx", "torch"}
        The format: ONNX, or torch.export's .pt2.
    views : sequence of str
        `flip`, or none: the graph mirrors each image and averages the log-probabilities of both.

    Returns
    -------
    float
        The largest difference of a probability between the file and the network.

    Raises
    ------
    MissingExtra
        ONNX without its packages.
    BadRequest
        The model computes in half precision, torch can't trace this backbone, or a view is asked for that is drawn.
    StoreError
        The file can't be written.
    DataError
        What was written does not compute the same; nothing is left.
    """
    if deployed.precision.half:
        raise BadRequest("a model that was extracted with --amp can't be exported: extract and train it without")
    if drawn := [view for view in views if view != "flip"]:
        raise BadRequest(
            f"the view {drawn[0]} can't be exported: it is drawn from the hash of an image's file, which a graph of "
            "pixels does not see; --views flip can, and predict takes all views"
        )
    if kind == "onnx":
        _require_onnx()
    deployed.mirrored = "flip" in views
    with whole_file(file, _ANOTHER) as partial:  # what can't be written is an error before the work, not after it
        worst = _write_checked(deployed, file, partial, kind)
        write_json_output(document_file(file), export_document(deployed, kind), _ANOTHER)
    return worst


def _write_checked(deployed: Deployed, file: Path, partial: Path, kind: str) -> float:
    """Write a partial file, and return how far it is from the network. Raises DataError where that is too far."""
    shape = (2, 3, deployed.input_size, deployed.input_size)
    deployed.cut = False  # the tracer can't follow a forward pass that stops; what has no effect leaves the graph
    try:
        graph = _WithNovelty(deployed) if kind == "onnx" and deployed.novelty is not None else deployed
        program = _traced(graph, torch.zeros(shape, device=deployed.device))
    finally:
        deployed.cut = True
    texts = embedded(export_document(deployed, kind))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about versions and tensors of torch's own making
        with explained(file, _ANOTHER):
            run = (_write_onnx if kind == "onnx" else _write_torch)(program, partial, texts)
        worst = difference(deployed, run)
    if not worst <= TOLERANCE:
        raise DataError(f"{file}: the exported graph differs by {worst:.1e} in a probability; it was not kept")
    return worst


def difference(deployed: Deployed, run: Runner) -> float:
    """Return the largest difference of a probability, over batches of several sizes of plain images and noise.

    It is infinite where the file has the novelty as an output, and that differs.
    """
    generator = torch.Generator().manual_seed(0)
    worst, side = 0.0, deployed.input_size
    for n in (1, 3, 4):
        contrast = torch.linspace(0, 1, n).view(-1, 1, 1, 1)
        images = 0.5 + contrast * (torch.rand(n, 3, side, side, generator=generator) - 0.5)
        with torch.inference_mode():
            expected, novelty = _WithNovelty(deployed)(images.to(deployed.device))
        probabilities, *further = run(images)
        worst = max(worst, float(np.abs(probabilities - expected.cpu().numpy()).max()))
        if further and not np.abs(further[0] - novelty.cpu().numpy()).max() <= OOD_TOLERANCE:
            return float("inf")
    return worst


def _traced(deployed: nn.Module, images: torch.Tensor) -> Any:
    """Trace the network for any number of images like these. Raises BadRequest where torch can't."""
    batch = torch.export.Dim("batch", min=1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.export(deployed, (images,), dynamic_shapes=({0: batch},))
    except Exception as error:  # torch raises whatever the network's own code does under its tracer
        reason = str(error).strip().partition("\n")[0][:200]
        raise BadRequest(f"torch.export can't trace this backbone ({type(error).__name__}: {reason})") from error


class _Sink:
    """A file for torch's writer, which aborts the process when a write fails: here the error is kept, and raised later.

    Attributes
    ----------
    error : OSError, optional
        The first that there was; nothing is written after it.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, content: Any) -> int:
        if self.error is None:
            try:
                self._file.write(content)
            except OSError as error:
                self.error = error
        return len(content)

    def flush(self) -> None:
        """Do nothing: closing the file flushes it."""


def _write_torch(program: Any, file: Path, texts: dict[str, str]) -> Runner:
    """Write a traced network as .pt2, and read it again to run it."""
    logging.getLogger("torch.export.pt2_archive._package").setLevel(logging.ERROR)  # it warns of what is no file
    with file.open("wb") as opened:
        sink: Any = _Sink(opened)
        torch.export.save(program, sink, extra_files={EMBEDDED: json.dumps(texts, ensure_ascii=False)})
    if sink.error is not None:
        raise sink.error
    with file.open("rb") as opened:
        loaded = torch.export.load(opened).module()
    device = next(iter(program.state_dict.values())).device
    return lambda images: [loaded(images.to(device)).detach().cpu().numpy()]


def _write_onnx(program: Any, file: Path, texts: dict[str, str]) -> Runner:
    """Write a traced network as ONNX, and read it again to run it."""
    import onnxruntime

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    names = [OUTPUT, NOVELTY] if NOVELTY in texts else [OUTPUT]
    graph = torch.onnx.export(
        program, dynamo=True, external_data=False, verbose=False, input_names=[INPUT], output_names=names
    )
    assert graph is not None, "is None for the older exporter alone"
    graph.model.metadata_props.update(texts)
    graph.save(file, external_data=False)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda images: [np.asarray(values) for values in session.run(None, {INPUT: images.numpy()})]


def _require_onnx() -> None:
    """Raise MissingExtra where one of ONNX's packages is missing."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtra(f"ONNX needs the package {error.name}: pip install 'head2toe[onnx]'") from error
