"""Preprocessing of images to a backbone's input: they are resized on the CPU and normalised on the device."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from head2toe.extract.options import MAX_PIXELS
from PIL import Image
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, create_transform

PREPROCESSING_PRESETS = ("whole", "timm", "h2t", "imagenet", "raw")
"""What `--preprocess` may be; `Preprocessing.of_model` says what each does."""


@dataclass(frozen=True)
class Preprocessing:
    """What is done to an image before the backbone sees it; part of a store's key.

    Attributes
    ----------
    input_size : int
        Height and width in pixels.
    interpolation : str
        `bicubic` or `bilinear`.
    mean, std : tuple of float
        Mean and standard deviation of each channel that are normalised away, for pixel values between 0 and 1.
    crop_mode : str
        `squash` resizes the whole image to a square; `center` (timm's usual) resizes its shorter side to
        input_size / crop_pct and cuts the middle out; `border` pads.
    crop_pct : float
        The fraction of the resized image's shorter side that a centre crop keeps.
    """

    input_size: int
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_mode: str = "squash"
    crop_pct: float = 1.0

    @classmethod
    def of_model(
        cls, data_config: Mapping[str, Any], input_size: int | None = None, preset: str = "whole"
    ) -> "Preprocessing":
        """Return a preset's preprocessing for a model.

        `whole` is the model's own mean, std and interpolation on the whole image, nothing cut away: in tasks about
        counts and positions the border matters, and it is how the paper and VTAB resize. `timm` is the model's own to
        the letter, centre crop included. `h2t` is the paper's (bilinear, [-1, 1]), `imagenet` what most of the
        literature on VTAB-1k uses (bicubic, ImageNet's mean and std), `raw` leaves values between 0 and 1.

        Parameters
        ----------
        data_config : mapping
            The model's configuration as timm's `resolve_model_data_config` returns it.
        input_size : int, optional
            Height and width in pixels; the model's own by default.
        preset : str
            One of `PREPROCESSING_PRESETS`.
        """
        own = cls(
            input_size=input_size or data_config["input_size"][-1],
            interpolation=data_config["interpolation"],
            mean=tuple(data_config["mean"]),
            std=tuple(data_config["std"]),
        )
        if preset == "timm":
            return replace(own, crop_mode=data_config["crop_mode"], crop_pct=data_config["crop_pct"])
        if preset == "h2t":
            return replace(own, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3)
        if preset == "imagenet":
            return replace(own, interpolation="bicubic", mean=IMAGENET_DEFAULT_MEAN, std=IMAGENET_DEFAULT_STD)
        if preset == "raw":
            return replace(own, mean=(0.0,) * 3, std=(1.0,) * 3)
        assert preset == "whole", preset
        return own

    def describe(self) -> dict[str, Any]:
        """Return the preprocessing as JSON, for a store's key."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    def resizer(self) -> "Resizer":
        """Return the part of the preprocessing that is done image by image on the CPU."""
        return Resizer(self)

    def normalize(self, batch: torch.Tensor) -> torch.Tensor:
        """Normalise a batch of images on the device that it is on.

        Parameters
        ----------
        batch : (n, 3, s, s) uint8 tensor
            Images as the resizer returns them, stacked.

        Returns
        -------
        (n, 3, s, s) float32 tensor
            Values `(pixel / 255 - mean) / std` in the memory format of the batch.
        """
        mean = torch.tensor(self.mean, device=batch.device).mul(255).view(1, -1, 1, 1)
        std = torch.tensor(self.std, device=batch.device).mul(255).view(1, -1, 1, 1)
        return batch.float().sub_(mean).div_(std)


class Resizer:
    """Resizes and crops images to the input size s of a preprocessing."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        self._transform = create_transform(
            input_size=(3, preprocessing.input_size, preprocessing.input_size),
            interpolation=preprocessing.interpolation,
            crop_pct=preprocessing.crop_pct,
            crop_mode=preprocessing.crop_mode,
            normalize=False,
        )
        # The side that a centre crop's shorter side becomes; nothing else makes an image larger than it ends up.
        self._shorter = preprocessing.input_size / preprocessing.crop_pct if preprocessing.crop_mode == "center" else 0

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """Resize and crop an RGB image to a (3, s, s) uint8 tensor.

        Raises
        ------
        ValueError
            The image is so long and narrow that there is nothing to crop: its shorter side would become no pixel, or
            its longer side more than memory holds.
        """
        pixels = self._shorter**2 * max(image.size) / min(image.size)
        if pixels > MAX_PIXELS:
            raise ValueError(f"{pixels / 1e6:.0f} million before the crop")
        resized: torch.Tensor = self._transform(image)
        return resized
