"""Everything that timm takes as a name is understood, offline where the files are at hand."""

import json
from pathlib import Path

import huggingface_hub
import pytest
import safetensors.torch
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


def test_a_source_may_be_written_as_timm_takes_it(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for source in ("local-dir", "Local-Dir", "local_dir"):
        assert look_up(f"{source}:{saved}").architecture == "test_resnet"
    monkeypatch.chdir(saved.parent)
    with pytest.raises(BadRequest, match="unknown backbone 'saved': local-dir:saved is the folder"):
        look_up("saved")


def test_a_folder_may_hold_several_files_and_their_index(saved: Path) -> None:
    whole = load_backbone(f"local-dir:{saved}", device="cpu")
    (saved / "model.safetensors").unlink()
    state = dict(whole.model.state_dict())
    files = {name: f"model-{n % 2 + 1:05}-of-00002.safetensors" for n, name in enumerate(state)}
    for file in set(files.values()):
        part = {name: state[name].contiguous() for name in state if files[name] == file}
        safetensors.torch.save_file(part, saved / file)
    index = saved / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": files}))
    assert load_backbone(f"local-dir:{saved}", device="cpu").weights_sha256 == whole.weights_sha256
    for file in (index, saved / "model-00001-of-00002.safetensors"):
        read = load_backbone("test_resnet", weights=str(file), device="cpu")
        assert read.weights_sha256 == whole.weights_sha256
    (saved / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(DataError, match=r"index\.json lists 2 files of weights, of which model-00002-of-.* not beside"):
        load_backbone(f"local-dir:{saved}", device="cpu")


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


def test_a_configuration_of_transformers_is_called_that(saved: Path) -> None:
    (saved / "config.json").write_text('{"model_type": "vit", "architectures": ["ViTModel"]}')
    with pytest.raises(DataError, match="Hugging Face transformers, model_type 'vit'"):
        look_up(f"local-dir:{saved}")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"architecture": 3}', '{"model_type": "bert"}', "[" * 5000])
def test_a_configuration_of_something_else_is_one_line(saved: Path, text: str) -> None:
    (saved / "config.json").write_text(text)
    with pytest.raises(DataError, match=r"config\.json"):
        look_up(f"local-dir:{saved}")
