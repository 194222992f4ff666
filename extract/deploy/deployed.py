"""The deployed network: from pixels to probabilities in one forward pass that ends where the head has all it reads."""

import statistics
import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from head2toe.extract.backbone.backbone import AMP_DTYPES, Backbone, load_backbone
from head2toe.extract.backbone.pooling import Tokens, pool_view
from head2toe.extract.backbone.taps import Point, Tap, first_tensor, hooked
from head2toe.extract.deploy.bundle import Bundle
from head2toe.extract.images.preprocess import Preprocessing
from head2toe.store.common.errors import BadRequest, DataError
from torch import nn


class _Done(Exception):
    """No error: the deepest kept layer was read, which ends a forward pass of the backbone."""


@dataclass(frozen=True)
class _Reading:
    """One layer of the bundle: where it stands among them, and how it is read."""

    number: int
    tap: Tap
    target_size: int
    rounded: bool


class Deployed(nn.Module):
    """A frozen backbone cut after the deepest layer that the head reads, and the head.

    Only taps that are needed are hooked; each is pooled as soon as it is there, and only its kept features stay. The
    numbers are those of the uncut network: nothing is left out but what comes after.

    Parameters
    ----------
    backbone : Backbone
        With the weights and the preprocessing that the bundle names (`load` sees to that).
    bundle : Bundle

    Raises
    ------
    DataError
        The backbone lacks a module that the bundle reads.

    Attributes
    ----------
    cut : bool
        Whether the forward pass ends early. An export runs on and drops what has no effect from the graph.
    """

    centre: torch.Tensor
    coef: torch.Tensor
    intercept: torch.Tensor

    def __init__(self, backbone: Backbone, bundle: Bundle) -> None:
        super().__init__()
        self.network = backbone.model
        self.classes = bundle.classes
        self.preprocessing = backbone.preprocessing
        self.device = backbone.device
        self.cut = True
        self.amp = bundle.precision != "float32"
        self._tokens: Tokens = bundle.tokens  # type: ignore[assignment]
        self._unit = bundle.unit
        self._readings: dict[tuple[str, str, int], list[_Reading]] = {}
        for number, layer in enumerate(bundle.layers):
            tap = tap_of(layer.name, layer.tap)
            reading = _Reading(number, tap, layer.target_size, layer.dtype == "float16")
            self._readings.setdefault((tap.side, tap.module, tap.call), []).append(reading)
            self.register_buffer(
                f"columns_{number}", torch.from_numpy(bundle.features_by_layer[number].astype("int64"))
            )
        self._points: list[Point] = [("", side, module) for side, module in {key[:2]: None for key in self._readings}]
        for _, _, module in self._points:
            try:
                self.network.get_submodule(module)
            except AttributeError as error:
                raise DataError(
                    f"the backbone {bundle.backbone['name']} has no {module!r}, which the model reads: "
                    "is timm another version?"
                ) from error
        self._n_layers = len(bundle.layers)
        # The scale is folded into the coefficients. The centre is not: far from zero it would cancel digits.
        self.register_buffer("centre", torch.from_numpy(bundle.mean))
        self.register_buffer("coef", torch.from_numpy(bundle.scale[:, None] * bundle.coef))
        self.register_buffer("intercept", torch.from_numpy(bundle.intercept))
        self.to(backbone.device)
        self.eval()

    @property
    def input_size(self) -> int:
        """Height and width of the input in pixels."""
        return self.preprocessing.input_size

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, 3, s, s) uint8, or float32 between 0 and 1, to probabilities (n, classes) float32."""
        return torch.softmax(self.logits(images), dim=1)

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """As `forward`, before the softmax."""
        if images.ndim != 4 or images.shape[1:] != (3, self.input_size, self.input_size):
            raise BadRequest(f"images of shape {tuple(images.shape)}: (n, 3, {self.input_size}, {self.input_size})")
        return (self.features(images) - self.centre) @ self.coef + self.intercept

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """The kept features (n, k) float32, of unit norm per layer if the head wants them so."""
        parts: dict[int, torch.Tensor] = {}

        def read(point: Point, call: int, value: Any) -> None:
            readings = self._readings.get((point[1], point[2], call), [])
            if not readings:
                return
            tensor = first_tensor(value)
            assert tensor is not None, f"tap {readings[0].tap.name} gave a tensor when it was discovered"
            for reading in readings:
                parts[reading.number] = self._kept(reading, tensor)
            if self.cut and len(parts) == self._n_layers:
                raise _Done

        kind = self.device.type
        autocast = torch.autocast(kind, AMP_DTYPES[kind]) if self.amp else nullcontext()
        x = self.preprocessing.normalize(images * 255 if images.is_floating_point() else images)
        with autocast, hooked(self.network, self._points, read), suppress(_Done):
            self.network(x)
        if len(parts) < self._n_layers:
            raise DataError("the backbone does not pass all taps of the model: is timm another version?")
        return torch.cat([parts[number] for number in range(self._n_layers)], dim=1)

    def _kept(self, reading: _Reading, activation: torch.Tensor) -> torch.Tensor:
        tap = reading.tap
        pooled = pool_view(activation, reading.target_size, layout=tap.layout, tokens=self._tokens, prefix=tap.prefix)
        # What is gathered is a copy: a later layer may work in place.
        kept = pooled.index_select(1, self.get_buffer(f"columns_{reading.number}"))
        if reading.rounded:
            kept = kept.half().float()  # as the store kept them that the head was trained on
        if not self._unit:
            return kept
        norm = kept.square().sum(1, keepdim=True).sqrt()
        return kept / torch.where(norm > 0, norm, torch.ones_like(norm))


def load(bundle: Bundle, *, device: str = "auto", weights: str | None = None) -> Deployed:
    """Build the backbone that a bundle names, check its weights, and put the head on it.

    Parameters
    ----------
    device : str
        `auto`, `cpu`, `cuda` or `cuda:<n>`.
    weights : str, optional
        As of `load_backbone`, where the recorded origin is of no use here (a file, say).

    Raises
    ------
    BadRequest
        The weights came from a file, and none is given.
    DataError
        These weights are not those that the head was trained on.
    """
    origin, preprocessing = bundle.backbone["weights"], Preprocessing(**_tuples(bundle.preprocessing))
    kind, _, detail = origin.partition(":")
    if kind == "file" and weights is None:
        raise BadRequest(f"the model's backbone has its weights from the file {detail}: pass --weights FILE")
    backbone = load_backbone(
        bundle.backbone["name"],
        weights=weights or (origin if kind == "package" else kind),
        input_size=preprocessing.input_size,
        device=device,
        seed=int(detail) if kind == "random" and weights is None else 0,
    )
    if backbone.weights_sha256 != bundle.backbone["weights_sha256"]:
        raise DataError(
            f"the weights of {bundle.backbone['name']} from {backbone.weights} are not those of the model: "
            f"sha256 {backbone.weights_sha256[:12]} instead of {bundle.backbone['weights_sha256'][:12]} ({origin})"
        )
    return Deployed(replace(backbone, preprocessing=preprocessing), bundle)


def tap_of(name: str, where: Mapping[str, Any]) -> Tap:
    """A tap as a bundle records it."""
    return Tap(name, **(dict(where) | {"shape": tuple(where["shape"])}))


def _tuples(preprocessing: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in preprocessing.items()}


@dataclass(frozen=True)
class Speed:
    """Milliseconds an image, median of several runs: the whole backbone, and the deployed network, head included."""

    full: float
    cut: float
    batch_size: int
    device: str


def measure(deployed: Deployed, *, batch_size: int = 8, runs: int = 5) -> Speed:
    """Time both on random pixels, turn by turn, after one run of each that does not count."""
    shape = (batch_size, 3, deployed.input_size, deployed.input_size)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pixels = pixels.to(deployed.device, memory_format=torch.channels_last)
    full, cut = [], []
    with torch.inference_mode():
        for _ in range(runs + 1):
            full.append(_seconds(lambda: deployed.network(deployed.preprocessing.normalize(pixels)), deployed.device))
            cut.append(_seconds(lambda: deployed(pixels), deployed.device))
    per_image = [1000 * statistics.median(times[1:]) / batch_size for times in (full, cut)]
    return Speed(per_image[0], per_image[1], batch_size, str(deployed.device))


def _seconds(work: Any, device: torch.device) -> float:
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
