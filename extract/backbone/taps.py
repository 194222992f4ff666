"""Taps: the points of a network where an activation is read; running the network once shows which there are.

Presets
-------
h2t     the paper's: the input of every convolution, every post-activation output; in transformers what enters and
        leaves attention and MLP; the stem, the last feature map, `pre_logits` and `logits`
blocks  the residual stream: the output of every block, `pre_logits` and `logits`
all     everything above
or glob patterns over the names of `all`, separated by commas: `blocks.*.attn,pre_logits`
"""

import fnmatch
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from head2toe.extract.backbone.backbone import Backbone
from head2toe.extract.backbone.hooks import Point, first_tensor, hooked
from head2toe.extract.backbone.pooling import pool, pool_view, pooled_width
from head2toe.extract.backbone.roles import candidates, classifier_path
from head2toe.extract.backbone.windows import MEAN, Layout, Statistics, Tokens, column_blocks
from head2toe.store.common.errors import BadRequest
from head2toe.store.format.layer_index import LAST_LAYER
from torch import nn

TAP_PRESETS = {
    "h2t": frozenset({"conv", "act", "attention", "stem", "final", "head"}),
    "blocks": frozenset({"block", "head"}),
    "all": frozenset({"conv", "act", "attention", "stem", "final", "head", "block"}),
}
UNFIT = (AssertionError, RuntimeError, ValueError, LookupError)
"""What networks raise for images of a size that they are not built for."""


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

    @property
    def point(self) -> Point:
        """Where the network is to be hooked."""
        return self.side, self.module

    def width(self, target_size: int, tokens: Tokens = "paper", statistics: Statistics = MEAN) -> int:
        """Return how many features pooling to `target_size` leaves."""
        return pooled_width(self.shape, target_size, self.layout, tokens, self.prefix, statistics)

    def blocks(
        self, target_size: int, tokens: Tokens = "paper", statistics: Statistics = MEAN
    ) -> list[tuple[str, int]]:
        """Return what these features are, block by block; see `head2toe.extract.backbone.windows.column_blocks`."""
        return column_blocks(self.shape, target_size, self.layout, tokens, self.prefix, statistics)

    def pool(
        self, activation: torch.Tensor, target_size: int, tokens: Tokens = "paper", statistics: Statistics = MEAN
    ) -> torch.Tensor:
        """Pool a batch of this tap's activations; see `head2toe.extract.backbone.pooling.pool`."""
        return pool(
            activation,
            target_size,
            layout=self.layout,
            tokens=tokens,
            prefix=self.prefix,
            statistics=statistics,
        )

    def pool_view(
        self, activation: torch.Tensor, target_size: int, tokens: Tokens = "paper", statistics: Statistics = MEAN
    ) -> torch.Tensor:
        """Pool as `pool` does; the result may lie in the activation's own memory."""
        return pool_view(
            activation,
            target_size,
            layout=self.layout,
            tokens=tokens,
            prefix=self.prefix,
            statistics=statistics,
        )


@dataclass(frozen=True)
class _Reading:
    """A tap as one run showed it; holding on to `tensor` keeps its address from being used for another."""

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
    """The taps of a network, and the points that can't be read.

    Attributes
    ----------
    taps : tuple of Tap
        The taps, in the order in which the network computes them.
    untapped : dict
        Points of the same roles that can't be read, and why.
    """

    taps: tuple[Tap, ...]
    untapped: dict[str, str]


