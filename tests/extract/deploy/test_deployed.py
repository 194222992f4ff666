"""A model bundle says in one pass, without a store, what the probe says through it; what is damaged is refused."""

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from head2toe.extract.deploy import deployed
from head2toe.extract.deploy.bundle import Bundle
from head2toe.extract.deploy.export import TOLERANCE, difference, export
from head2toe.extract.deploy.packing import bundle_of
from head2toe.extract.deploy.predict import find_images, writing
from head2toe.extract.deploy.predict import predict as predictions
from head2toe.extract.features.extraction import Extraction
from head2toe.pipeline import extract, main
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.probe.heads.scaling import unit_rows
from head2toe.select.compute.arrays import namespace
from head2toe.store.common.errors import BadRequest, DataError, Head2ToeError, MissingExtra
from head2toe.store.reading.design_matrix import DesignMatrix

SIZES = (64, 256)


@pytest.fixture
def two_sizes(small: dict[str, Any]) -> dict[str, Any]:
    """Features of both target sizes, side by side."""
    return small | {"target_sizes": SIZES}


def head_on(extraction: Extraction, *, unit: bool, layers: str = "", k: int = 300) -> tuple[LinearModel, np.ndarray]:
    """A least-squares head on some columns, and its probabilities computed through the stores in float64."""
    design = DesignMatrix.of([extraction.stores[size] for size in SIZES], extraction.digests)
    owners = design.layers.layer_of(np.arange(design.shape[1]))
    allowed = [j for j in range(design.shape[1]) if layers in design.layers.names[owners[j]]]
    columns = np.sort(np.random.default_rng(0).choice(allowed, min(k, len(allowed)), replace=False))
    arrays = namespace("cpu")
    train = np.arange(design.shape[0]) < extraction.task.n_train
    X = (unit_rows(design, columns, train, arrays).values if unit else design.columns(columns)).T
    mean, std = X[train].mean(0), X[train].std(0)
    scale = np.where(std > 1e-6 * np.abs(mean) + 1e-12, 1 / np.where(std > 0, std, 1), 0) / np.sqrt(len(columns))
    Z = (X - mean) * scale.astype(np.float32)
    Y = np.eye(len(extraction.task.classes))[extraction.task.train_labels]
    coef = (3 * np.linalg.lstsq(Z[train], Y, rcond=1e-2)[0]).astype(np.float32)
    model = LinearModel(SIZES, columns, unit, mean, scale.astype(np.float32), coef, np.zeros(Y.shape[1], np.float32))
    logits = Z.astype(np.float64) @ coef
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return model, odds / odds.sum(1, keepdims=True)


def packed(extraction: Extraction, model: LinearModel) -> Bundle:
    return bundle_of(
        extraction, model, method="head2toe", settings={"C": 1.0}, metrics={"test_accuracy": 0.5}, versions={}
    )


def probabilities(network: deployed.Deployed, images: Sequence[Any], batch_size: int = 7) -> np.ndarray:
    return np.stack([p.probabilities for p in predictions(network, images, batch_size=batch_size)])


@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("backbone", ["resnet18", "vit_tiny_patch16_224"])
def test_predictions_are_those_through_the_store(
    image_folder: Path, tmp_path: Path, backbone: str, dtype: str, unit: bool, two_sizes: dict[str, Any]
) -> None:
    extraction = extract(str(image_folder), **(two_sizes | {"backbone": backbone, "dtype": dtype}))
    model, expected = head_on(extraction, unit=unit)
    bundle = Bundle.load(packed(extraction, model).save(tmp_path / "model"))
    shutil.rmtree(tmp_path / "stores")
    network = deployed.load(bundle, device="cpu")
    # A float16 store rounds; so does the network. Where a value lies between two float16s, it may take the other one.
    atol = 1e-5 if dtype == "float32" else 2e-4
    np.testing.assert_allclose(probabilities(network, extraction.task.images), expected, rtol=0, atol=atol)


def test_the_cut_changes_nothing_and_skips_what_comes_after(image_folder: Path, two_sizes: dict[str, Any]) -> None:
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


def test_float_pixels_between_0_and_1_are_the_same_image(image_folder: Path, two_sizes: dict[str, Any]) -> None:
    extraction = extract(str(image_folder), **two_sizes)
    network = deployed.load(packed(extraction, head_on(extraction, unit=True)[0]), device="cpu")
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        torch.testing.assert_close(network(pixels), network(pixels.float() / 255), rtol=0, atol=1e-4)
    with pytest.raises(BadRequest, match="32, 32"):
        network(pixels[..., :30])


