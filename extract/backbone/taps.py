"""Taps: the points of a network where an activation is read, found by running it once.

Presets
-------
h2t     the paper's: the input of every convolution, every post-activation output; in transformers what enters and
        leaves attention and MLP; the stem, the last feature map, `pre_logits` and `logits`
blocks  the residual stream: the output of every block, `pre_logits` and `logits`
all     everything above
or glob patterns over the names of `all`, separated by commas: `blocks.*.attn,pre_logits`
"""

import fnmatch
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from head2toe.extract.backbone.backbone import Backbone
from head2toe.extract.backbone.pooling import Layout, Tokens, pool, pooled_width
from head2toe.extract.backbone.roles import candidates, classifier_path
from head2toe.store.common.errors import BadRequest
from torch import nn

TAP_PRESETS = {
    "h2t": frozenset({"conv", "act", "attention", "stem", "final", "head"}),
    "blocks": frozenset({"block", "head"}),
    "all": frozenset({"conv", "act", "attention", "stem", "final", "head", "block"}),
}
LAST_LAYER = "pre_logits"
"""The pooled features that the network's own classifier reads: what a linear probe is trained on."""

UNFIT = (AssertionError, RuntimeError, ValueError, LookupError)
"""What networks raise for images of a size that they are not built for."""

Point = tuple[str, str, str]
"""(role, side, module path)"""


@dataclass(frozen=True)
class Tap:
    """One point where an activation is read.

    Attributes
    ----------
    name : str
        `pre_logits`, `logits`, or the module's path, with `.in` where its input is read and `@k` for its k-th repeat.
    module, side, call : str, {"in", "out"}, int
        Which tensor: input or output of a module ("" is the whole network) at its `call`-th call of a forward pass.
    shape : tuple of int
        Shape of one example's activation.
    layout : Layout
        Which of its axes is what.
    prefix : int
        How many tokens stand before the patches (class, distillation, registers), where it is a sequence.
    """

    name: str
    module: str
    side: str
    call: int
    shape: tuple[int, ...]
    layout: Layout = "NC"
    prefix: int = 0

    def width(self, target_size: int, tokens: Tokens = "paper") -> int:
        """Number of features that pooling to `target_size` leaves."""
        return pooled_width(self.shape, target_size, self.layout, tokens, self.prefix)

    def pool(self, activation: torch.Tensor, target_size: int, tokens: Tokens = "paper") -> torch.Tensor:
        """Pool a batch of this tap's activations; see `head2toe.extract.backbone.pooling.pool`."""
        return pool(activation, target_size, layout=self.layout, tokens=tokens, prefix=self.prefix)


@dataclass(frozen=True)
class _Reading:
    """A tap as one run showed it. Holding on to `tensor` keeps its address from being used for another."""

    tap: Tap
    role: str
    tensor: torch.Tensor
    version: int

    @property
    def identity(self) -> tuple[Any, ...]:
        # The version tells a tensor from itself after an activation in place.
        return (self.tensor.data_ptr(), self.version, self.tensor.shape, self.tensor.stride())


@dataclass(frozen=True)
class Discovery:
    """What was found in a network.

    Attributes
    ----------
    taps : tuple of Tap
        In the order in which the network computes them.
    untapped : dict
        Points of the same roles that can't be read, and why.
    """

    taps: tuple[Tap, ...]
    untapped: dict[str, str]


def discover(backbone: Backbone, taps: str = "h2t", *, include_input: bool = False) -> Discovery:
    """Find the taps of a preset or of glob patterns.

    A tensor that two taps would read is read once, under its first name; `include_input` adds the preprocessed image
    itself as the layer `input`. What is not a batch of floats (windows of Swin's attention, say) can't be read.

    Raises
    ------
    BadRequest
        A pattern matches nothing (the message gives some names), or the network can't take images of this size.
    """
    roles = TAP_PRESETS.get(taps, TAP_PRESETS["all"])
    patterns = ["*"] if taps in TAP_PRESETS else [pattern.strip() for pattern in taps.split(",")]
    try:
        run = _run(backbone, backbone.input_size)
    except UNFIT as error:
        raise BadRequest(
            f"{backbone.architecture} can't take images of {backbone.input_size} pixels "
            f"({' '.join(str(error).split())[:200]}): choose another --input-size"
        ) from error
    readings = _matching(_unique(r for r in run.readings if r.role in roles), patterns)
    untapped = {n: why for n, (role, why) in run.untapped.items() if role in roles and _any_match(n, patterns)}
    larger = _shapes_at_a_larger_size(backbone)
    nhwc = getattr(backbone.model, "output_fmt", "NCHW") == "NHWC"
    found = (replace(r.tap, layout=_layout(r.tap.shape, larger.get(r.tap.name), nhwc)) for r in readings)
    inner = tuple(replace(tap, prefix=_prefix(tap, backbone.model)) for tap in found)
    side = backbone.input_size
    image = (Tap("input", "", "in", 0, (3, side, side), "NCHW"),) if include_input else ()
    return Discovery(image + inner, untapped)


def points(model: nn.Module) -> Iterator[Point]:
    """Every point to hook: the candidates, what the classifier reads and what the network returns."""
    yield from candidates(model)
    if (head := classifier_path(model)) is not None:
        yield "head", "in", head
    yield "head", "out", ""


