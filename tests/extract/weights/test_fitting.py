"""State dicts are fitted as timm fits its own; what stays random is refused."""

from typing import Any

import pytest
import timm
import torch
from head2toe.extract.weights.fitting import fit
from head2toe.extract.weights.names import look_up
from head2toe.extract.weights.parts import State
from head2toe.store.common.errors import DataError


def _state(name: str, **options: Any) -> State:
    return dict(timm.create_model(name, **options).state_dict())


def _fit(name: str, state: State, **options: Any) -> Any:
    return fit(look_up(name), state, options, "x.pt")


def test_the_same_tensors_are_loaded_as_they_are() -> None:
    state = _state("test_resnet", num_classes=7)
    fitted = _fit("test_resnet", state)
    assert not fitted.notes
    assert all(torch.equal(value, state[key]) for key, value in fitted.model.state_dict().items())


def test_counters_of_batch_normalisation_may_be_missing() -> None:
    state = {key: value for key, value in _state("test_resnet").items() if "num_batches" not in key}
    loaded = _fit("test_resnet", state).model.state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in state.items())


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [("test_vit", 160, 96), ("swinv2_cr_tiny_224", 224, 128), ("test_vit4", 160, 192)],
)
def test_another_input_size_is_what_timm_makes_of_it(name: str, old: int, new: int) -> None:
    options = {"img_size": new} if look_up(name).fixed_size else {}
    state = _state(name, **({"img_size": old} if options else {}))
    own = timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"state_dict": dict(state)}, **options)
    loaded = _fit(name, state, **options).model.state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in own.state_dict().items())


@pytest.mark.parametrize(
    "name", ["test_vit", "test_resnet", "test_convnext", "test_efficientnet", "mobilenetv3_small_050"]
)
def test_without_a_classifier_there_are_no_logits(name: str) -> None:
    heads = tuple(f"{head}." for head in look_up(name).heads)
    state = {key: value for key, value in _state(name).items() if not key.startswith(heads)}
    fitted = _fit(name, state)
    assert "no logits" in fitted.notes[-1]
    loaded = fitted.model.state_dict()
    assert set(loaded) == set(state)
    assert all(torch.equal(value, loaded[key]) for key, value in state.items())


@pytest.mark.parametrize("name", ["deit_tiny_distilled_patch16_224", "levit_128s", "repvit_m0_9", "swiftformer_xs"])
def test_all_heads_of_a_fine_tuned_file_come_along(name: str) -> None:
    state = _state(name, num_classes=5)
    loaded = _fit(name, state).model.state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in state.items())


def test_one_head_of_two_makes_a_network_without() -> None:
    name = "deit_tiny_distilled_patch16_224"
    state = {key: value for key, value in _state(name, num_classes=5).items() if "head_dist" not in key}
    fitted = _fit(name, state)
    assert "no logits" in fitted.notes[-1]
    assert not any(key.startswith("head") for key in fitted.model.state_dict())


def test_what_only_training_needs_is_left_out_with_a_note() -> None:
    """A masked autoencoder's file: no classifier, and a decoder."""
    state = {key: value for key, value in _state("test_vit").items() if not key.startswith("head.")}
    extra = {"mask_token": torch.zeros(1, 1, 64), "decoder_embed.weight": torch.ones(3, 3)}
    fitted = _fit("test_vit", state | extra)
    assert "2 tensors" in fitted.notes[0]


def test_contrastive_heads_are_no_classifiers() -> None:
    """MoCo's two layers under the classifier's name."""
    state = {key: value for key, value in _state("test_resnet").items() if not key.startswith("fc.")}
    fitted = _fit("test_resnet", state | {f"fc.{n}.weight": torch.ones(8, 8) for n in (0, 2)})
    assert not any(key.startswith("fc.") for key in fitted.model.state_dict())


def test_a_classifier_of_other_features_is_left_out() -> None:
    """One on top of layers that the network does not have."""
    fitted = _fit("test_resnet", _state("test_resnet") | {"fc.weight": torch.ones(5, 13), "fc.bias": torch.ones(5)})
    assert "no logits" in fitted.notes[-1]


def test_whole_numbers_are_no_weights() -> None:
    """As a quantised network stores them: the numbers of steps, whose width is elsewhere."""
    state = {key: value.to(torch.int8) for key, value in _state("test_resnet").items()}
    with pytest.raises(DataError, match=r"quantised network \(\d+ tensors of whole numbers: conv1"):
        _fit("test_resnet", state)


def test_weights_of_a_training_that_diverged_are_named() -> None:
    state = _state("test_resnet")
    state["conv1.0.weight"] = state["conv1.0.weight"] * float("nan")
    with pytest.raises(DataError, match=r"NaN in 1 tensors \(conv1\.0\.weight, …\).* pass those of an earlier step"):
        _fit("test_resnet", state)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_numbers_of_any_precision_become_float32(kind: torch.dtype) -> None:
    state = {key: value.to(kind) if value.is_floating_point() else value for key, value in _state("test_vit").items()}
    fitted = _fit("test_vit", state)
    assert {value.dtype for value in fitted.model.state_dict().values()} == {torch.float32}


def test_names_of_another_library_are_named() -> None:
    state = {f"vit.encoder.layer.{n}.attention.attention.query.weight": torch.ones(3, 3) for n in range(3)}
    with pytest.raises(DataError, match="names of Hugging Face transformers': take timm's form"):
        _fit("test_vit", state)


def test_what_timm_does_not_resample_says_which_size_fits() -> None:
    with pytest.raises(DataError, match="wants the --input-size of the file"):
        _fit("pit_ti_224", _state("pit_ti_224"), img_size=160)


@pytest.mark.parametrize(
    ("name", "of"), [("resnet18", "resnet26"), ("resnet18", "resnet34"), ("test_vit", "test_vit2"), ("dla34", "dla60")]
)
def test_another_network_is_refused_with_the_tensors(name: str, of: str) -> None:
    with pytest.raises(DataError, match=r"weights in x\.pt do not fit the backbone: tensors \d+ "):
        _fit(name, _state(of))


@pytest.mark.parametrize("name", ["test_resnet", "dla34", "convnext_atto"])
def test_nothing_that_a_file_lacks_stays_random(name: str) -> None:
    """Also where timm itself would load leniently."""
    state = _state(name)
    gone = [key for key in state if key.endswith("weight") and state[key].ndim == 4][2]
    del state[gone]
    with pytest.raises(DataError, match="do not fit"):
        _fit(name, state)