@pytest.mark.parametrize(
    ("backbone", "kind"),
    [
        ("resnet18", "torch"),
        pytest.param("resnet18", "onnx", marks=pytest.mark.slow),
        pytest.param("vit_tiny_patch16_224", "onnx", marks=pytest.mark.slow),
        pytest.param("vit_tiny_patch16_224", "torch", marks=pytest.mark.slow),
    ],
)
def test_exports_agree(image_folder: Path, tmp_path: Path, backbone: str, kind: str, two_sizes: dict[str, Any]) -> None:
    if kind == "onnx":
        pytest.importorskip("onnxscript")
    extraction = extract(str(image_folder), **(two_sizes | {"backbone": backbone}))
    network = deployed.load(packed(extraction, head_on(extraction, unit=True)[0]), device="cpu")
    file = tmp_path / ("model.onnx" if kind == "onnx" else "model.pt2")
    assert export(network, file, kind) <= TOLERANCE
    assert file.stat().st_size > 0
    assert network.cut, "the network itself stays cut"
    # The check can fail: against another head it does.
    assert difference(network, lambda images: np.full((len(images), 3), 1 / 3)) > TOLERANCE


def test_what_is_damaged_is_refused_in_one_line(image_folder: Path, tmp_path: Path, two_sizes: dict[str, Any]) -> None:
    extraction = extract(str(image_folder), **two_sizes)
    bundle = packed(extraction, head_on(extraction, unit=True)[0])
    folder = bundle.save(tmp_path / "model")
    again = Bundle.load(folder)
    assert all(np.array_equal(again.arrays[name], array) for name, array in bundle.arrays.items())
    assert again.layers == bundle.layers
    assert "test accuracy | 0.5" in (folder / "README.md").read_text()

    head, record = folder / "head.safetensors", folder / "model.json"
    for file, content in (
        (head, head.read_bytes()[:-7]),
        (head, head.read_bytes()[:-1] + b"\x7f"),
        (record, record.read_bytes()[:-20]),
        (record, record.read_bytes().replace(b"resnet18", b"resnet34")),
        (record, record.read_bytes().replace(b'"format_version": 1', b'"format_version": 9')),
    ):
        whole = file.read_bytes()
        file.write_bytes(content)
        with pytest.raises(Head2ToeError) as error:
            Bundle.load(folder)
        assert str(folder) in str(error.value)
        assert "\n" not in str(error.value)
        file.write_bytes(whole)
    head.unlink()
    with pytest.raises(DataError, match=r"head\.safetensors: missing: copy or export the model again"):
        Bundle.load(folder)
    with pytest.raises(BadRequest, match="no model"):
        Bundle.load(tmp_path)
    with pytest.raises(BadRequest, match="no model"):
        bundle.save(image_folder)
    with pytest.raises(DataError, match="scale"):
        replace(bundle, scale=bundle.scale[:-1])


def test_other_weights_and_places_are_refused(image_folder: Path, tmp_path: Path, two_sizes: dict[str, Any]) -> None:
    extraction = extract(str(image_folder), **two_sizes)
    bundle = packed(extraction, head_on(extraction, unit=True)[0])
    other = replace(bundle, backbone={**bundle.backbone, "weights": "random:1"})
    with pytest.raises(DataError, match="not those of the model"):
        deployed.load(other, device="cpu")
    for nowhere in (tmp_path / "none" / "x.pt2", tmp_path):
        with pytest.raises(BadRequest, match="folder"):
            export(deployed.load(bundle, device="cpu"), nowhere, "torch")
    with pytest.raises(BadRequest, match="--weights FILE"):
        deployed.load(replace(bundle, backbone={**bundle.backbone, "weights": "file:x.pth"}), device="cpu")


def test_a_backbone_without_the_module_is_refused(image_folder: Path, two_sizes: dict[str, Any]) -> None:
    extraction = extract(str(image_folder), **two_sizes)
    bundle = packed(extraction, head_on(extraction, unit=True, layers="layer2")[0])
    first = bundle.layers[0]
    renamed = replace(first, tap={**first.tap, "module": "layer2.renamed"})
    with pytest.raises(DataError, match=r"has no 'layer2\.renamed', which the model reads: is timm another version"):
        deployed.load(replace(bundle, layers=(renamed, *bundle.layers[1:])), device="cpu")


def call(*args: str, stdin: str = "") -> Any:
    return CliRunner().invoke(main, args, input=stdin)