def tap_name(role: str, side: str, path: str, *, has_classifier: bool) -> str:
    """The name of a point (see `Tap.name`). What a network without a classifier returns is its last layer."""
    if role == "head":
        return "logits" if side == "out" and has_classifier else LAST_LAYER
    return f"{path}.in" if side == "in" else path


@contextmanager
def hooked(model: nn.Module, at: Iterable[Point], read: Callable[[Point, int, Any], None]) -> Iterator[None]:
    """Call `read(point, call number, value)` whenever a point is passed in a forward pass of this thread.

    Another thread's pass through the same network is its own business: its hooks stand beside these.
    """
    calls: dict[Point, int] = {}
    here = threading.get_ident()

    def reader(point: Point) -> Callable[..., None]:
        def hook(_: nn.Module, args: Any, output: Any = None) -> None:
            if threading.get_ident() != here:
                return
            call = calls[point] = calls.get(point, -1) + 1
            read(point, call, args if point[1] == "in" else output)

        return hook

    handles = []
    try:
        for point in at:
            module = model.get_submodule(point[2])
            register = module.register_forward_pre_hook if point[1] == "in" else module.register_forward_hook
            handles.append(register(reader(point)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def first_tensor(value: Any) -> torch.Tensor | None:
    """The first floating tensor of a module's inputs or outputs, which may be tuples, lists or dicts."""
    if isinstance(value, torch.Tensor):
        return value if value.is_floating_point() else None
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return next((tensor for tensor in map(first_tensor, items) if tensor is not None), None)


@dataclass
class _Run:
    """What one forward pass showed: readings, and for each point that can't be read its role and why."""

    readings: list[_Reading]
    untapped: dict[str, tuple[str, str]]


def _run(backbone: Backbone, size: int) -> _Run:
    """One forward pass with every point hooked. Gradients are off but versions on (inference mode has none)."""
    batch = 3  # neither 1 nor 2: an axis of windows or of two tokens must not pass for the batch
    image = torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0)).to(backbone.device)
    has_classifier = classifier_path(backbone.model) is not None
    run = _Run([], {})

    def read(point: Point, call: int, value: Any) -> None:
        role, side, path = point
        name = tap_name(role, side, path, has_classifier=has_classifier) + (f"@{call}" if call else "")
        tensor = first_tensor(value)
        if tensor is image:
            return  # the image is no activation; `include_input` makes it a layer
        if tensor is None:
            run.untapped[name] = (role, "no floating tensor")
        elif tensor.shape[0] != batch:
            run.untapped[name] = (role, f"its first axis ({tensor.shape[0]} for {batch} images) is not the batch")
        elif not 2 <= tensor.ndim <= 4:
            run.untapped[name] = (role, f"{tensor.ndim} axes")
        else:
            tap = Tap(name, path, side, call, tuple(tensor.shape[1:]))
            run.readings.append(_Reading(tap, role, tensor, tensor._version))

    with torch.no_grad(), hooked(backbone.model, points(backbone.model), read):
        backbone.model(image)
    return run


def _unique(readings: Iterable[_Reading]) -> list[_Reading]:
    """Without the later readings of the same tensor; a head keeps its own name."""
    kept: dict[tuple[Any, ...], _Reading] = {}
    for reading in readings:
        if reading.identity not in kept or reading.role == "head":
            kept[reading.identity] = reading
    return list(kept.values())


def _matching(readings: Sequence[_Reading], patterns: Sequence[str]) -> list[_Reading]:
    names = [r.tap.name for r in readings]
    for pattern in patterns:
        if not any(_any_match(name, [pattern]) for name in names):
            some = ", ".join(names[:: max(1, len(names) // 4)][:4])
            raise BadRequest(f"taps {pattern!r} match nothing: use h2t, blocks, all or patterns over names like {some}")
    return [r for r in readings if _any_match(r.tap.name, patterns)]


def _any_match(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _shapes_at_a_larger_size(backbone: Backbone) -> dict[str, tuple[int, ...]]:
    """Shapes of the same taps for a larger image: the axis that does not grow holds the channels."""
    try:
        return {r.tap.name: r.tap.shape for r in _run(backbone, backbone.input_size + 64).readings}
    except UNFIT:
        return {}  # built for one size (position embeddings, windows): `_layout` asks timm instead


def _layout(shape: tuple[int, ...], larger: tuple[int, ...] | None, nhwc: bool) -> Layout:
    """Which axis is what, from the shapes at two sizes; `nhwc` is timm's word for the whole network."""
    if len(shape) < 3:
        return "NC" if len(shape) == 1 else "NLC"
    if larger is not None and len(larger) == 3:
        fixed = [axis for axis in range(3) if shape[axis] == larger[axis]]
        if fixed in ([0], [2]):
            return "NCHW" if fixed == [0] else "NHWC"
    if (shape[0] == shape[1]) != (shape[1] == shape[2]):  # square maps of a network built for one size
        return "NHWC" if shape[0] == shape[1] else "NCHW"
    return "NHWC" if nhwc else "NCHW"


def _prefix(tap: Tap, model: nn.Module) -> int:
    """Tokens before the patches. What holds patches alone (the patch embedding's output) has as many as the grid."""
    patches = getattr(getattr(model, "patch_embed", None), "num_patches", None)
    if tap.layout != "NLC" or tap.shape[0] == patches:
        return 0
    return int(getattr(model, "num_prefix_tokens", 0))
