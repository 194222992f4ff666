"""A deployed network says in one pass, without a store, what the probe says through it."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from head2toe.extract.deploy import deployed
from head2toe.extract.deploy.bundle import Bundle
from head2toe.extract.deploy.export import export
from head2toe.extract.deploy.predict import predict
from head2toe.extract.features.extraction import Extraction
from head2toe.pipeline import extract
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.store.common.errors import BadRequest, DataError

HeadOn = Callable[..., tuple[LinearModel, np.ndarray]]
Packed = Callable[[Extraction, LinearModel], Bundle]


def probabilities(network: deployed.Deployed, images: Sequence[Any], batch_size: int = 7) -> np.ndarray:
    return np.stack([p.probabilities for p in predict(network, images, batch_size=batch_size)])


@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("backbone", ["resnet18", "vit_tiny_patch16_224"])
@pytest.mark.parametrize("pool", [("mean",), ("mean", "std", "max")], ids=",".join)
def test_predictions_are_those_through_the_store(
    image_folder: Path,
    tmp_path: Path,
    pool: tuple[str, ...],
    backbone: str,
    dtype: str,
    unit: bool,
    two_sizes: dict[str, Any],
    head_on: HeadOn,
    packed: Packed,
) -> None:
    extraction = extract(str(image_folder), **(two_sizes | {"backbone": backbone, "dtype": dtype, "pool": pool}))
    model, expected = head_on(extraction, unit=unit)
    bundle = Bundle.load(packed(extraction, model).save(tmp_path / "model"))
    shutil.rmtree(tmp_path / "stores")
    network = deployed.load(bundle, device="cpu")
    # A float16 store rounds; so does the network. Where a value lies between two float16s, it may take the other one.
    atol = 1e-5 if dtype == "float32" else 2e-4
    np.testing.assert_allclose(probabilities(network, extraction.task.images), expected, rtol=0, atol=atol)


def test_the_cut_changes_nothing_and_skips_what_comes_after(
    image_folder: Path, two_sizes: dict[str, Any], head_on: HeadOn, packed: Packed
) -> None:
    extraction = extract(str(image_folder), **two_sizes)
    model, _ = head_on(extraction, unit=True, layers="layer2")
    network = deployed.load(packed(extraction, model), device="cpu")
    ran: list[str] = []
    for name in ("layer2", "layer3", "fc"):
        network.network.get_submodule(name).register_forward_pre_hook(lambda *_, name=name: ran.append(name))
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        cut = network(pixels)
        assert ran == ["layer2"]
        network.cut = False
        assert torch.equal(network(pixels), cut)
    assert ran == ["layer2", "layer2", "layer3", "fc"]
    assert not any(module._forward_hooks for module in network.network.modules()), "no hook is left behind"
    assert deployed.measure(network, batch_size=1, runs=1).cut > 0


def test_float_pixels_between_0_and_1_are_the_same_image(
    image_folder: Path, two_sizes: dict[str, Any], head_on: HeadOn, packed: Packed
) -> None:
    extraction = extract(str(image_folder), **two_sizes)
    network = deployed.load(packed(extraction, head_on(extraction, unit=True)[0]), device="cpu")
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        torch.testing.assert_close(network(pixels), network(pixels.float() / 255), rtol=0, atol=1e-4)
    with pytest.raises(BadRequest, match="32, 32"):
        network(pixels[..., :30])


def test_other_weights_and_places_are_refused(
    image_folder: Path, tmp_path: Path, two_sizes: dict[str, Any], head_on: HeadOn, packed: Packed
) -> None:
    extraction = extract(str(image_folder), **two_sizes)
    bundle = packed(extraction, head_on(extraction, unit=True)[0])
    other = replace(bundle, backbone={**bundle.backbone, "weights": "random:1"})
    with pytest.raises(DataError, match="not those of the model"):
        deployed.load(other, device="cpu")
    with pytest.raises(BadRequest, match="is a folder: choose another file with -o"):
        export(deployed.load(bundle, device="cpu"), tmp_path, "torch")
    with pytest.raises(BadRequest, match="--weights FILE"):
        deployed.load(replace(bundle, backbone={**bundle.backbone, "weights": "file:x.pth"}), device="cpu")


def test_a_backbone_without_the_module_is_refused(
    image_folder: Path, two_sizes: dict[str, Any], head_on: HeadOn, packed: Packed
) -> None:
    extraction = extract(str(image_folder), **two_sizes)
    bundle = packed(extraction, head_on(extraction, unit=True, layers="layer2")[0])
    first = bundle.layers[0]
    renamed = replace(first, tap={**first.tap, "module": "layer2.renamed"})
    with pytest.raises(DataError, match=r"has no 'layer2\.renamed', which the model reads: is timm another version"):
        deployed.load(replace(bundle, layers=(renamed, *bundle.layers[1:])), device="cpu")


@pytest.mark.parametrize("kind", ["torch", pytest.param("onnx", marks=pytest.mark.slow)])
def test_the_null_model_predicts_the_frequencies_of_the_classes(
    image_folder: Path, tmp_path: Path, kind: str, two_sizes: dict[str, Any], packed: Packed
) -> None:
    extraction = extract(str(image_folder), **two_sizes)
    none, frequencies = np.empty(0, np.float32), np.array([0.2, 0.3, 0.5], np.float32)
    model = LinearModel(
        (64, 256), np.empty(0, np.int64), False, none, none, np.empty((0, 3), np.float32), np.log(frequencies)
    )
    folder = packed(extraction, model).save(tmp_path / "model")
    bundle = Bundle.load(folder)
    assert bundle.layers == ()
    assert bundle.features_by_layer == []
    assert "It is the null model" in (folder / "README.md").read_text()
    network = deployed.load(bundle, device="cpu")
    images = extraction.task.images[:5]
    np.testing.assert_allclose(probabilities(network, images), np.tile(frequencies, (5, 1)), rtol=1e-6)
    if kind == "onnx":
        pytest.importorskip("onnxscript")
    assert export(network, tmp_path / ("model.onnx" if kind == "onnx" else "model.pt2"), kind) < 1e-6
    assert deployed.measure(network, runs=1).cut < deployed.measure(network, runs=1).full