def discover(backbone: Backbone, taps: str = "h2t", *, include_input: bool = False) -> Discovery:
    """Find the taps of a preset or of glob patterns.

    A tensor that two taps would read is read once, under its first name. What is not a batch of floats (windows of
    Swin's attention, say) can't be read.

    Parameters
    ----------
    backbone : Backbone
        Whose network is run, on random images of two sizes.
    taps : str
        A preset (`h2t`, `blocks`, `all`) or glob patterns, separated by commas.
    include_input : bool
        Whether the preprocessed image itself becomes a layer, `input`.

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
    laid_out = (replace(r.tap, layout=_layout(r.tap.shape, larger.get(r.tap.name), nhwc)) for r in readings)
    inner = tuple(replace(tap, prefix=_prefix(tap, backbone.model)) for tap in laid_out)
    side = backbone.input_size
    image = (Tap("input", "", "in", 0, (3, side, side), "NCHW"),) if include_input else ()
    return Discovery(image + inner, untapped)


def readable_points(model: nn.Module) -> Iterator[tuple[str, str, str]]:
    """Yield (role, side, path) of the candidates, of what the classifier reads and of what the network returns."""
    yield from candidates(model)
    if (head := classifier_path(model)) is not None:
        yield "head", "in", head
    yield "head", "out", ""


def tap_name(role: str, side: str, path: str, *, has_classifier: bool) -> str:
    """Return the name of a point (see `Tap.name`). What a network without a classifier returns is its last layer."""
    if role == "head":
        return "logits" if side == "out" and has_classifier else LAST_LAYER
    return f"{path}.in" if side == "in" else path


@dataclass
class _Run:
    """The readings of one forward pass and, of each point that can't be read, its role and why."""

    readings: list[_Reading]
    untapped: dict[str, tuple[str, str]]


def _run(backbone: Backbone, size: int) -> _Run:
    """Run the network once, hooked at every point, with gradients off but versions on (inference mode has none)."""
    batch = 3  # neither 1 nor 2: an axis of windows or of two tokens must not pass for the batch
    image = torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0)).to(backbone.device)
    has_classifier = classifier_path(backbone.model) is not None
    roles: dict[Point, list[str]] = {}
    for role, side, path in readable_points(backbone.model):
        roles.setdefault((side, path), []).append(role)
    run = _Run([], {})

    def read(point: Point, call: int, value: Any) -> None:
        tensor = first_tensor(value)
        if tensor is image:
            return  # the image is no activation; `include_input` makes it a layer
        for role in roles[point]:
            name = tap_name(role, *point, has_classifier=has_classifier) + (f"@{call}" if call else "")
            if (fault := _why_unreadable(tensor, batch)) is not None:
                run.untapped[name] = (role, fault)
            elif tensor is not None:
                tap = Tap(name, point[1], point[0], call, tuple(tensor.shape[1:]))
                run.readings.append(_Reading(tap, role, tensor, tensor._version))

    with torch.no_grad(), hooked(backbone.model, roles, read):
        backbone.model(image)
    return run


def _why_unreadable(tensor: torch.Tensor | None, batch: int) -> str | None:
    """Return why a tensor is no batch of activations, None if it is one."""
    if tensor is None:
        return "no floating tensor"
    if tensor.shape[0] != batch:
        return f"its first axis ({tensor.shape[0]} for {batch} images) is not the batch"
    return None if 2 <= tensor.ndim <= 4 else f"{tensor.ndim} axes"


def _unique(readings: Iterable[_Reading]) -> list[_Reading]:
    """Leave out the later readings of the same tensor; a head keeps its own name."""
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
    """Return the shapes of the same taps for a larger image: the axis that does not grow holds the channels."""
    try:
        return {r.tap.name: r.tap.shape for r in _run(backbone, backbone.input_size + 64).readings}
    except UNFIT:
        return {}  # built for one size (position embeddings, windows): `_layout` asks timm instead


def _layout(shape: tuple[int, ...], larger: tuple[int, ...] | None, nhwc: bool) -> Layout:
    """Tell which axis is what from the shapes at two sizes; `nhwc` is timm's word for the whole network."""
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
    """Count the tokens before the patches; the patch embedding's output, which has as many as the grid, has none."""
    patches = getattr(getattr(model, "patch_embed", None), "num_patches", None)
    if tap.layout != "NLC" or tap.shape[0] == patches:
        return 0
    return int(getattr(model, "num_prefix_tokens", 0))
