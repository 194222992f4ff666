"""A state dict fitted to the network that it is for, through timm's own filters where names or shapes differ."""

import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import timm
import torch
from head2toe.extract.weights.names import ModelName
from head2toe.extract.weights.parts import State
from head2toe.extract.weights.seeding import seeded
from head2toe.store.common.errors import BadRequest, DataError

COUNTER = "num_batches_tracked"
PRETRAINING_ONLY = re.compile(
    r"(decoder|mask_token|projection_head|projector|prototypes|predictor|queue|queue_ptr|criterion|n_averaged)\b|decoder_"
)
"""Names of what self-supervised training needs beside the network and nobody afterwards."""
_MISSING = re.compile(r"Missing key\(s\) in state_dict: (.*?)\. *\n", re.DOTALL)
_UNKNOWN = re.compile(r"Unexpected key\(s\) in state_dict: (.*?)\. *\n", re.DOTALL)
_RESHAPED = re.compile(r"size mismatch for (\S+): copying a param with shape torch\.Size\(\[([\d, ]*)\]\)")

_TRANSFORMERS = re.compile(r"(?:^|\.)(?:embeddings\.|layers?\.\d+\.(?:attention\.|layernorm_)|encoder\.stages\.)")
"""Names of tensors in Hugging Face transformers."""
_BY_SIZE = re.compile(r"pos|attention_bias|mlp_tokens")
"""Names of tensors whose shapes depend on the input size."""


class Fitted(NamedTuple):
    """A network with its weights, and what a user may wonder about."""

    model: torch.nn.Module
    notes: tuple[str, ...] = ()


