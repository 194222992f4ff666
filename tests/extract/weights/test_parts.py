"""The network in a checkpoint is found whatever it is wrapped in; where there are several, nothing is guessed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from head2toe.extract.weights.parts import network_part
from head2toe.store.common.errors import BadRequest, DataError

BODY = ["conv1.weight", "layer1.0.weight", "layer1.1.weight"]


def _state(value: float = 1.0, prefix: str = "") -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": torch.full((2,), value) for name in [*BODY, "fc.weight"]}


def _label(content: Any, wanted: str = "") -> tuple[str, float]:
    part = network_part(content, BODY, wanted, Path("x.pt"))
    assert set(BODY) <= set(part.state)
    return part.label, part.state["conv1.weight"][0].item()


OPTIMIZER = {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}


@pytest.mark.parametrize(
    ("content", "label"),
    [
        (_state(), ""),
        (_state(prefix="module."), ""),
        (_state(prefix="_orig_mod.module."), ""),
        (_state(prefix="model."), "model"),
        (_state(prefix="module.encoder."), "encoder"),
        ({"state_dict": _state(prefix="module."), "optimizer": OPTIMIZER, "epoch": 3}, "state_dict"),
        ({"state_dict": _state(prefix="model."), "pytorch-lightning_version": "2"}, "state_dict.model"),
        ({"model": {"backbone": _state()}, "epoch": torch.tensor(3)}, "model.backbone"),
        ({"teacher": _state(prefix="module.backbone.")}, "teacher.backbone"),
        ({**_state(prefix="module."), "n_averaged": torch.tensor(3)}, ""),
        ({"state_dict": _state(prefix="net.trunk.") | {"acc.total": torch.ones(1)}}, "state_dict.net.trunk"),
        (_state(prefix="my_cnn."), "my_cnn"),
        (_state(prefix="_fsdp_wrapped_module."), ""),
        ({key.replace("layer1.", "layer1._orig_mod."): value for key, value in _state().items()}, ""),
        ({"model": {key: value.numpy() for key, value in _state().items()}}, "model"),
    ],
)
def test_wrappers_and_prefixes_are_looked_through(content: Any, label: str) -> None:
    assert _label(content) == (label, 1)


@pytest.mark.parametrize(
    ("content", "label"),
    [
        ({"state_dict": _state(0), "state_dict_ema": _state(1)}, "state_dict_ema"),
        ({"model": _state(0), "model_ema": _state(1)}, "model_ema"),
        ({"model": _state(0), "state_dict": _state(1)}, "state_dict"),
        ({"state_dict": _state(0, "model.") | _state(1, "model_ema.")}, "state_dict.model_ema"),
        ({"state_dict": _state(1, "module.encoder_q.") | _state(0, "module.encoder_k.")}, "state_dict.encoder_q"),
        ({"model": _state(1), "model_ema": None}, "model"),
        ({"model": _state(0), "ema_state": _state(1)}, "ema_state"),
        ({"state_dict": _state(0), "swa_state_dict": _state(1)}, "swa_state_dict"),
        ({"model": _state(0), "ema": {"decay": 0.9, "shadow": _state(1)}}, "ema.shadow"),
        ({"state_dict": _state(1), "model_ema": {"decay": torch.tensor(0.9)}}, "state_dict"),
    ],
)
def test_averages_come_first_then_timms_order(content: Any, label: str) -> None:
    assert _label(content) == (label, 1)


@pytest.mark.parametrize(
    "content",
    [
        {"student": _state(0), "teacher": _state(1)},
        {"model": _state(0, "student.backbone.") | _state(1, "teacher.backbone.")},
        _state(0, "student.") | _state(1, "teacher."),
        _state(0, "my_student.") | _state(1, "my_teacher."),
    ],
)
def test_several_networks_are_an_error_that_names_them_and_the_option(content: Any) -> None:
    with pytest.raises(BadRequest, match=r"2 networks \(.*student.*teacher.*--weights 'x\.pt#.*student"):
        _label(content)
    prefix = "my_" if "my_student.fc.weight" in content else ""
    assert _label(content, f"{prefix}teacher")[1] == 1
    assert _label(content, f"{prefix}student")[1] == 0


def test_a_part_that_is_not_there_is_an_error_with_those_that_are() -> None:
    with pytest.raises(BadRequest, match=r"no part 'pupil' \(there: student, teacher\)"):
        _label({"student": _state(), "teacher": _state()}, "pupil")


def test_a_file_without_tensors_is_named() -> None:
    with pytest.raises(DataError, match=r"x\.pt holds no state dict"):
        _label({"epoch": 3, "state_dict": {}})
