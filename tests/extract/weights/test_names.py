"""Everything that timm takes as a name is understood, offline where the files are at hand."""

import json
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from head2toe.extract.backbone.backbone import load_backbone, state_sha256
from head2toe.extract.weights import names
from head2toe.extract.weights.names import look_up
from head2toe.store.common.errors import BadRequest, DataError
from timm.models import save_for_hf


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A network as timm saves it for the hub: config.json and model.safetensors."""
    save_for_hf(timm.create_model("test_resnet", num_classes=5), tmp_path / "saved", safe_serialization=True)
    return tmp_path / "saved"


def test_a_folder_is_a_backbone(saved: Path) -> None:
    backbone = load_backbone(f"local-dir:{saved}", device="cpu")
    expected = timm.create_model(f"local-dir:{saved}", pretrained=True)
    assert backbone.weights_sha256 == state_sha256(expected.state_dict())
    assert backbone.architecture == "test_resnet"
    assert backbone.weights == "local-dir:saved"


def test_a_folder_may_hold_a_torch_file(saved: Path) -> None:
    whole = load_backbone(f"local-dir:{saved}", device="cpu")
    (saved / "model.safetensors").unlink()
    torch.save(whole.model.state_dict(), saved / "pytorch_model.bin")
    assert load_backbone(f"local-dir:{saved}", device="cpu").weights_sha256 == whole.weights_sha256


def test_saved_arguments_that_weights_do_not_show_make_another_architecture(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    assert look_up(f"local-dir:{saved}").architecture == "test_resnet"
    (saved / "config.json").write_text(json.dumps(config | {"model_args": {"act_layer": "gelu", "num_classes": 5}}))
    assert look_up(f"local-dir:{saved}").architecture == 'test_resnet {"act_layer":"gelu"}'


def test_without_a_network_a_repository_is_read_from_the_cache(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "hub_out_of_reach", lambda: True)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda _, file, **__: str(saved / file))
    backbone = load_backbone("hf-hub:me/mine", device="cpu")
    assert backbone.weights == "hub:me/mine"
    assert backbone.weights_sha256 == load_backbone(f"local-dir:{saved}", device="cpu").weights_sha256
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    with pytest.raises(DataError, match=r"hub is out of reach, and config\.json not in its cache"):
        look_up("hf-hub:me/mine")


def test_names_that_timm_has_changed_are_the_new_ones() -> None:
    assert look_up("tf_efficientnet_b0_ns").name == "tf_efficientnet_b0.ns_jft_in1k"
    assert look_up("vit_tiny_patch16_224_in21k").architecture == "vit_tiny_patch16_224"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("resnet5O", "did you mean resnet50"),
        ("resnet18.a9_in1k", "unknown tag 'a9_in1k' of the backbone resnet18: timm has a1_in1k, a2_in1k"),
        ("vit_base_patch16_224.dinov3", "unknown tag 'dinov3'.*augreg"),
        ("timm/resnet18", "hf-hub:timm/resnet18 is a repository's name"),
        ("ftp:resnet18", "hf-hub:owner/name or local-dir:FOLDER"),
        ("local-dir:nowhere", r"no backbone in .*nowhere: expected config\.json"),
        ("", "unknown backbone ''"),
    ],
)
def test_other_names_are_one_line(name: str, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        look_up(name)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"architecture": 3}', '{"model_type": "bert"}', "[" * 5000])
def test_a_configuration_of_something_else_is_one_line(saved: Path, text: str) -> None:
    (saved / "config.json").write_text(text)
    with pytest.raises(DataError, match=r"config\.json"):
        look_up(f"local-dir:{saved}")