def test_the_commands_classify_and_describe(image_folder: Path, tmp_path: Path, two_sizes: dict[str, Any]) -> None:
    extraction = extract(str(image_folder), **two_sizes)
    model, expected = head_on(extraction, unit=True)
    folder = str(packed(extraction, model).save(tmp_path / "model"))
    test = image_folder / "test"
    truth = dict(zip([i.name for i in extraction.task.images], expected, strict=True))
    out = call("predict", folder, str(test), str(test / "down" / "*.png"), "--probabilities", "--format", "jsonl")
    rows = [json.loads(line) for line in out.stdout.splitlines()]
    assert len(rows) == 15 + 5
    for row in rows:
        best = truth[row["path"]].argmax()
        assert row["prediction"] == extraction.task.classes[best]
        assert row["probability"] == pytest.approx(truth[row["path"]][best], abs=2e-4)
        assert sum(row[f"p({name})"] for name in extraction.task.classes) == pytest.approx(1, abs=1e-5)
    listed = call("predict", folder, "-", "--top-k", "2", stdin=f"{test / 'down' / '00.png'}\n").stdout.splitlines()
    assert listed[0] == "path,prediction,probability,prediction_2,probability_2"
    assert len(listed) == 2

    bad = test / "down" / "zz.png"
    bad.write_bytes(b"broken")
    stopped = call("predict", folder, str(test), "-o", "p.csv")
    assert (stopped.exit_code, Path("p.csv").exists()) == (1, False)
    assert str(bad) in stopped.stderr
    skipped = call("predict", folder, str(test), "-o", "p.csv", "--on-error", "skip")
    assert skipped.exit_code == 0
    assert str(bad) in skipped.stderr
    assert "--on-error" not in skipped.stderr, "it was passed"
    assert len(Path("p.csv").read_text().splitlines()) == 16
    pytest.importorskip("pyarrow")
    assert call("predict", folder, str(test / "slant"), "-o", "new/folder/p.parquet").exit_code == 0
    assert Path("new/folder/p.parquet").stat().st_size > 0
    Path("file").touch()
    refused = call("predict", folder, str(test / "slant"), "-o", "file/p.csv")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("Error: file: ")

    described = json.loads(call("info", folder, "--json").stdout)
    assert described["ms"]["cut"] > 0
    assert sum(layer["kept"] for layer in described["layers"]) == len(model.columns)
    assert "ms cut" in call("info", folder).stdout
    copied = json.loads(call("export", folder, "-o", "copy", "--json").stdout)
    assert copied["bytes"] > 0
    assert Bundle.load(Path("copy")).classes == extraction.task.classes


@pytest.mark.parametrize("fault", ["pyarrow", "folder"])
def test_parquet_that_cannot_be_written_is_said_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    (tmp_path / "file").touch()
    file = tmp_path / ("file" if fault == "folder" else ".") / "x.parquet"
    if fault == "pyarrow":
        monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises((MissingExtra, FileExistsError)), writing(file, None, sys.stdout):
        pytest.fail("the work began")
    assert not list(tmp_path.glob("*.partial"))


def test_a_run_holds_a_model_for_each_method(image_folder: Path, tmp_path: Path, two_sizes: dict[str, Any]) -> None:
    extraction = extract(str(image_folder), **two_sizes)
    bundle = packed(extraction, head_on(extraction, unit=True)[0])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "result.json").write_text("{}")
    bundle.save(tmp_path / "run" / "models" / "head2toe")
    for source in ("run", "run/result.json"):
        assert call("export", source, "-o", "kept").exit_code == 0
        assert Bundle.load(Path("kept")).method == "head2toe"
    absent = call("export", "run", "--method", "linear", "-o", "other")
    assert absent.exit_code == 2
    assert "there: head2toe" in absent.stderr


def test_a_run_s_model_predicts_what_the_run_reports(image_folder: Path, flags: list[str]) -> None:
    shown = call("run", str(image_folder), *flags, "--methods", "linear", "--save-model", "my_model").stdout
    assert any(line.split()[:2] == ["chosen", "linear"] for line in shown.splitlines())
    assert shown.splitlines()[-1] == "model      my_model  (linear)"
    ran = call("run", str(image_folder), *flags, "--methods", "linear", "--save-model", "my_model", "--json")
    assert ran.exit_code == 0, ran.stderr
    assert call("predict", "my_model", str(image_folder / "test"), "-o", "p.jsonl").exit_code == 0
    rows = [json.loads(line) for line in Path("p.jsonl").read_text().splitlines()]
    right = [Path(row["path"]).parent.name == row["prediction"] for row in rows]
    (method,) = json.loads(ran.stdout)["methods"]
    assert np.mean(right) == pytest.approx(method["test"]["accuracy"]["value"])


def test_bad_requests_get_one_line(tmp_path: Path) -> None:
    for args in (["predict", "nowhere", "x.png"], ["info", str(tmp_path)], ["export", "nowhere", "-o", "x"]):
        result = call(*args)
        assert result.exit_code == 2
        assert "no model in" in result.stderr
    with pytest.raises(BadRequest, match="no image"):
        find_images(["no/such/*.png"])