class Misfit(Exception):
    """What torch said of a state dict that does not fit.

    Attributes
    ----------
    missing, unknown : list of str
        Names of tensors.
    reshaped : dict
        The names of tensors of another shape, and the shapes that they have in the file.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.missing = _names(_MISSING, text)
        self.unknown = _names(_UNKNOWN, text)
        self.reshaped = {name: tuple(map(int, shape.split(", "))) for name, shape in _RESHAPED.findall(text) if shape}

    def __str__(self) -> str:
        kinds = (("missing", self.missing), ("unknown", self.unknown), ("of another shape", list(self.reshaped)))
        faults = [f"{len(names)} {kind} ({names[0]}, …)" for kind, names in kinds if names]
        return f"tensors {'; '.join(faults)}" if faults else " ".join(str(self.args[0]).split())[:200]


def _names(pattern: re.Pattern[str], text: str) -> list[str]:
    listed = pattern.search(text + "\n")
    return re.findall(r'"([^"]+)"', listed[1]) if listed else []


def create(name: ModelName, options: Mapping[str, Any], *, pretrained: bool = False) -> torch.nn.Module:
    """Have timm build a network.

    Raises
    ------
    BadRequest
        timm can't build it with these options.
    """
    try:
        model: torch.nn.Module = timm.create_model(name.name, pretrained=pretrained, **options)
    except (AssertionError, TypeError, ValueError) as error:
        shown = {key: value for key, value in options.items() if key != "pretrained_cfg_overlay"}
        raise BadRequest(f"timm can't build {name.name!r} with {shown}: {str(error).partition(chr(10))[0]}") from error
    return model


def body_names(model: torch.nn.Module, heads: Sequence[str]) -> list[str]:
    """Return the names of a network's tensors without its classifiers' and without counters."""
    return [key for key in model.state_dict() if not _in_heads(key, heads) and not key.endswith(COUNTER)]


def fit(name: ModelName, state: State, options: Mapping[str, Any], where: str) -> Fitted:
    """Build a network with the tensors of a state dict.

    A state dict brings its own number of classes; one without a classifier, or with one of two, makes a network
    without. Where names or shapes differ (another input size, patch size or library), timm's own filter for the network
    converts.

    Parameters
    ----------
    name : ModelName
        Which network.
    state : dict
        The tensors.
    options : dict
        What timm's `create_model` is told besides.
    where : str
        Where the tensors are from, for messages.

    Raises
    ------
    DataError
        The tensors do not fit the network.
    """
    n_classes = _n_classes(state, name.heads)
    model = create(name, {**options} if n_classes is None else {**options, "num_classes": n_classes})
    own = model.state_dict()
    _check_kinds(own, state, where)
    if _shapes(own) == _shapes(state):
        model.load_state_dict(state)
        return Fitted(model)
    if left_out := [key for key in state if key not in own and PRETRAINING_ONLY.match(key)]:
        state = {key: value for key, value in state.items() if key not in left_out}
    notes = (
        [f"{len(left_out)} tensors that only its training needed are left out ({left_out[0]}, …)"] if left_out else []
    )
    first_misfit, tried, n = None, set(), n_classes if n_classes is not None else int(getattr(model, "num_classes", 0))
    del model, own
    while n not in tried:
        tried.add(n)
        try:
            fitted = _through_timm(name, state, options, n)
        except Misfit as misfit:
            first_misfit = first_misfit or misfit
            n = next((shape[0] for key, shape in misfit.reshaped.items() if _in_heads(key, name.heads)), 0)
            n = 0 if n in tried else n  # a classifier of other features than the network's
            continue
        if not n and name.heads:
            notes.append("it brings no whole classifier, so that the backbone has no logits")
        return Fitted(fitted, tuple(notes))
    assert first_misfit is not None
    raise DataError(f"weights in {where} do not fit the backbone: {first_misfit}{_advice(first_misfit)}")


def load_by_position(model: torch.nn.Module, state: State, where: str) -> None:
    """Load tensors that stand under other names, in the same order; every shape has to agree.

    Raises
    ------
    DataError
        They do not.
    """
    own = [key for key in model.state_dict() if not key.endswith(COUNTER)]
    given = [value for key, value in state.items() if not key.endswith(COUNTER)]
    shapes = [model.state_dict()[key].shape for key in own]
    if [value.shape for value in given] != shapes:
        raise DataError(f"weights of {where} do not fit the backbone: {len(given)} tensors, {len(own)} wanted")
    model.load_state_dict(dict(zip(own, given, strict=True)), strict=False)


def _through_timm(name: ModelName, state: State, options: Mapping[str, Any], n_classes: int) -> torch.nn.Module:
    """Load a state dict as timm loads pretrained weights. Raises Misfit."""
    if not n_classes:
        state = {key: value for key, value in state.items() if not _in_heads(key, name.heads)}
    first, second = (_load(name, state, options, n_classes, seed) for seed in (0, 1))
    # A few of timm's networks are loaded leniently: what the file lacks would stay random, and be another every time.
    drawn = [key for key, value in first.state_dict().items() if not _equal(value, second.state_dict()[key])]
    if drawn:
        raise Misfit(f"Missing key(s) in state_dict: {', '.join(map(_quoted, drawn))}. \n")
    return first


def _load(name: ModelName, state: State, options: Mapping[str, Any], n_classes: int, seed: int) -> torch.nn.Module:
    overlay = {"state_dict": dict(state), "custom_load": False, "source": "", "label_offset": 0}
    arguments = {**options, "num_classes": n_classes, "pretrained_cfg_overlay": {**overlay, "num_classes": n_classes}}
    try:
        with seeded(seed), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch's, about how timm's filters compute
            model = create(name, arguments, pretrained=True)
    except (RuntimeError, LookupError, AttributeError, BadRequest) as error:
        raise Misfit(str(error)) from error
    model.pretrained_cfg.pop("state_dict", None)  # type: ignore[operator, union-attr]
    return model


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.equal(a, b) or bool(((a == b) | ((a != a) & (b != b))).all())


def _quoted(name: str) -> str:
    return f'"{name}"'


def _advice(misfit: Misfit) -> str:
    """Return what to do, where the misfit tells it; else the empty string."""
    if any(_TRANSFORMERS.search(name) for name in misfit.unknown):
        return "; these are names of Hugging Face transformers': take timm's form of the model, or rename them"
    if misfit.reshaped and not (misfit.missing or misfit.unknown) and all(map(_BY_SIZE.search, misfit.reshaped)):
        return "; what timm does not resample wants the --input-size of the file"
    return ""


def _check_kinds(own: State, state: State, where: str) -> None:
    """Weights are numbers with a point. Raises DataError for NaN and for the whole numbers of a quantised network."""
    steps = [key for key, value in state.items() if key in own and _is_float(own[key]) and not _is_float(value)]
    if steps:
        raise DataError(
            f"weights in {where} are of a quantised network ({len(steps)} tensors of whole numbers: {steps[0]}, …): "
            "pass those of the network before that"
        )
    if broken := [key for key, value in state.items() if key in own and value.isnan().any()]:
        raise DataError(
            f"weights in {where} are NaN in {len(broken)} tensors ({broken[0]}, …), as training leaves them that has "
            "diverged: pass those of an earlier step"
        )


def _is_float(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point()


def _shapes(state: State) -> dict[str, torch.Size]:
    """Return the shapes by name, without batch normalisation's counters: torch does without, as old files do."""
    return {key: value.shape for key, value in state.items() if not key.endswith(COUNTER)}


def _in_heads(key: str, heads: Sequence[str]) -> bool:
    return key.startswith(tuple(f"{head}." for head in heads))


def _n_classes(state: State, heads: Sequence[str]) -> int | None:
    """Return the number of classes of a state dict: one that was fine-tuned on other classes brings its own."""
    weights = (state.get(f"{head}.weight") for head in heads)
    return next((weight.shape[0] for weight in weights if weight is not None and weight.ndim), None)
