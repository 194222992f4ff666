"""From an image to the backbone's input: resize on the CPU, normalise on the device."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from PIL import Image
from timm.data import create_transform


@dataclass(frozen=True)
class Preprocessing:
    """What is done to an image before the backbone sees it; part of a store's key.

    The whole image is resized to a square (as the paper does), not cut: in tasks about counts and positions the
    border matters. Mean, standard deviation and interpolation are the model's own.
    """

    input_size: int
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: str = "squash"

    @classmethod
    def of_model(cls, data_config: Mapping[str, Any], input_size: int | None) -> "Preprocessing":
        """The model's own preprocessing (timm's `resolve_model_data_config`), at another size on request."""
        return cls(
            input_size=input_size or data_config["input_size"][-1],
            interpolation=data_config["interpolation"],
            mean=tuple(data_config["mean"]),
            std=tuple(data_config["std"]),
        )

    def describe(self) -> dict[str, Any]:
        """As JSON, for a store's key."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    def resizer(self) -> "Resizer":
        """The part done image by image on the CPU."""
        return Resizer(self)

    def normalize(self, batch: torch.Tensor) -> torch.Tensor:
        """(n, 3, s, s) uint8 on any device to normalised float32, in the memory format it came in."""
        mean = torch.tensor(self.mean, device=batch.device).mul(255).view(1, -1, 1, 1)
        std = torch.tensor(self.std, device=batch.device).mul(255).view(1, -1, 1, 1)
        return batch.float().sub_(mean).div_(std)


class Resizer:
    """Image to uint8 tensor (3, s, s)."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        self._transform = create_transform(
            input_size=(3, preprocessing.input_size, preprocessing.input_size),
            interpolation=preprocessing.interpolation,
            crop_pct=1.0,
            crop_mode=preprocessing.resize,
            normalize=False,
        )

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """(3, s, s) uint8."""
        return self._transform(image)

    def stack(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """(n, 3, s, s) uint8."""
        return torch.stack([self(image) for image in images])
