"""The deployed network: from pixels to probabilities in one forward pass that ends where the head has all it reads."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from head2toe.extract.backbone.backbone import Backbone, load_backbone
from head2toe.extract.backbone.layer_reader import Layer, LayerReader
from head2toe.extract.backbone.taps import Tap
from head2toe.extract.backbone.windows import Tokens
from head2toe.extract.deploy.bundle import Bundle
from head2toe.extract.features.precision import Precision
from head2toe.extract.images.preprocess import Preprocessing
from head2toe.extract.uncertainty.novelty_score import NoveltyScore
from head2toe.store.common.errors import BadRequest, DataError
from head2toe.store.common.files import expanded
from torch import nn


class Deployed(nn.Module):
    """A frozen backbone cut after the deepest layer that the head reads, and the head.

    Only taps that are needed are hooked; each is pooled as soon as it is there, and only its kept features stay. The
    numbers are those of the uncut network: nothing is left out but what comes after.

    Parameters
    ----------
    backbone : Backbone
        The network, with the weights and the preprocessing that the bundle names; `load` checks them.
    bundle : Bundle
        What is read of which layers, and the head.

    Raises
    ------
    DataError
        The backbone lacks a module that the bundle reads.

    Attributes
    ----------
    classes : tuple of str
        The classes' names in the order of the probabilities.
    held_out : (n,) float32 array, optional
        What held-out rows gave their true classes: see `Calibration`.
    cut : bool
        Whether the forward pass ends early. An export runs on and drops what has no effect from the graph.
    novelty : NoveltyScore, optional
        What says how unlike the training images an image is; None for a model that keeps nothing of them.
    precision : Precision
        What the features that the head learned from were computed in, and the network computes in here.
    mirrored : bool
        Whether `forward` looks at every image a second time, left and right swapped, and averages the
        log-probabilities.
    """

    centre: torch.Tensor
    coef: torch.Tensor
    coef_whole: torch.Tensor | None
    intercept: torch.Tensor

    def __init__(self, backbone: Backbone, bundle: Bundle) -> None:
        super().__init__()
        self.network = backbone.model
        self.classes = bundle.classes
        self.preprocessing = backbone.preprocessing
        self.device = backbone.device
        self.cut = True
        self.mirrored = False
        self.precision = Precision.named(bundle.precision)
        self._unit = bundle.unit
        self._rounded = [layer.dtype == "float16" for layer in bundle.layers]
        layers = [Layer(tap_of(layer.name, layer.tap), layer.target_size) for layer in bundle.layers]
        tokens: Tokens = bundle.tokens  # type: ignore[assignment]
        self._reader = LayerReader(self.network, layers, tokens, bundle.pool, keep=self._kept)
        _require_modules(self.network, (module for _, module in self._reader.points), bundle.backbone["name"])
        for number, columns in enumerate(bundle.features_by_layer):
            self.register_buffer(f"columns_{number}", torch.from_numpy(columns.astype("int64")))
        if bundle.layers:  # torch.export can't write the empty arrays of a null model
            # The scale is folded into the coefficients. The centre is not: far from zero it would cancel digits.
            self.register_buffer("centre", torch.from_numpy(bundle.mean))
            self.register_buffer("coef", torch.from_numpy(bundle.scale[:, None] * bundle.coef))
            whole = bundle.coef_whole
            scaled = None if whole is None else torch.from_numpy(bundle.scale[:, None] * whole)
            self.register_buffer("coef_whole", scaled)
        self.register_buffer("intercept", torch.from_numpy(bundle.intercept))
        novelty = bundle.calibration.novelty if bundle.calibration else None
        self.novelty = NoveltyScore(novelty) if novelty and bundle.layers else None
        self.held_out = bundle.calibration.held_out if bundle.calibration else None
        self.to(backbone.device)
        self.eval()

    @property
    def input_size(self) -> int:
        """Height and width of the input in pixels."""
        return self.preprocessing.input_size

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Classify images.

        Parameters
        ----------
        images : torch.Tensor
            (n, 3, s, s) uint8, or float32 between 0 and 1.

        Returns
        -------
        torch.Tensor
            Probabilities (n, classes) float32.

        Raises
        ------
        BadRequest
            The images are not of the input's shape.
        DataError
            The backbone does not pass all taps of the model.
        """
        return torch.softmax(self.averaged_scores(images, ood=False)[0], dim=1)

    def averaged_scores(self, images: torch.Tensor, *, ood: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Compute the `scores` of images (n, 3, s, s) that are looked at as `mirrored` says."""
        if not self.mirrored:
            return self.scores(images, ood=ood)
        return self.scores(torch.stack((images, images.flip(-1)), dim=1).flatten(0, 1), ood=ood, n_views=2)

    def scores(self, images: torch.Tensor, *, ood: bool, n_views: int = 1) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Compute the logits and, if asked for, the novelty in one pass.

        Parameters
        ----------
        images : torch.Tensor
            (n * n_views, 3, s, s), all views of an image after each other, the whole image first.
        ood : bool
            Whether to compute the novelty, that of the whole images.
        n_views : int
            Views of an image, over which logits are averaged.

        Returns
        -------
        logits : torch.Tensor
            (n, classes) float32.
        novelty : torch.Tensor, optional
            (n,) float32, of `NoveltyScore`; None where it is not asked for, or the model can't tell.
        """
        if images.ndim != 4 or images.shape[1:] != (3, self.input_size, self.input_size):
            raise BadRequest(f"images of shape {tuple(images.shape)}: (n, 3, {self.input_size}, {self.input_size})")
        if not self._rounded:  # the null model: no layer is read, and the network need not run
            return self.intercept.expand(images.shape[0] // n_views, -1), None
        x = self.features(images)
        whole = x.reshape(-1, n_views, x.shape[1])[:, 0]
        return self._logits(x, whole), self.novelty(whole) if ood and self.novelty is not None else None

    def placed(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Compute the logits, and where the images lie (n, r) in the directions of the novelty; None without these."""
        if self.novelty is None:
            return self.scores(images, ood=False)
        x = self.features(images)
        return self._logits(x, x), self.novelty.coordinates(x)

    def _logits(self, x: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
        """Average the logits of all views (n * n_views, k) of images whose first view is the whole one (n, k)."""
        logits = (x - self.centre) @ self.coef + self.intercept
        logits = logits.reshape(whole.shape[0], -1, logits.shape[1]).mean(dim=1)
        return logits if self.coef_whole is None else logits + (whole - self.centre) @ self.coef_whole

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Read the kept features (n, k) float32, of unit norm per layer if the head wants them so."""
        x = self.preprocessing.normalize(images * 255 if images.is_floating_point() else images)
        with self.precision.computing(self.device):
            layers = self._reader(x, end_early=self.cut)
        return torch.cat(layers, dim=1)

    def _kept(self, number: int, pooled: torch.Tensor) -> torch.Tensor:
        """Gather a layer's kept features, which copies them, as the head was trained on them."""
        kept = pooled.index_select(1, self.get_buffer(f"columns_{number}"))
        if self._rounded[number]:
            kept = kept.half().float()  # as the store kept them that the head was trained on
        if not self._unit:
            return kept
        norm = kept.square().sum(1, keepdim=True).sqrt()
        return kept / torch.where(norm > 0, norm, torch.ones_like(norm))


def _require_modules(network: nn.Module, paths: Iterable[str], name: str) -> None:
    """Raise DataError for a module that the network lacks."""
    for path in paths:
        try:
            network.get_submodule(path)
        except AttributeError as error:
            raise DataError(
                f"the backbone {name} has no {path!r}, which the model reads: is timm another version?"
            ) from error


def load(bundle: Bundle, *, device: str = "auto", weights: str | None = None) -> Deployed:
    """Build the backbone that a bundle names, check its weights, and put the head on it.

    Parameters
    ----------
    bundle : Bundle
        The model.
    device : str
        `auto`, `cpu`, `cuda` or `cuda:<n>`.
    weights : str, optional
        Where to find the backbone's weights, as for `load_backbone`, if not at their recorded origin.

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
        file, sign, part = detail.partition("#")
        raise BadRequest(f"the model's backbone has its weights from the file {file}: pass --weights FILE{sign}{part}")
    at_origin = {"package": f"package:{detail.partition('#')[0]}", "local-dir": None}.get(kind, kind)
    backbone = load_backbone(
        _name_of(bundle, weights),
        weights=weights or at_origin,
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


def _name_of(bundle: Bundle, weights: str | None) -> str:
    """Return the backbone's name; without the folder that it came from, weights that are given need no more of it."""
    name: str = bundle.backbone["name"]
    folder = expanded(name.removeprefix("local-dir:"))
    gone = name.startswith("local-dir:") and weights is not None and not folder.is_dir()
    return bundle.backbone["architecture"].partition(" ")[0] if gone else name


def tap_of(name: str, where: Mapping[str, Any]) -> Tap:
    """Return the tap that a bundle records under a layer's name and `KeptLayer.tap`."""
    return Tap(name, **(dict(where) | {"shape": tuple(where["shape"])}))


def _tuples(preprocessing: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in preprocessing.items()}


@dataclass(frozen=True)
class Speed:
    """How long an image takes, as the median of several runs.

    Attributes
    ----------
    full, cut : float
        Milliseconds for the whole backbone, and for the deployed network with its head.
    batch_size : int
        Images in a batch.
    device : str
        Where both ran.
    """

    full: float
    cut: float
    batch_size: int
    device: str


def measure(deployed: Deployed, *, batch_size: int = 8, runs: int = 5) -> Speed:
    """Time backbone and deployed network on random pixels, turn by turn, after one run of each that does not count.

    Parameters
    ----------
    deployed : Deployed
        The network.
    batch_size : int
        Images in a batch.
    runs : int
        How many runs of each the median is taken of.
    """
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


def overflow(name: str, probabilities: np.ndarray, further: np.ndarray | None) -> str:
    """Say that the numbers of an image are no longer any, as where its activations overflow; empty if they are."""
    finite = np.isfinite(probabilities).all() and (further is None or np.isfinite(further).all())
    return "" if finite else f"{name}: its activations overflow in this network, and no class can be told"


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
