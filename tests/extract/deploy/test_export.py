"""An exported file computes what the network computes, or is not kept."""

import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from head2toe.extract.deploy import deployed
from head2toe.extract.deploy.bundle import Bundle
from head2toe.extract.deploy.export import TOLERANCE, difference, export
from head2toe.extract.deploy.export_document import EMBEDDED
from head2toe.extract.features.extraction import Extraction
from head2toe.pipeline import extract
from head2toe.probe.heads.linear_model import LinearModel

HeadOn = Callable[..., tuple[LinearModel, np.ndarray]]
Packed = Callable[[Extraction, LinearModel], Bundle]


def embedded_in(file: Path) -> dict[str, str]:
    """The document that an exported file holds."""
    if file.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        return dict(session.get_modelmeta().custom_metadata_map)
    extra = {EMBEDDED: ""}
    torch.export.load(file, extra_files=extra)
    return dict(json.loads(extra[EMBEDDED]))


@pytest.mark.parametrize(
    ("backbone", "kind", "pool"),
    [
        ("test_resnet", "torch", "mean,std,max"),
        pytest.param("resnet18", "torch", "mean,std,max", marks=pytest.mark.slow),
        pytest.param("resnet18", "torch", "mean", marks=pytest.mark.slow),
        pytest.param("resnet18", "onnx", "mean", marks=pytest.mark.slow),
        pytest.param("resnet18", "onnx", "mean,std,max", marks=pytest.mark.slow),
        pytest.param("vit_tiny_patch16_224", "onnx", "mean", marks=pytest.mark.slow),
        pytest.param("vit_tiny_patch16_224", "onnx", "mean,std,max", marks=pytest.mark.slow),
        pytest.param("vit_tiny_patch16_224", "torch", "mean,std,max", marks=pytest.mark.slow),
    ],
)
def test_exports_agree(
    image_folder: Path,
    tmp_path: Path,
    backbone: str,
    kind: str,
    pool: str,
    two_sizes: dict[str, Any],
    head_on: HeadOn,
    packed: Packed,
) -> None:
    if kind == "onnx":
        pytest.importorskip("onnxscript")
    extraction = extract(str(image_folder), **(two_sizes | {"backbone": backbone, "pool": pool}))
    # Every statistic of every layer makes a graph that takes ONNX minutes: one block of a transformer will do.
    layers = "blocks.1." if backbone.startswith("vit") and pool != "mean" else ""
    model, _ = head_on(extraction, unit=True, layers=layers)
    network = deployed.load(packed(extraction, model), device="cpu")
    file = tmp_path / ("model.onnx" if kind == "onnx" else "model.pt2")
    assert export(network, file, kind) <= TOLERANCE
    document = json.loads((tmp_path / f"{file.name}.json").read_text())
    assert document["classes"] == list(network.classes)
    assert document["input"]["shape"] == ["n", 3, 32, 32]
    assert embedded_in(file)["classes"] == json.dumps(list(network.classes))
    assert network.cut, "the network itself stays cut"
    # The check can fail: against another head it does.
    assert difference(network, lambda images: [np.full((len(images), 3), 1 / 3)]) > TOLERANCE


def test_a_disk_that_fills_up_while_torch_writes_is_one_line(
    image_folder: Path, flags: list[str], tmp_path: Path, call: Callable[..., Result]
) -> None:
    """Torch's own writer aborts the process. Here a limit on the size of files stands for the disk's end."""
    assert call("run", str(image_folder), *flags, "--methods", "linear", "--save-model", "m").exit_code == 0
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        stopped = call("export", "m", "--format", "torch", "-o", "out/x.pt2")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (stopped.exit_code, stopped.stdout) == (1, "")
    (line,) = stopped.stderr.splitlines()
    assert line.startswith("Error: out/x.pt2: the file would be larger than allowed here")
    assert not list((tmp_path / "out").iterdir())
